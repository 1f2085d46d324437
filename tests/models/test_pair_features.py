"""Weights of the features of pairs, and the score that they are part of."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from hf_mel import MIMICConfig, MIMICModel, PGMELConfig, PGMELModel
from hf_mel.linking.index.fingerprints import describe_model
from hf_mel.models import PAIR_FEATURES
from hf_mel.models.encodings import select_rows
from hf_mel.models.pair_features import PairWeights


TEXT = {"model_type": "bert", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
FIELDS = {"text_config": TEXT, "text_views": "context", "projection_size": 8}
INPUTS = {"mention_input_ids": torch.tensor([[1, 2], [3, 4]]), "entity_input_ids": torch.tensor([[1], [2], [3]])}


def model_of(**fields) -> PGMELModel:
    torch.manual_seed(0)
    return PGMELModel(PGMELConfig(**FIELDS, **fields)).eval()


def test_weights_begin_at_the_prior_in_units_of_the_temperature():
    assert model_of(name_features=True).pair_weights.weight.tolist() == pytest.approx(list(PAIR_FEATURES.values()))
    wide = PairWeights(PGMELConfig(**FIELDS, softmax_temperature=1.0))
    assert wide.weight.tolist() == pytest.approx([20 * value for value in PAIR_FEATURES.values()])


def test_score_is_what_encodings_say_plus_weighted_features():
    model = model_of(name_features=True)
    features = torch.zeros(2, 3, len(PAIR_FEATURES))
    features[0, 1] = torch.tensor([1, 0, 1, 0.5, 0, 0])
    with torch.no_grad():
        model.pair_weights.weight.copy_(torch.tensor([0.5, 9, 0.25, 0.5, 9, 9]))
        plain, scores = model(**INPUTS).scores, model(**INPUTS, pair_features=features).scores
        sides = [model.encode(side, model.extract(INPUTS[f"{side}_input_ids"])) for side in ("mention", "entity")]
        rows = torch.tensor([[0, 1, 2], [0, 1, 2]])
        own = select_rows(sides[1], rows)
        each = model.score_candidates(sides[0], own, features)
    expected = plain.clone()
    expected[0, 1] += 1.0
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(each, expected)
    assert torch.equal(model.match(*sides), plain)


def test_model_without_the_feature_has_no_weights_and_refuses_features():
    model, other = model_of(), model_of(name_features=True)
    assert model.pair_weights is None
    assert set(other.state_dict()) - set(model.state_dict()) == {"pair_weights.weight"}
    with pytest.raises(ValueError, match="name_features=True"):
        model(**INPUTS, pair_features=torch.zeros(2, 3, len(PAIR_FEATURES)))
    # Indexes that were built before the field existed stay valid.
    assert "name_features" not in describe_model(model)["config"]
    assert describe_model(model)["fingerprint"] != describe_model(other)["fingerprint"]


def test_configuration_is_checked():
    with pytest.raises(StrictDataclassError, match="name_features"):
        PGMELConfig(**FIELDS, name_features="yes")


def test_weights_are_saved_and_loaded(tmp_path):
    model = model_of(name_features=True)
    with torch.no_grad():
        model.pair_weights.weight.fill_(0.7)
    model.save_pretrained(tmp_path)
    assert torch.equal(PGMELModel.from_pretrained(tmp_path).pair_weights.weight, model.pair_weights.weight)
    # Of a checkpoint without them they begin at the prior, if that is asked for.
    model_of().save_pretrained(tmp_path / "old")
    loaded, info = PGMELModel.from_pretrained(tmp_path / "old", name_features=True, output_loading_info=True)
    assert set(info["missing_keys"]) == {"pair_weights.weight"}
    assert loaded.pair_weights.weight.tolist() == pytest.approx(list(PAIR_FEATURES.values()))


def test_weights_are_never_negative_but_can_come_back():
    weights = PairWeights(PGMELConfig(**FIELDS))
    with torch.no_grad():
        weights.weight.copy_(torch.tensor([-0.5, -0.5, 0.5, 0.5, 0.0, 0.0]))
    features = torch.tensor([[1.0, 1, 1, 1, 1, 1]], requires_grad=True)
    assert weights(features).tolist() == [1.0]
    sign = torch.tensor([[1.0, -1, 1, -1, 1, -1]])  # a positive gradient lowers a weight
    (weights(torch.eye(6)) * sign[0]).sum().backward()
    assert weights.weight.grad.tolist() == [0, -1, 1, -1, 0, -1]


def test_features_count_with_the_mean_of_units_and_not_with_each():
    vision = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"intermediate_size": 16, "image_size": 16, "patch_size": 8}
    config = MIMICConfig(text_config=TEXT, vision_config=vision, matching_size=8, name_features=True)
    torch.manual_seed(0)
    model = MIMICModel(config).eval()
    features = torch.ones(2, 3, len(PAIR_FEATURES))
    inputs = INPUTS | {"labels": torch.tensor([0, 1])}
    if config.text_views != "context":
        pytest.skip("reads the surface as well")
    plain, named = model(**inputs), model(**inputs, pair_features=features)
    torch.testing.assert_close(named.scores, plain.scores + model.pair_weights.weight.sum())
    for name, scores in plain.unit_scores.items():
        assert torch.equal(named.unit_scores[name], scores)
