"""M3EL: its units against their formulas, its switches, its contrastive loss, and what every model of units has to pass."""

import pytest
import torch

from hf_mel import M3ELModel
from hf_mel.models.m3el_units import CrossAttention, SetAggregation, intra_modal_contrast
from tests.models import plain
from tests.models.units_common import UnitsTesterMixin, encodings, features, side, tiny_units, unit_scores


DOUBLE = torch.float64


class TestM3ELModel(UnitsTesterMixin):
    model_class = M3ELModel
    full = {"cross_matching": "both"}
    references = {
        "text": plain.text_score,
        "image": plain.image_score,
        "textual_to_visual": plain.of_both_sides(plain.textual_to_visual),
        "visual_to_textual": plain.of_both_sides(plain.visual_to_textual),
    }
    near = plain.NEAR_M3EL
    switches = {
        "text": {"use_text_unit": False},
        "image": {"use_image_unit": False},
        "textual_to_visual": {"cross_matching": "visual_to_textual"},
        "visual_to_textual": {"cross_matching": "textual_to_visual"},
    }

    def test_the_default_is_one_direction_and_both_can_be_left_out(self):
        assert list(tiny_units(M3ELModel).units) == ["text", "image", "textual_to_visual"]
        assert list(tiny_units(M3ELModel, cross_matching="none").units) == ["text", "image"]


# ---- Parts of cross-modal matching ----


@torch.no_grad()
def test_cross_attention_leaves_out_what_is_masked():
    attention = CrossAttention(4).double()
    asking, asked = torch.randn(2, 3, 4, dtype=DOUBLE), torch.randn(2, 5, 4, dtype=DOUBLE)
    mask = torch.tensor([[True, True, False, True, False], [True] * 5])
    found = attention(asking, asked, mask)
    for row in range(2):
        expected = plain.cross_attention(attention.shared_map, list(asking[row]), list(asked[row][mask[row]]))
        torch.testing.assert_close(found[row], torch.stack(expected))
    assert (found > 0).any() and (found == 0).any()


HEADS = {
    "all": ([2.0, 2.5, 3.5, 4.5], True, 1.0),
    "softmax": ([2.0, 4.5], False, 1.0),
    "max": ([], True, 0.5),
    "mean": ([], False, 1.0),
    "weight 0": ([2.0], True, 0.0),
}


@pytest.mark.parametrize("name", HEADS)
def test_aggregation_of_a_set(name):
    temperatures, use_max, weight = HEADS[name]
    values = torch.randn(2, 4, 3, dtype=DOUBLE)
    mask = torch.tensor([[True, False, True, True], [False, True, False, False]])
    found = SetAggregation(temperatures, use_max, weight)(values, mask)
    heads = (*temperatures, *(("max",) if use_max else ()))
    for row in range(2):
        expected = plain.aggregated(list(values[row][mask[row]]), heads, weight)
        torch.testing.assert_close(found[row], expected)
    alone = values[1, 1]
    torch.testing.assert_close(found[1], alone * (1 + weight * bool(heads)))


@pytest.mark.parametrize(
    "fields",
    [{"aggregation_temperatures": [1.0, 9.0]}, {"aggregation_max": False}, {"aggregation_weight": 0.3}],
    ids=str,
)
@torch.no_grad()
def test_the_heads_change_the_cross_modal_units_alone(fields):
    before = unit_scores(tiny_units(M3ELModel, cross_matching="both"))
    model = tiny_units(M3ELModel, cross_matching="both", **fields)
    found = unit_scores(model)
    temperatures = fields.get("aggregation_temperatures", [2.0, 2.5, 3.5, 4.5])
    heads = (*temperatures, *(("max",) if fields.get("aggregation_max", True) else ()))
    chosen = {"heads": heads, "weight": fields.get("aggregation_weight", 1.0)}
    mentions, entities = (plain.read(model, each) for each in features(model))
    for name in ("text", "image"):
        assert torch.equal(found[name], before[name])
    for name in ("textual_to_visual", "visual_to_textual"):
        unit, vector = model.units[name], getattr(plain, name)
        expected = vector(unit, mentions[0], **chosen) @ vector(unit, entities[2], **chosen)
        torch.testing.assert_close(found[name][0, 2], expected)
        assert (found[name] - before[name]).abs().max() > 1e-3


# ---- The contrastive loss ----


@pytest.mark.parametrize("weights", [(0.03, 1.0, 0.8), (0.5, 0.7, 1.3), (0.1, 1.0, 0.0)], ids=str)
def test_contrast_is_its_formula(weights):
    mentions, entities = torch.randn(5, 4, dtype=DOUBLE), torch.randn(5, 4, dtype=DOUBLE)
    skipped = {(1, 3), (3, 1)}
    excluded = torch.eye(5, dtype=torch.bool)
    excluded[1, 3] = excluded[3, 1] = True
    found = intra_modal_contrast(mentions, entities, excluded, *weights)
    expected = plain.intra_modal_contrast(mentions, entities, skipped, *weights)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=DOUBLE))
    # The diagonal of `excluded` says nothing: a row is no negative of itself, and its pair is the positive.
    torch.testing.assert_close(
        intra_modal_contrast(mentions, entities, excluded.fill_diagonal_(False), *weights), found
    )


def test_contrast_has_the_gradient_of_finite_differences():
    given = [torch.randn(4, 3, dtype=DOUBLE, requires_grad=True) for _ in range(2)]
    excluded = torch.zeros(4, 4, dtype=torch.bool)
    excluded[0, 2] = excluded[2, 0] = True
    assert torch.autograd.gradcheck(lambda m, e: intra_modal_contrast(m, e, excluded, 0.3), given)


def test_contrast_in_half_precision_has_the_digits_of_single_precision():
    mentions, entities = torch.randn(6, 8).bfloat16(), torch.randn(6, 8).bfloat16()
    none = torch.zeros(6, 6, dtype=torch.bool)
    found = intra_modal_contrast(mentions, entities, none)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, intra_modal_contrast(mentions.float(), entities.float(), none))


def training(model) -> tuple[dict, dict]:
    """Encodings in training mode of four mentions and their gold entities."""
    with torch.no_grad():
        given = model.extract(**side(4, 1)), model.extract(**side(4, 2))
    model.train()
    return model.encode("mention", given[0]), model.encode("entity", given[1])


SAME = torch.eye(4, dtype=torch.bool)
SAME[0, 2] = SAME[2, 0] = True


@pytest.mark.parametrize("legacy", [False, True])
@torch.no_grad()
def test_extra_losses_are_the_formula_on_features_before_their_layer_norms(legacy):
    model = tiny_units(M3ELModel, legacy_masking=legacy, contrastive_weight=3.0)
    given = model.extract(**side(4, 1)), model.extract(**side(4, 2))
    losses = model.extra_losses(*training(model), SAME)
    pairs = set() if legacy else {(0, 2), (2, 0)}
    texts = [each.text_features[:, 0] for each in given]
    expected = torch.tensor(plain.intra_modal_contrast(*texts, pairs), dtype=DOUBLE)
    torch.testing.assert_close(losses["contrastive_text"], expected * 3.0 / 2)
    # Rows 0 and 2 have pictures, and are of one entity: no negatives are left.
    images = [model.reader.image_map(each.image_features[[0, 2]]) for each in given]
    skipped = set() if legacy else {(0, 1), (1, 0)}
    expected = torch.zeros(4, dtype=DOUBLE)
    expected[[0, 2]] = torch.tensor(plain.intra_modal_contrast(*images, skipped), dtype=DOUBLE)
    torch.testing.assert_close(losses["contrastive_image"], expected * 3.0 / 2)
    assert (expected.max() > 0).item() is legacy
    assert list(losses) == ["contrastive_text", "contrastive_image"]


@torch.no_grad()
def test_the_settings_of_the_contrastive_loss_reach_it():
    model = tiny_units(M3ELModel)
    for name, value in (("temperature", 0.7), ("inter_weight", 0.6), ("intra_weight", 0.1)):
        setattr(model.config, f"contrastive_{name}", value)
    mentions, entities = training(model)
    losses = model.extra_losses(mentions, entities, torch.eye(4, dtype=torch.bool))
    for name, rows in (("text", [0, 1, 2, 3]), ("image", [0, 2])):
        sides = [each[f"contrast_{name}"][rows] for each in (mentions, entities)]
        expected = torch.tensor(plain.intra_modal_contrast(*sides, set(), 0.7, 0.6, 0.1), dtype=DOUBLE)
        torch.testing.assert_close(losses[f"contrastive_{name}"][rows], expected / 2)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"contrastive_weight": 0}, []),
        ({"contrastive_image": False}, ["text"]),
        ({"contrastive_text": False}, ["image"]),
        ({"contrastive_text": False, "contrastive_image": False}, []),
        ({"vision_config": None}, ["text"]),
    ],
    ids=str,
)
@torch.no_grad()
def test_a_modality_alone_has_the_whole_weight(fields, names):
    model, both = tiny_units(M3ELModel, **fields), tiny_units(M3ELModel)
    if model.vision_model is None:
        model.load_state_dict({name: both.state_dict()[name] for name in model.state_dict()})
    expected = both.extra_losses(*training(both), SAME)
    mentions, entities = training(model)
    losses = model.extra_losses(mentions, entities, SAME)
    assert list(losses) == [f"contrastive_{name}" for name in names]
    for name, value in losses.items():
        torch.testing.assert_close(value, 2 * expected[name])
    assert {n for n in mentions if n.startswith("contrast_")} == {f"contrast_{name}" for name in names} | (
        {"contrast_has_image"} if "image" in names else set()
    )


@torch.no_grad()
def test_training_mode_adds_what_the_contrastive_loss_needs_and_nothing_else():
    model = tiny_units(M3ELModel)
    stored = encodings(model)
    assert not any(name.startswith("contrast_") for each in stored for name in each)
    live = encodings(model.train())
    for before, after in zip(stored, live, strict=True):
        assert before.keys() - after.keys() == {"dense"}, "searches need it, and the training of the scores does not"
        kept = [{name: each[name] for name in before.keys() & after.keys()} for each in (before, after)]
        torch.testing.assert_close(*kept, rtol=0, atol=0)
    assert torch.equal(model.match(*live), model.match(*stored))
    with pytest.raises(ValueError, match="`contrast_text`.*`train\\(\\)`"):
        model.extra_losses(*stored, SAME)


def test_a_missing_picture_is_no_anchor_and_no_negative_and_has_no_gradient():
    for legacy in (False, True):
        model = tiny_units(M3ELModel, legacy_masking=legacy)
        torch.nn.init.zeros_(model.reader.image_map.bias)  # the features of a missing picture are then exactly zero
        losses = model.extra_losses(*training(model), torch.eye(4, dtype=torch.bool))
        assert losses["contrastive_image"][[1, 3]].tolist() == [0.0, 0.0]
        sum(each.sum() for each in losses.values()).backward()
        gradient = model.reader.image_map.weight.grad
        assert gradient.isfinite().all() and 0 < gradient.abs().max() < 1e3
