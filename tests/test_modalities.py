"""Encodings, with those of text alone and of image alone."""

import torch

from hf_mel import PGMELConfig, PGMELModel, TowerFeatures
from hf_mel.encoding import encode_modalities
from hf_mel.models.encodings import cat_rows, flatten, map_tensors, num_rows, select_rows, unflatten, whole
from tests.conftest import TINY_TEXT, TINY_VISION


def model_and_features(rows=4, **fields):
    torch.manual_seed(0)
    config = PGMELConfig(text_config=dict(TINY_TEXT), vision_config=dict(TINY_VISION), projection_size=8, **fields)
    has_image = torch.arange(rows) % 2 == 0
    features = TowerFeatures(
        torch.randn(rows, 2, 16), torch.randn(rows, 16) * has_image[:, None], has_image
    )  # fmt: skip
    return PGMELModel(config).eval(), features


def test_what_is_encoded():
    model, features = model_and_features()
    encoded = encode_modalities(model, "mention", features)
    plain, alone = model.encode("mention", features), encoded["alone"]
    assert set(plain) == {"embeds", "image_weight"}
    torch.testing.assert_close(whole(encoded), plain, rtol=0, atol=0)
    assert list(alone) == ["text", "image", "has_image"] and set(alone["text"]) == set(alone["image"]) == {"embeds"}
    assert torch.equal(alone["has_image"], features.has_image)
    # A row without an image is its text already.
    without = ~features.has_image
    assert torch.equal(alone["text"]["embeds"][without], plain["embeds"][without])


def test_neither_modality_sees_the_other():
    model, features = model_and_features()
    other = TowerFeatures(features.text_features + 1, features.image_features, features.has_image)
    first, second = (encode_modalities(model, "mention", each)["alone"] for each in (features, other))
    assert torch.equal(first["image"]["embeds"], second["image"]["embeds"])
    assert not torch.equal(first["text"]["embeds"], second["text"]["embeds"])
    other = TowerFeatures(features.text_features, features.image_features + 1, features.has_image)
    second = encode_modalities(model, "mention", other)["alone"]
    assert torch.equal(first["text"]["embeds"], second["text"]["embeds"])


def test_a_text_only_model_has_nothing_to_add():
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT), projection_size=8)).eval()
    encoded = encode_modalities(model, "mention", TowerFeatures(torch.randn(3, 2, 16)))
    assert set(encoded) == {"embeds", "image_weight"}


def test_rows_of_every_tensor_are_selected_and_joined():
    model, features = model_and_features()
    encoded = encode_modalities(model, "mention", features)
    assert num_rows(encoded) == 4
    parts = [select_rows(encoded, slice(0, 1)), select_rows(encoded, slice(1, 4))]
    torch.testing.assert_close(cat_rows(parts), encoded, rtol=0, atol=0)
    chosen = select_rows(encoded, torch.tensor([[2, 0], [3, 3]]))["alone"]
    assert chosen["image"]["embeds"].shape == (2, 2, 8)
    assert torch.equal(chosen["has_image"], features.has_image[torch.tensor([[2, 0], [3, 3]])])


def test_flat_names_tell_a_unit_from_a_modality():
    """Units called `text` and `image` among them."""
    encoded = {"text": {"vector": 1}, "image": {"vector": 2}, "dense": 3}
    encoded["alone"] = {"text": {"text": {"vector": 4}}, "image": {"image": {"vector": 5}}, "has_image": 6}
    flat = flatten(encoded)
    assert list(flat) == [
        "text.vector", "image.vector", "dense", "alone.text.text.vector", "alone.image.image.vector", "alone.has_image",
    ]  # fmt: skip
    assert unflatten(flat) == encoded and whole(encoded) == {
        name: encoded[name] for name in ("text", "image", "dense")
    }
    assert map_tensors(lambda one, other: one + other, encoded, encoded)["alone"]["text"] == {"text": {"vector": 8}}
