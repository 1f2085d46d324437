"""MELOV: three units on optimised pictures, its switches, its bank in a checkpoint."""

import copy
import re

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn import functional as F

from hf_mel import MELOVConfig, MELOVModel, MIMICConfig, MIMICModel, TowerFeatures
from tests.common import ConfigTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION

from . import plain
from .conftest import side_inputs
from .plain_melov import generation_loss, optimised
from .units_common import UnitsTesterMixin


UNITS = {"text": plain.text_score, "vision": plain.vision_score, "cross": plain.cross_score}


def side(rows: int, prefix: str = "", seed: int = 0) -> dict[str, torch.Tensor]:
    inputs = side_inputs(rows, seed=seed)
    return {f"{prefix}{name}": value for name, value in inputs.items() if not name.startswith("surface")}


def tiny(**fields) -> MELOVModel:
    towers = {"text_config": dict(TINY_TEXT), "vision_config": dict(TINY_VISION)}
    config = MELOVConfig(**(towers | {"matching_size": 6, "latent_size": 4, "bank_size": 8} | fields))
    model = MELOVModel(config)
    with torch.no_grad():  # so large that every parameter shows in a score
        for name, parameter in model.named_parameters():
            if not name.startswith(("text_model", "vision_model")) and "threshold" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def filled(**fields) -> MELOVModel:
    model = tiny(**fields).eval()
    with torch.no_grad():
        model.fill_bank([model.extract(**side(6, seed=3)), model.extract(**side(6, seed=4))])
    return model


def features(model, rows: int, seed: int) -> TowerFeatures:
    with torch.no_grad():
        return model.extract(**side(rows, seed=seed))


def scores(model, mentions: TowerFeatures, entities: TowerFeatures) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        total, units = model.match_with_units(model.encode("mention", mentions), model.encode("entity", entities))
    return {"total": total, **units}


@pytest.fixture
def tiny_config():
    return tiny().config


class TestMELOVConfig(ConfigTesterMixin):
    config_class = MELOVConfig

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"similarity": "l1"}, "`similarity` must be one of 'kernel', 'dot', 'cosine', 'euclidean', got 'l1'"),
            ({"latent_size": 0}, "`latent_size` must be positive, got 0"),
            ({"bandwidth": 0.0}, "`bandwidth` must be positive"),
            ({"num_graph_layers": 0}, "`num_graph_layers` must be positive"),
            ({"generation_weight": -1.0}, "`generation_weight` must be at least 0"),
            ({"threshold": -0.1}, "`threshold` must be at least 0"),
            ({"bank_size": -1}, "`bank_size` must be at least 0"),
            ({"fill_missing_images": True, "use_generation": False, "use_aggregation": False}, "nothing else can"),
        ],
    )
    def test_errors_name_the_field(self, fields, message):
        with pytest.raises(StrictDataclassError, match=message):
            MELOVConfig(**fields)


class TestMELOVModel(UnitsTesterMixin):
    """What every model of units has to pass; the formulas have tests of their own below."""

    model_class = MELOVModel
    full = {"latent_size": 4, "bank_size": 8}
    references = UNITS
    switches = {name: {f"use_{name}_unit": False} for name in UNITS}
    test_each_unit_is_its_formula = test_gradients_by_finite_differences = None
    test_the_product_of_vectors_is_its_formula = None  # of the same units as MIMIC's

    @pytest.fixture
    def tiny_model(self):
        return filled()

    def test_the_bank_is_saved(self, tiny_model, tmp_path):
        tiny_model.save_pretrained(tmp_path)
        loaded = MELOVModel.from_pretrained(tmp_path).eval()
        assert loaded.optimiser.graph.bank_count == tiny_model.optimiser.graph.bank_count == 4
        sides = features(tiny_model, 4, seed=1), features(tiny_model, 5, seed=2)
        expected = scores(tiny_model, *sides)["total"]
        torch.testing.assert_close(scores(loaded, *sides)["total"], expected)
        loaded.fill_bank([])
        assert (scores(loaded, *sides)["total"] - expected).abs().max() > 1e-3


# ---- The formulas ----

ABLATIONS = [
    {},
    {"use_generation": False},
    {"use_aggregation": False},
    {"use_threshold": False},
    {"similarity": "dot"},
    {"similarity": "cosine"},
    {"similarity": "euclidean"},
]


def rows(model, given: TowerFeatures) -> list[plain.Row]:
    with torch.no_grad():
        return plain.read(model, given)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fields", ABLATIONS, ids=str)
@torch.no_grad()
def test_scores_by_loops(fields, training):
    model = filled(sample_latents=False, **fields).double()
    mentions, entities = features(model, 4, seed=1), features(model, 3, seed=2)
    bank = [*features(model, 6, seed=3).select(slice(6)).items()]
    bank = rows(model, TowerFeatures(**dict(bank))) + rows(model, features(model, 6, seed=4))[:2]
    model.fill_bank([features(model, 6, seed=3), features(model, 6, seed=4)])
    model.train(training)
    new = optimised(model, rows(model, mentions), None if training else bank)
    found = scores(model, mentions, entities)
    for i, mention in enumerate(new):
        for j, entity in enumerate(rows(model, entities)):
            each = {name: score(model.units[name], mention, entity) for name, score in UNITS.items()}
            each["total"] = sum(each.values()) / 3
            for name, value in each.items():
                torch.testing.assert_close(found[name][i, j], value, msg=f"{name} of {i}, {j}")


@torch.no_grad()
def test_the_loss_of_the_generator():
    model = tiny(sample_latents=False, generation_weight=0.25).double().train()
    mentions, entities = features(model, 4, seed=1), features(model, 4, seed=2)
    encoded = model.encode("mention", mentions), model.encode("entity", entities)
    same = torch.eye(4, dtype=torch.bool)
    (loss,) = model.extra_losses(*encoded, same).values()
    expected = [0.25 * generation_loss(model.optimiser.generator, row) for row in rows(model, mentions)]
    torch.testing.assert_close(loss, torch.tensor(expected).double())
    assert expected[0] > 0 and expected[1] == 0, "the second has no picture"
    model.eval()
    encoded = model.encode("mention", mentions), model.encode("entity", entities)
    assert model.extra_losses(*encoded, same) == {}
    for off in ({"generation_weight": 0.0}, {"use_generation": False}):
        model = tiny(**off).train()
        encoded = model.encode("mention", features(model, 4, seed=1)), model.encode("entity", features(model, 4, 2))
        assert model.extra_losses(*encoded, same) == {}


def test_gradients_by_finite_differences():
    """Of scores and loss in training, to the weights of what is optimised; the threshold's is an estimate."""
    model = tiny(sample_latents=False, learn_threshold=False, generation_weight=0.1, bandwidth=1.0).double().train()
    mentions, entities = features(model, 3, seed=1), features(model, 3, seed=2)

    def loss():
        encoded = model.encode("mention", mentions), model.encode("entity", entities)
        total = F.cross_entropy(model.match(*encoded), torch.arange(3))
        return total + model.extra_losses(*encoded, torch.eye(3).bool())["generation"].sum()

    loss().backward()
    for name, parameter in model.optimiser.named_parameters():
        place = int(parameter.grad.abs().argmax())
        values, step = parameter.data.view(-1), 1e-6
        values[place] += step
        above = loss().item()
        values[place] -= 2 * step
        below = loss().item()
        values[place] += step
        assert parameter.grad.view(-1)[place].item() == pytest.approx((above - below) / (2 * step), rel=1e-4), name


# ---- Rows, padding, missing pictures ----


@torch.no_grad()
def test_padding_has_no_influence():
    model = filled()
    inputs = side(3, seed=1)
    longer = {name: F.pad(inputs[name], (0, 6)) for name in ("input_ids", "attention_mask")}
    entities = features(model, 2, seed=2)
    found = [scores(model, model.extract(**each), entities)["total"] for each in (inputs, inputs | longer)]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_a_missing_picture(training):
    """Its numbers have no influence, on its own row or on others; they have one under `legacy_masking`."""
    for legacy in (False, True):
        model = filled(sample_latents=False, legacy_masking=legacy).train(training)
        mentions, entities = features(model, 4, seed=1), features(model, 3, seed=2)
        before = scores(model, mentions, entities)
        missing = ~mentions.has_image
        mentions.image_features[missing] = 5.0
        mentions.patch_features[missing] = torch.randn_like(mentions.patch_features[missing])
        after = scores(model, mentions, entities)
        if legacy:
            assert (before["vision"][missing] != after["vision"][missing]).all()
            assert training == (not torch.equal(before["vision"][~missing], after["vision"][~missing]))
        else:
            assert all(torch.equal(before[name], after[name]) for name in before)
            assert not before["vision"][missing].any() and before["vision"][~missing][:, [0, 2]].all()


@torch.no_grad()
def test_what_stands_in_for_a_missing_picture():
    plain_model, model = filled(), filled(fill_missing_images=True)
    model.load_state_dict(plain_model.state_dict())
    mentions, entities = features(model, 4, seed=1), features(model, 3, seed=2)
    with_picture, missing = mentions.has_image, ~mentions.has_image
    before, after = scores(plain_model, mentions, entities), scores(model, mentions, entities)
    assert torch.equal(before["text"], after["text"])
    for name in ("vision", "cross"):
        torch.testing.assert_close(before[name][with_picture], after[name][with_picture])
        assert not before[name][missing].any()
        assert after[name][missing][:, entities.has_image].all()
        assert not after[name][:, ~entities.has_image].any(), "an entity's picture is never made up"
    mentions.image_features[missing], mentions.patch_features[missing] = 5.0, 7.0
    again = scores(model, mentions, entities)
    assert all(torch.equal(after[name], again[name]) for name in after)
    # Neighbours alone stand in only where there are some.
    alone = filled(fill_missing_images=True, use_generation=False, use_threshold=False)
    assert scores(alone, mentions, entities)["vision"][missing][:, entities.has_image].all()
    alone.fill_bank([])
    assert not scores(alone, mentions, entities)["vision"][missing].any()


# ---- Switches ----


@torch.no_grad()
def test_without_both_it_is_mimic():
    model = tiny(use_generation=False, use_aggregation=False).eval()
    config = {name: model.config.to_dict()[name] for name in ("text_config", "vision_config", "matching_size")}
    mimic = MIMICModel(MIMICConfig(**config)).eval()
    mimic.load_state_dict(model.state_dict())
    sides = features(model, 4, seed=1), features(model, 3, seed=2)
    for training in (True, False):
        found, expected = (scores(each.train(training), *sides) for each in (model, mimic))
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "changed",
    [*ABLATIONS[1:], {"threshold": 0.9}, {"bandwidth": 2.0}, {"num_graph_layers": 1}, {"bank_size": 0}],
    ids=str,
)
@torch.no_grad()
def test_a_switch_changes_the_pictures_of_mentions_alone(changed):
    model, other = filled(), filled(**changed)
    own = other.state_dict()
    shared = {k: v for k, v in model.state_dict().items() if k in own and v.shape == own[k].shape and "bank" not in k}
    other.load_state_dict({k: v for k, v in shared.items() if "threshold" not in k}, strict=False)
    other.fill_bank([features(other, 6, seed=3), features(other, 6, seed=4)])
    mentions, entities = features(model, 4, seed=1), features(model, 3, seed=2)
    encoded = (each.encode("entity", entities) for each in (model, other))
    torch.testing.assert_close(*encoded, rtol=0, atol=0)
    before, after = scores(model, mentions, entities), scores(other, mentions, entities)
    assert torch.equal(before["text"], after["text"])
    both = mentions.has_image[:, None] & entities.has_image
    assert (before["vision"][both] != after["vision"][both]).any()
    assert (before["cross"][both] != after["cross"][both]).any()


def test_text_alone():
    model = tiny(vision_config=None).eval()
    assert model.optimiser is None and list(model.units) == ["text"]
    model.fill_bank([features(model, 2, seed=1)])
    assert model.extra_losses(model.train().encode("mention", features(model, 2, seed=1)), {}, torch.eye(2)) == {}


@torch.no_grad()
def test_noise_is_in_training_alone():
    model = filled()
    mentions = features(model, 4, seed=1)
    assert torch.equal(*(model.encode("mention", mentions)["cross"]["vector"] for _ in range(2)))
    model.train()
    assert not torch.equal(*(model.encode("mention", mentions)["cross"]["vector"] for _ in range(2)))


# ---- Checkpoints ----


def test_from_towers_keeps_the_towers(checkpoint):
    folder, clip = checkpoint("clip")
    model = MELOVModel.from_towers(folder, matching_size=6, latent_size=4, bank_size=4)
    for name, value in clip.text_model.state_dict().items():
        assert torch.equal(value, model.text_model.state_dict()[name]), name
    for name, value in clip.vision_model.state_dict().items():
        assert torch.equal(value, model.vision_model.state_dict()[name]), name
    graph = model.optimiser.graph
    assert (
        graph.threshold.value.item() == pytest.approx(0.2) and graph.bank_unit == 1 and graph.bank_degree.eq(1).all()
    )
    assert model.optimiser.generator.patch_queries.std() > 0


def test_what_a_checkpoint_lacks_is_initialised(tmp_path):
    """A checkpoint with a bank of another size: its other weights are read, its bank is empty."""
    tiny_model = filled()
    tiny_model.save_pretrained(tmp_path)
    config = copy.deepcopy(tiny_model.config)
    config.bank_size = 3
    loaded = MELOVModel.from_pretrained(tmp_path, config=config, ignore_mismatched_sizes=True)
    graph = loaded.optimiser.graph
    assert torch.equal(graph.image_layers.layers[0].weight, tiny_model.optimiser.graph.image_layers.layers[0].weight)
    assert graph.bank_text.shape[0] == 3 and not graph.bank_text.any() and graph.bank_degree.eq(1).all()


def test_a_checkpoint_brings_all_code_that_it_needs(tmp_path):
    filled().save_pretrained(tmp_path)
    known, waiting = set(), {"modeling_melov"}
    while waiting:
        name = waiting.pop()
        known.add(name)
        code = (tmp_path / f"{name}.py").read_text(encoding="utf-8")
        waiting |= set(re.findall(r"^from \.(\w+) import", code, flags=re.MULTILINE)) - known
    assert {"latent", "mention_graph", "configuration_melov", "matching_units"} <= known
