"""GHMFC against its formulas, and what every model of the package has to pass."""

import copy

import pytest
import torch

from hf_mel import GHMFCConfig, GHMFCModel, TowerFeatures
from tests.common import ModelTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION
from tests.models import plain_ghmfc
from tests.models.units_common import encodings, features, longer, side


TINY = {
    "text_config": TINY_TEXT,
    "vision_config": TINY_VISION,
    "projection_size": 8,
    "coattention_size": 6,
    "num_coattention_heads": 2,
}
# Each with the heads' parameters that it takes out.
SWITCHES = {
    "no tokens": ({"use_token_level": False}, ("guided_text.token.", "guided_image.token.")),
    "no phrases": ({"use_phrase_level": False}, ("guided_text.phrase.", "guided_image.phrase.", "phrases.")),
    "no pooled features": ({"use_global": False}, ("text_feature_norm.", "image_feature_norm.")),
    "no gate": ({"use_gate": False}, ("fusion.gate.",)),
    "no co-attention": (
        {"use_token_level": False, "use_phrase_level": False},
        ("guided_", "phrases.", "token_", "patch_"),
    ),
    "no pictures of entities": ({"use_entity_images": False}, ()),
    "heads of their own": ({"share_heads": False}, None),
    "one width": ({"phrase_widths": [2]}, ("phrases.convolutions.1.", "phrases.convolutions.2.")),
    "without vision": ({"vision_config": None}, None),
}
HEADS = "heads.shared."


def tiny_ghmfc(**fields) -> GHMFCModel:
    """A tiny model in double precision, whose heads are large enough for every part to show."""
    torch.manual_seed(0)
    model = GHMFCModel(GHMFCConfig(**copy.deepcopy({**TINY, "max_text_tokens": 12, **fields}))).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("heads"):
                parameter.normal_(std=0.5)
    return model


def parts_of(model: GHMFCModel) -> set[str]:
    return {name.removeprefix(HEADS) for name, _ in model.named_parameters() if name.startswith("heads")}


def garbled(given: TowerFeatures) -> TowerFeatures:
    """Other values where there is no picture and on padding."""
    changed = TowerFeatures(**given)
    for name in ("image_features", "patch_features"):
        value = given[name].clone()
        value[~given.has_image] = torch.nan
        changed[name] = value
    changed.token_features = torch.where(given.token_mask[..., None], given.token_features, 1e3)
    return changed


class TestGHMFCModel(ModelTesterMixin):
    model_class = GHMFCModel

    @pytest.fixture
    def tiny_model(self):
        return tiny_ghmfc().float()

    @pytest.fixture
    def inputs(self):
        both = {"mention": side(4, 1, torch.float32), "entity": side(5, 2, torch.float32)}
        inputs = {f"{name}_{key}": value for name, given in both.items() for key, value in given.items()}
        return {**inputs, "labels": torch.tensor([0, 3, 1, 2])}

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
            if name.startswith("heads"):
                assert parameter.grad is not None and parameter.grad.isfinite().all(), name
                # The bias of keys adds the same number to all logits of a query: its gradient is 0 but for rounding.
                assert parameter.grad.abs().sum() > 0 or name.endswith(".key.bias"), name

    # ---- Formulas ----

    @pytest.mark.parametrize("name", ["whole", *SWITCHES])
    @torch.no_grad()
    def test_it_is_its_formula(self, name):
        fields = SWITCHES[name][0] if name in SWITCHES else {}
        model = tiny_ghmfc(**fields)
        given = dict(zip(("mention", "entity"), features(model), strict=True))
        found, rows = {}, {}
        for which, each in given.items():
            found[which] = model.encode(which, each)
            head = model.heads["shared" if "shared" in model.heads else which]
            images = which == "mention" or model.config.use_entity_images
            rows[which] = [plain_ghmfc.row(head, each, i, images) for i in range(len(each.text_features))]
            embeds = torch.stack([row["embeds"] for row in rows[which]])
            torch.testing.assert_close(found[which]["embeds"], embeds, rtol=1e-10, atol=1e-12)
            weights = torch.tensor([row["image_weight"] for row in rows[which]], dtype=torch.float64)
            torch.testing.assert_close(found[which]["image_weight"], weights, rtol=1e-10, atol=1e-12)
        scores = [[float(m["embeds"] @ e["embeds"]) for e in rows["entity"]] for m in rows["mention"]]
        expected = torch.tensor(scores, dtype=torch.float64)
        torch.testing.assert_close(model.match(found["mention"], found["entity"]), expected, rtol=1e-10, atol=1e-12)

    def test_the_loss_is_the_cross_entropy(self, tiny_model, inputs):
        outputs = tiny_model.eval()(**inputs)
        expected = -(outputs.scores / 0.05).log_softmax(dim=-1).gather(1, inputs["labels"][:, None]).mean()
        torch.testing.assert_close(outputs.loss, expected)
        assert outputs.mention_image_weight.shape == (4,) and outputs.entity_embeds.shape == (5, 8)

    @pytest.mark.parametrize("name", ["whole", "no gate", "no pooled features"])
    def test_gradients_by_finite_differences(self, name):
        """Of every parameter of the heads, along a random direction, and of the features; the contrast included."""
        model = tiny_ghmfc(**(SWITCHES[name][0] if name in SWITCHES else {})).train()
        given = features(model)
        weights, same = torch.randn(4, 5, dtype=torch.float64), torch.eye(4, dtype=torch.bool)

        def value():
            mentions, entities = model.encode("mention", given[0]), model.encode("entity", given[1])
            extra = model.extra_losses(mentions, entities, same)
            return (weights * model.match(mentions, entities)).sum() + sum(each.sum() for each in extra.values())

        heads = {n: p for n, p in model.named_parameters() if n.startswith("heads")}
        for each, prefix in zip(given, ("mention", "entity"), strict=True):
            for key, tensor in each.items():
                if tensor.is_floating_point() and (
                    model.config.use_global or key in ("token_features", "patch_features")
                ):
                    heads[f"{prefix}.{key}"] = tensor.requires_grad_()
        gradients = dict(zip(heads, torch.autograd.grad(value(), list(heads.values())), strict=True))
        step = 1e-6
        for key, parameter in heads.items():
            direction = torch.randn_like(parameter)
            with torch.no_grad():
                ends = []
                for sign in (1, -1):
                    parameter.add_(direction, alpha=sign * step)
                    ends.append(value().item())
                    parameter.sub_(direction, alpha=sign * step)
            slope = (ends[0] - ends[1]) / (2 * step)
            assert (gradients[key] * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-6), key

    # ---- Contrast ----

    @torch.no_grad()
    def test_the_contrasts_are_their_formula(self):
        model = tiny_ghmfc(contrastive_weight=0.7, contrastive_temperature=0.3).train()
        given = model.extract(**side(6, 3))
        mentions = model.encode("mention", given)
        same = torch.eye(6, dtype=torch.bool)
        same[0, 4] = same[4, 0] = True  # both have pictures
        found = model.extra_losses(mentions, {}, same)
        assert list(found) == ["text_to_image", "image_to_text"] and model.has_extra_losses
        rows = [plain_ghmfc.row(model.heads["shared"], given, i) for i in range(6)]
        texts, images = [[row[name] for row in rows] for name in ("text", "image")]
        assert [image is None for image in images] == [False, True] * 3
        for name, pair in (("text_to_image", (texts, images)), ("image_to_text", (images, texts))):
            expected = torch.tensor(plain_ghmfc.contrast(*pair, {(0, 4), (4, 0)}, 0.3), dtype=torch.float64) * 0.7
            torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-12)
            assert (found[name] != 0).tolist() == [True, False] * 3

    @torch.no_grad()
    def test_which_contrasts_there_are(self):
        same = torch.eye(4, dtype=torch.bool)
        for fields, expected in (
            ({"contrastive_text_to_image": False}, ["image_to_text"]),
            ({"contrastive_image_to_text": False}, ["text_to_image"]),
            ({"contrastive_weight": 0.0}, []),
            ({"vision_config": None}, []),
        ):
            model = tiny_ghmfc(**fields).train()
            mentions, entities = encodings(model)
            assert list(model.extra_losses(mentions, entities, same)) == expected
            assert model.has_extra_losses is bool(expected)
            assert ("contrast_text" in mentions) is bool(expected) and "contrast_text" not in entities

    @torch.no_grad()
    def test_contrasts_need_training_mode(self):
        model = tiny_ghmfc()
        mentions, entities = encodings(model)
        assert list(mentions) == ["embeds", "image_weight"], "nothing else is stored in an index"
        with pytest.raises(ValueError, match="lack `contrast_text`"):
            model.extra_losses(mentions, entities, torch.eye(4, dtype=torch.bool))

    # ---- What has no influence ----

    @torch.no_grad()
    def test_padding_has_no_influence(self):
        model = tiny_ghmfc()
        expected = model.match(*encodings(model))
        padded = [model.extract(**longer(side(*each), 3)) for each in ((4, 1), (5, 2))]
        found = model.match(model.encode("mention", padded[0]), model.encode("entity", padded[1]))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        inputs = side(4, 1)
        inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 50)
        changed = model.encode("mention", model.extract(**inputs))
        torch.testing.assert_close(changed, encodings(model)[0], rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("name", ["whole", "no gate", "no co-attention", "no pooled features"])
    def test_what_is_not_there_has_no_influence(self, name):
        model = tiny_ghmfc(**(SWITCHES[name][0] if name in SWITCHES else {})).train()
        given, _ = features(model)
        encoded, other = model.encode("mention", given), model.encode("mention", garbled(given))
        for key in ("embeds", "image_weight", "contrast_text"):
            torch.testing.assert_close(other[key], encoded[key], rtol=1e-12, atol=1e-12, msg=key)
        assert (encoded["image_weight"] == 0).tolist() == [False, True, False, True]
        same = torch.eye(4, dtype=torch.bool)
        loss = other["embeds"].sum() + sum(each.sum() for each in model.extra_losses(other, {}, same).values())
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_nan_pixels_of_a_missing_picture_reach_no_gradient(self, tiny_model, inputs):
        for name in ("mention", "entity"):
            inputs[f"{name}_pixel_values"][~inputs[f"{name}_has_image"]] = torch.nan
        tiny_model.train()(**inputs).loss.backward()
        assert all(p.grad.isfinite().all() for p in tiny_model.parameters() if p.grad is not None)

    @torch.no_grad()
    def test_the_picture_of_an_entity_can_be_left_out(self):
        model = tiny_ghmfc(use_entity_images=False)
        given = features(model)
        assert model.encode("mention", given[0])["image_weight"].any()
        found = model.encode("entity", given[1])
        assert not found["image_weight"].any()
        blind = TowerFeatures(**{**given[1], "has_image": torch.zeros_like(given[1].has_image)})
        assert torch.equal(found["embeds"], tiny_ghmfc().encode("entity", blind)["embeds"])

    # ---- Rows, precision, switches ----

    @torch.no_grad()
    def test_encodings_are_rows(self):
        model = tiny_ghmfc()
        (given, _), (mentions, entities) = features(model), encodings(model)
        rows = torch.tensor([2, 0])
        for name, value in model.encode("mention", given.select(rows)).items():
            torch.testing.assert_close(value, mentions[name][rows])
        candidates = torch.tensor([[0, 4], [1, 1], [2, 0], [3, 2]])
        taken = {name: value[candidates] for name, value in entities.items()}
        expected = model.match(mentions, entities).gather(1, candidates)
        torch.testing.assert_close(model.match_candidates(mentions, taken), expected, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-2), (torch.bfloat16, 8e-2)], ids=str)
    @torch.no_grad()
    def test_in_half_precision(self, dtype, bound):
        model = tiny_ghmfc()
        exact, given = model.match(*encodings(model)), [each.to(dtype) for each in features(model)]
        stored = model.encode("mention", given[0]), model.encode("entity", given[1])
        assert stored[0]["embeds"].dtype is torch.float64, "features are read in the precision of the heads"
        assert (model.match(*stored) - exact).abs().max() < bound
        model.to(dtype)
        found = model.match(model.encode("mention", given[0]), model.encode("entity", given[1]))
        assert found.dtype is dtype and 0 < (found.double() - exact).abs().max() < bound

    @pytest.mark.parametrize("name", SWITCHES)
    def test_a_switch_takes_out_its_parts_and_comes_back(self, name, inputs, tmp_path):
        fields, gone = SWITCHES[name]
        model = tiny_ghmfc(**fields).float()
        if gone is not None:
            assert parts_of(model) == {part for part in parts_of(tiny_ghmfc()) if not part.startswith(gone)}
        model.save_pretrained(tmp_path)
        self.assert_same(model, GHMFCModel.from_pretrained(tmp_path), inputs)
        loss = model.train()(**inputs).loss
        loss.backward()
        dead = [n for n, p in model.named_parameters() if n.startswith("heads") and p.grad is None]
        assert not dead, "a parameter that nothing reads"

    def test_an_unknown_side(self, tiny_model):
        with pytest.raises(ValueError, match="`side` must be.*'left'"):
            tiny_model.encode("left", tiny_model.extract(**side(2, 1, torch.float32)))
