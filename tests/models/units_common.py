"""Checks that every model made of matching units has to pass, on top of those of all models."""

import copy

import pytest
import torch

from hf_mel import TowerFeatures
from hf_mel.models import matching_units
from hf_mel.models.encodings import flatten, map_tensors, select_rows
from tests.common import ModelTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION
from tests.models import plain
from tests.models.conftest import side_inputs


TINY = {"text_config": TINY_TEXT, "vision_config": TINY_VISION, "matching_size": 6, "max_text_tokens": 12}


def tiny_units(model_class, **fields):
    """A tiny model in double precision, whose heads are large enough for every part to show."""
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**copy.deepcopy({**TINY, **fields}))).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(("text_model", "vision_model")):
                parameter.normal_(std=0.5)
    return model


def side(rows: int, seed: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Inputs of one side; every second row has no picture, and the first row has no padding."""
    inputs = {name: value for name, value in side_inputs(rows, seed=seed).items() if not name.startswith("surface")}
    inputs["input_ids"][0][inputs["attention_mask"][0] == 0] = 7
    inputs["attention_mask"][0] = 1
    return inputs | {"pixel_values": inputs["pixel_values"].to(dtype)}


def longer(inputs: dict[str, torch.Tensor], by: int) -> dict[str, torch.Tensor]:
    """The same texts with more padding."""
    padded = {name: torch.nn.functional.pad(inputs[name], (0, by)) for name in ("input_ids", "attention_mask")}
    return {**inputs, **padded}


def features(model) -> tuple[TowerFeatures, TowerFeatures]:
    with torch.no_grad():
        return model.extract(**side(4, 1)), model.extract(**side(5, 2))


@torch.no_grad()
def encodings(model) -> tuple[dict, dict]:
    mentions, entities = features(model)
    return model.encode("mention", mentions), model.encode("entity", entities)


@torch.no_grad()
def unit_scores(model) -> dict[str, torch.Tensor]:
    return model.match_with_units(*encodings(model))[1]


class UnitsTesterMixin(ModelTesterMixin):
    """Subclasses set `model_class`, `full` (fields with which every unit is there) and `references`."""

    full: dict = {}
    references: dict = {}
    """Name of a unit -> function of the unit, a mention and an entity ([`plain.Row`]), which gives the score."""
    switches: dict = {}
    """Name of a unit -> fields that leave out this unit alone."""
    near: dict = {}
    """Name of a unit for which no vector stands exactly -> the function whose scores the product of its vectors is."""

    @pytest.fixture
    def tiny_model(self):
        return tiny_units(self.model_class, **self.full).float()

    @pytest.fixture
    def inputs(self):
        both = {"mention": side(4, 1, torch.float32), "entity": side(5, 2, torch.float32)}
        inputs = {f"{name}_{key}": value for name, given in both.items() for key, value in given.items()}
        return {**inputs, "labels": torch.tensor([0, 3, 1, 2])}

    def outputs(self, model, inputs) -> tuple:
        with torch.no_grad():
            outputs = model.eval()(**inputs)
        return (outputs.loss, outputs.scores, *outputs.unit_scores.values())

    def assert_same(self, model, other, inputs):
        """Weights bit for bit; outputs to rounding, which depends on where in memory a weight begins."""
        state, other_state = model.state_dict(), other.state_dict()
        assert state.keys() == other_state.keys()
        assert all(torch.equal(value, other_state[name]) for name, value in state.items())
        for a, b in zip(self.outputs(model, inputs), self.outputs(other, inputs), strict=True):
            torch.testing.assert_close(a, b)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_gradients_are_finite_and_reach_every_head(self, tiny_model, inputs, dtype):
        tiny_model.to(dtype).train()(**inputs).loss.backward()
        for name, parameter in tiny_model.named_parameters():
            if not name.startswith(("text_model", "vision_model")):
                assert parameter.grad is not None and parameter.grad.isfinite().all(), name
                # The bias of keys adds the same number to all logits of a query: its gradient is 0 but for rounding.
                assert parameter.grad.abs().sum() > 0 or name.endswith(".key.bias"), name

    # ---- Formulas ----

    @pytest.mark.parametrize("legacy", [False, True])
    @torch.no_grad()
    def test_each_unit_is_its_formula(self, legacy):
        model = tiny_units(self.model_class, **self.full, legacy_masking=legacy)
        found = unit_scores(model)
        assert found.keys() == self.references.keys() == set(model.units)
        mentions, entities = (plain.read(model, each, legacy) for each in features(model))
        for name, score in self.references.items():
            expected = [[score(model.units[name], mention, entity) for entity in entities] for mention in mentions]
            expected = torch.tensor(expected, dtype=torch.float64)
            assert expected.abs().max() > 0.3
            torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-12, msg=name)

    def test_the_score_is_the_mean_and_the_loss_the_sum(self, tiny_model, inputs):
        outputs = tiny_model.eval()(**inputs)
        torch.testing.assert_close(outputs.scores, sum(outputs.unit_scores.values()) / len(self.references))
        loss = 0.0
        for scores in (outputs.scores, *outputs.unit_scores.values()):
            loss -= scores.log_softmax(dim=-1).gather(1, inputs["labels"][:, None]).mean()
        torch.testing.assert_close(outputs.loss, loss)
        tiny_model.config.softmax_temperature = 2.0
        assert tiny_model(**inputs).loss.item() != pytest.approx(outputs.loss.item(), rel=1e-3)

    def test_gradients_by_finite_differences(self):
        """Of every parameter of the heads along a random direction, and of the features."""
        model = tiny_units(self.model_class, **self.full).eval()
        given = features(model)
        weights = {name: torch.randn(4, 5, dtype=torch.float64) for name in self.references}

        def value():
            encoded = (model.encode(name, each) for name, each in zip(("mention", "entity"), given, strict=True))
            return sum((weights[name] * scores).sum() for name, scores in model.match_with_units(*encoded)[1].items())

        heads = {n: p for n, p in model.named_parameters() if not n.startswith(("text_model", "vision_model"))}
        for each, prefix in zip(given, ("mention", "entity"), strict=True):
            for name, tensor in each.items():
                if tensor.is_floating_point():
                    heads[f"{prefix}.{name}"] = tensor.requires_grad_()
        gradients = dict(zip(heads, torch.autograd.grad(value(), list(heads.values())), strict=True))
        step = 1e-6
        for name, parameter in heads.items():
            direction = torch.randn_like(parameter)
            with torch.no_grad():
                ends = []
                for sign in (1, -1):
                    parameter.add_(direction, alpha=sign * step)
                    ends.append(value().item())
                    parameter.sub_(direction, alpha=sign * step)
            slope = (ends[0] - ends[1]) / (2 * step)
            assert (gradients[name] * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-6), name

    # ---- The vectors that stand for the units ----

    @pytest.mark.parametrize("legacy", [False, True])
    @torch.no_grad()
    def test_the_product_of_vectors_is_its_formula(self, legacy):
        model = tiny_units(self.model_class, **self.full, legacy_masking=legacy)
        assert model.vector_name is None and model.proposal_name == "dense" and self.near.keys() <= set(model.units)
        mentions, entities = (plain.read(model, each, legacy) for each in features(model))
        encoded, total = encodings(model), 0
        for name, unit in model.units.items():
            vectors = [unit.dense(side, each[name]) for side, each in zip(("mention", "entity"), encoded, strict=True)]
            score = (self.references | self.near)[name]
            expected = torch.tensor([[score(unit, m, e) for e in entities] for m in mentions], dtype=torch.float64)
            torch.testing.assert_close(vectors[0] @ vectors[1].mT, expected, rtol=1e-10, atol=1e-12, msg=name)
            total = total + expected / len(model.units)
        product = encoded[0]["dense"] @ encoded[1]["dense"].mT
        torch.testing.assert_close(product, total, rtol=1e-10, atol=1e-12)
        assert ((product - model.match(*encoded)).abs().max() > 1e-3) == bool(self.near)

    @torch.no_grad()
    def test_with_even_attention_and_closed_gates_it_is_the_score(self):
        model = tiny_units(self.model_class, **self.full)
        for name, parameter in model.units.named_parameters():
            if ".gate." in name or ".query." in name:
                parameter.zero_()
        mentions, entities = encodings(model)
        product, scores = mentions["dense"] @ entities["dense"].mT, model.match(mentions, entities)
        torch.testing.assert_close(product, scores, rtol=1e-10, atol=1e-12)

    # ---- What has no influence ----

    @torch.no_grad()
    def test_the_length_of_the_padding_has_no_influence(self):
        model = tiny_units(self.model_class, **self.full)
        expected = model.match(*encodings(model))
        padded = [model.extract(**longer(side(*each), 3)) for each in ((4, 1), (5, 2))]
        found = model.match(model.encode("mention", padded[0]), model.encode("entity", padded[1]))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("legacy", [False, True])
    @torch.no_grad()
    def test_padding_has_influence_only_under_legacy_masking(self, legacy):
        model = tiny_units(self.model_class, **self.full, legacy_masking=legacy)
        inputs, (mentions, entities) = side(4, 1), encodings(model)
        inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 50)
        changed = model.encode("mention", model.extract(**inputs))
        moved = (model.match(changed, entities) - model.match(mentions, entities)).abs().amax(-1)
        short = (inputs["attention_mask"] == 0).any(-1)
        assert short.any() and not short.all()
        assert ((moved > 1e-4) == (short & legacy)).all() and (legacy or moved.max() < 1e-12)

    @pytest.mark.parametrize("legacy", [False, True])
    @torch.no_grad()
    def test_a_missing_picture_scores_0_but_under_legacy_masking(self, legacy):
        model = tiny_units(self.model_class, **self.full, legacy_masking=legacy)
        given, found = features(model), unit_scores(model)
        missing = ~(given[0].has_image[:, None] & given[1].has_image)
        assert missing.any() and not missing.all()
        for name, scores in found.items():
            assert ((scores != 0) == (~missing | (name == "text") | legacy)).all(), name
        garbage = TowerFeatures(**given[0])
        for name in ("image_features", "patch_features"):
            value = garbage[name].clone()
            value[~garbage.has_image] += torch.randn_like(value[~garbage.has_image])
            garbage[name] = value
        encoded = model.encode("mention", garbage), model.encode("entity", given[1])
        others = model.match_with_units(*encoded)[1]
        for name, scores in found.items():
            assert torch.equal(scores, others[name]) is (not legacy or name == "text"), name

    def test_nan_pixels_of_a_missing_picture_reach_no_gradient(self, tiny_model, inputs):
        for name in ("mention", "entity"):
            inputs[f"{name}_pixel_values"][~inputs[f"{name}_has_image"]] = torch.nan
        tiny_model.train()(**inputs).loss.backward()
        assert all(p.grad.isfinite().all() for p in tiny_model.parameters() if p.grad is not None)

    # ---- How it is computed ----

    def test_blocks_change_nothing(self, monkeypatch):
        model = tiny_units(self.model_class, **self.full)
        given = encodings(model)
        expected = model.match(*given)
        for name in ("CACHED", "RECOMPUTED"):
            monkeypatch.setattr(matching_units, name, 1)  # one entity a block
        torch.testing.assert_close(model.match(*given), expected, rtol=1e-12, atol=1e-13)

    @torch.no_grad()
    def test_encodings_are_rows(self):
        model = tiny_units(self.model_class, **self.full)
        (given, _), (mentions, entities) = features(model), encodings(model)
        assert {len(v) for v in flatten(mentions).values()} == {4} and {
            len(v) for v in flatten(entities).values()
        } == {5}
        rows = torch.tensor([2, 0])
        torch.testing.assert_close(model.encode("mention", given.select(rows)), select_rows(mentions, rows))
        candidates = torch.tensor([[0, 4], [1, 1], [2, 0], [3, 2]])
        taken = select_rows(entities, candidates)
        expected = model.match(mentions, entities).gather(1, candidates)
        torch.testing.assert_close(model.match_candidates(mentions, taken), expected, rtol=1e-10, atol=1e-12)
        assert model.match(mentions, select_rows(entities, slice(0))).shape == (4, 0)
        assert model.match(select_rows(mentions, slice(0)), entities).shape == (0, 5)

    @pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)], ids=str)
    @torch.no_grad()
    def test_stored_in_half_precision(self, dtype, bound):
        """What an index stores, against all in double precision; the bound is a share of the largest score."""
        model = tiny_units(self.model_class, **self.full)
        exact = model.match(*encodings(model))

        def rounded(value):
            return value.to(dtype).float() if value.is_floating_point() else value

        found = model.float().match(*(map_tensors(rounded, each) for each in encodings(model)))
        assert (found - exact).abs().max() < bound * exact.abs().max()

    @pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2)], ids=str)
    @torch.no_grad()
    def test_the_whole_model_in_half_precision(self, dtype, bound):
        model = tiny_units(self.model_class, **self.full)
        exact = model.match(*encodings(model))
        given = [each.to(dtype) for each in features(model)]
        model.to(dtype)
        found = model.match(model.encode("mention", given[0]), model.encode("entity", given[1]))
        assert found.dtype is dtype
        assert (found.double() - exact).abs().max() < bound * exact.abs().max()

    @torch.no_grad()
    def test_features_stored_in_half_precision_are_read(self, tiny_model):
        given = tiny_model.extract(**side(4, 1, torch.float32)), tiny_model.extract(**side(5, 2, torch.float32))
        exact = tiny_model.match(tiny_model.encode("mention", given[0]), tiny_model.encode("entity", given[1]))
        stored = [each.to(torch.bfloat16) for each in given]
        found = tiny_model.match(tiny_model.encode("mention", stored[0]), tiny_model.encode("entity", stored[1]))
        assert found.dtype is torch.float32
        assert 0 < (found - exact).abs().max() < 0.03 * exact.abs().max()

    # ---- Switches ----

    def test_a_switch_takes_out_its_unit_and_nothing_else(self):
        whole = tiny_units(self.model_class, **self.full)
        expected = unit_scores(whole)
        assert self.switches.keys() == expected.keys()
        for name, fields in self.switches.items():
            model = tiny_units(self.model_class, **{**self.full, **fields})
            kept = {n: v for n, v in whole.state_dict().items() if not n.startswith(f"units.{name}.")}
            assert kept.keys() == model.state_dict().keys(), name
            model.load_state_dict(kept)
            found = unit_scores(model)
            assert list(found) == [other for other in expected if other != name]
            assert all(torch.equal(found[other], expected[other]) for other in found)
            torch.testing.assert_close(model.match(*encodings(model)), sum(found.values()) / len(found))

    def test_without_vision_there_are_texts_alone(self, inputs, tmp_path):
        model = tiny_units(self.model_class, **{**self.full, "vision_config": None})
        assert list(model.units) == ["text"]
        expected = unit_scores(tiny_units(self.model_class, **self.full))["text"]
        whole = tiny_units(self.model_class, **self.full).state_dict()
        model.load_state_dict({name: whole[name] for name in model.state_dict()})
        torch.testing.assert_close(model.match(*encodings(model)), expected)
        model.float().save_pretrained(tmp_path)
        self.assert_same(model, self.model_class.from_pretrained(tmp_path), inputs)

    def test_every_switch_comes_back(self, inputs, tmp_path):
        for name, fields in {**self.switches, "legacy": {"legacy_masking": True}}.items():
            model = tiny_units(self.model_class, **{**self.full, **fields}).float()
            model.save_pretrained(tmp_path / name)
            self.assert_same(model, self.model_class.from_pretrained(tmp_path / name), inputs)

    def test_an_unknown_side(self, tiny_model):
        with pytest.raises(ValueError, match="`side` must be.*'left'"):
            tiny_model.encode("left", tiny_model.extract(**side(2, 1, torch.float32)))
