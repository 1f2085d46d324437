"""Text and image matched alone: what is encoded, what is masked, and that the batch may be cut anywhere."""

import torch

from hf_mel import PGMELConfig, PGMELModel, TowerFeatures
from hf_mel.encoding import alone, encode_modalities, whole
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
    assert set(encoded) == {
        "embeds", "image_weight", "text.embeds", "text.image_weight", "image.embeds", "image.image_weight",
        "image.present",
    }  # fmt: skip
    plain = model.encode("mention", features)
    assert set(whole(encoded)) == set(plain) and torch.equal(whole(encoded)["embeds"], plain["embeds"])
    # A row without an image is its text already.
    without = ~features.has_image
    assert torch.equal(encoded["text.embeds"][without], plain["embeds"][without])
    assert (encoded["text.image_weight"] == 0).all()


def test_neither_modality_sees_the_other():
    model, features = model_and_features()
    other = TowerFeatures(features.text_features + 1, features.image_features, features.has_image)
    first, second = (encode_modalities(model, "mention", each) for each in (features, other))
    assert torch.equal(first["image.embeds"], second["image.embeds"])
    assert not torch.equal(first["text.embeds"], second["text.embeds"])
    other = TowerFeatures(features.text_features, features.image_features + 1, features.has_image)
    assert torch.equal(first["text.embeds"], encode_modalities(model, "mention", other)["text.embeds"])


def test_pairs_without_an_image_are_told():
    model, features = model_and_features()
    mentions = encode_modalities(model, "mention", features)
    entities = encode_modalities(model, "entity", features.select(torch.tensor([1, 0])))
    found = {name: (sides, both) for name, *sides, both in alone(mentions, entities)}
    assert set(found) == {"text", "image"}
    assert found["text"][1].all() and found["text"][1].shape == (4, 2)
    assert found["image"][1].tolist() == [[False, True], [False, False], [False, True], [False, False]]
    assert set(found["image"][0][0]) == {"embeds", "image_weight"}


def test_a_text_only_model_has_nothing_to_add():
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT), projection_size=8)).eval()
    encoded = encode_modalities(model, "mention", TowerFeatures(torch.randn(3, 2, 16)))
    assert set(encoded) == {"embeds", "image_weight"}
    assert list(alone(encoded, encoded)) == []
