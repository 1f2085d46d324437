"""Encodings, with those of text alone and of image alone."""

import torch

from hf_mel import PGMELConfig, PGMELModel, TowerFeatures
from hf_mel.encoding import Encoded, encode_modalities, whole
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
    plain = model.encode("mention", features)
    assert set(encoded.whole) == set(plain) == {"embeds", "image_weight"}
    assert torch.equal(encoded.whole["embeds"], plain["embeds"])
    assert {name: set(part) for name, part in encoded.alone.items()} == {"text": set(plain), "image": set(plain)}
    assert torch.equal(encoded.has_image, features.has_image)
    # A row without an image is its text already.
    without = ~features.has_image
    assert torch.equal(encoded.alone["text"]["embeds"][without], plain["embeds"][without])
    assert (encoded.alone["text"]["image_weight"] == 0).all()


def test_neither_modality_sees_the_other():
    model, features = model_and_features()
    other = TowerFeatures(features.text_features + 1, features.image_features, features.has_image)
    first, second = (encode_modalities(model, "mention", each).alone for each in (features, other))
    assert torch.equal(first["image"]["embeds"], second["image"]["embeds"])
    assert not torch.equal(first["text"]["embeds"], second["text"]["embeds"])
    other = TowerFeatures(features.text_features, features.image_features + 1, features.has_image)
    assert torch.equal(first["text"]["embeds"], encode_modalities(model, "mention", other).alone["text"]["embeds"])


def test_a_text_only_model_has_nothing_to_add():
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT), projection_size=8)).eval()
    encoded = encode_modalities(model, "mention", TowerFeatures(torch.randn(3, 2, 16)))
    assert set(encoded.flatten()) == {"embeds", "image_weight"} and not encoded.alone


def test_rows_of_every_tensor_are_selected_joined_and_flattened():
    model, features = model_and_features()
    encoded = encode_modalities(model, "mention", features)
    assert encoded.rows == 4
    parts = [encoded.select(slice(0, 1)), encoded.select(slice(1, 4))]
    flat = encoded.flatten()
    assert set(flat) == {
        "embeds", "image_weight", "text.embeds", "text.image_weight", "image.embeds", "image.image_weight",
        "image.present",
    }  # fmt: skip
    for name, value in Encoded.cat(parts).flatten().items():
        assert torch.equal(value, flat[name])
    assert set(whole(flat)) == {"embeds", "image_weight"}
    chosen = encoded.select(torch.tensor([[2, 0], [3, 3]]))
    assert chosen.alone["image"]["embeds"].shape == (2, 2, 8)
    assert torch.equal(chosen.has_image, features.has_image[torch.tensor([[2, 0], [3, 3]])])
    assert encoded.whole["embeds"].requires_grad and not any(
        v.requires_grad for v in encoded.detach().flatten().values()
    )
