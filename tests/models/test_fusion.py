import math

import pytest
import torch
from torch.nn import functional as F

from hf_mel import PGMELConfig, PGMELGeneratorConfig, PGMELModel, TowerFeatures
from hf_mel.models.fusion import FUSIONS, FusionHead, GatedMultimodalUnit, LateFusion, SideHeads, TextViews
from tests.conftest import TINY_TEXT, TINY_VISION


WITH_IMAGE = ["gmu", "concat", "modality_attention", "late", "cosine", "image"]


def head(**fields) -> FusionHead:
    fields = {"text_feature_size": 5, "vision_feature_size": 3, "projection_size": 4, **fields}
    module = FusionHead(PGMELGeneratorConfig(**fields)).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.eval()


def one_view(size: int) -> TextViews:
    return TextViews(1, size, "gmu", unit_size=4)


def features(rows: int = 4, views: int = 2) -> dict[str, torch.Tensor]:
    return {
        "text_features": torch.randn(rows, views, 5, dtype=torch.double),
        "image_features": torch.randn(rows, 3, dtype=torch.double),
        "has_image": torch.tensor([True, False, True, False])[:rows],
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def dot(row, vector) -> float:
    return sum(a * b for a, b in zip(row, vector, strict=True))


class TestGatedMultimodalUnit:
    def test_is_the_formula(self):
        unit = GatedMultimodalUnit(one_view(5), 3, 4).double()
        text, image = torch.randn(6, 5, dtype=torch.double), torch.randn(6, 3, dtype=torch.double)
        has_image = torch.tensor([True, False, True, True, False, True])
        hidden, weight = unit(text, image, has_image)
        w_t, w_v = unit.text_unit.transform.weight.tolist(), unit.image_transform.weight.tolist()
        w_z, b = unit.gate.weight.tolist(), unit.gate.bias.tolist()
        for n, (x_t, x_v) in enumerate(zip(text.tolist(), image.tolist(), strict=True)):
            h, closed = [], []
            for i in range(4):
                z = sigmoid(dot(w_z[i], x_t + x_v) + b[i]) if has_image[n] else 1.0
                h.append(z * math.tanh(dot(w_t[i], x_t)) + (1 - z) * math.tanh(dot(w_v[i], x_v)))
                closed.append(1 - z)
            mean = sum(h) / 4
            deviation = math.sqrt(sum((value - mean) ** 2 for value in h) / 4 + unit.layer_norm.eps)
            expected = torch.tensor([(value - mean) / deviation for value in h], dtype=torch.double)
            torch.testing.assert_close(hidden[n], expected, rtol=1e-12, atol=1e-12)
            assert weight[n].item() == pytest.approx(sum(closed) / 4, abs=1e-12)

    def test_without_a_vision_tower_the_gate_is_one(self):
        unit, text_only = GatedMultimodalUnit(one_view(5), 3, 4), GatedMultimodalUnit(one_view(5), None, 4)
        text_only.load_state_dict(unit.state_dict(), strict=False)
        text = torch.randn(2, 5)
        missing = unit(text, torch.randn(2, 3), torch.zeros(2, dtype=torch.bool))
        for a, b in zip(missing, text_only(text, None, None), strict=True):
            torch.testing.assert_close(a, b)
        assert set(dict(text_only.named_parameters())) == {
            "text_unit.transform.weight",
            "layer_norm.weight",
            "layer_norm.bias",
        }


class TestTextViews:
    def test_gated_by_hand(self):
        views = TextViews(2, 1, "gated", 4)
        with torch.no_grad():
            views.gate.weight.copy_(torch.tensor([[1.0, 0.0]]))
            views.gate.bias.fill_(math.log(3) - 2)  # with c = 2 the gate is sigmoid(log 3) = 0.75
            views.projection.weight.fill_(2)
            views.projection.bias.fill_(1)
        # x = 0.75 * 2 + 0.25 * 6 = 3, projected to 2 * 3 + 1
        assert views(torch.tensor([[[2.0], [6.0]]])).item() == pytest.approx(7)

    def test_gmu_by_hand(self):
        views = TextViews(2, 1, "gmu", unit_size=1)
        with torch.no_grad():
            views.gate.weight.copy_(torch.tensor([[1.0, 0.0]]))
            views.gate.bias.fill_(math.log(3) - 2)  # with c = 2 the gate is 0.75
            views.context_transform.weight.fill_(0.5)
            views.surface_transform.weight.fill_(-0.25)
        expected = 0.75 * math.tanh(1) + 0.25 * math.tanh(-1.5)
        assert views(torch.tensor([[[2.0], [6.0]]])).item() == pytest.approx(expected)

    def test_gmu_is_the_text_unit_of_the_fusion(self):
        module = head(view_fusion="gmu", fusion="text", projection_size=4)
        text = torch.randn(3, 2, 5, dtype=torch.double)
        expected = module.fusion.layer_norm(module.views(text))
        torch.testing.assert_close(module(text)["embeds"], F.normalize(expected, dim=-1))
        assert not any("transform" in name for name, _ in module.fusion.named_parameters() if "text" in name)

    def test_concat_by_hand(self):
        views = TextViews(2, 1, "concat", 4)
        with torch.no_grad():
            views.projection.weight.copy_(torch.tensor([[10.0, 1.0]]))
            views.projection.bias.zero_()
        assert views(torch.tensor([[[2.0], [6.0]]])).item() == pytest.approx(26)

    @pytest.mark.parametrize("view_fusion", ["gmu", "gated", "concat", "stack"])
    def test_one_view_passes_unchanged(self, view_fusion):
        views = TextViews(1, 3, view_fusion, 4)
        assert not list(views.parameters())
        x = torch.randn(2, 1, 3)
        assert torch.equal(views(x), x[:, 0])


def test_modality_attention_by_hand():
    unit = FUSIONS["modality_attention"](one_view(1), 1, 2).double()
    with torch.no_grad():
        unit.attention.weight.zero_()
        unit.attention.bias.copy_(torch.tensor([math.log(3), 0.0]))
    _, weight = unit(torch.ones(2, 1).double(), torch.ones(2, 1).double(), torch.tensor([True, False]))
    assert weight.tolist() == pytest.approx([0.25, 0.0])


def test_image_weight_of_concat_by_hand():
    unit = FUSIONS["concat"](one_view(1), 1, 2).double()
    with torch.no_grad():
        unit.text_transform.weight.copy_(torch.tensor([[3.0], [4.0]]))  # norm 5
        unit.text_transform.bias.zero_()
        unit.image_transform.weight.copy_(torch.tensor([[0.0], [15.0]]))
    _, weight = unit(torch.ones(2, 1).double(), torch.ones(2, 1).double(), torch.tensor([True, False]))
    assert weight.tolist() == pytest.approx([0.75, 0.0])


@pytest.mark.parametrize("view_fusion", ["gmu", "gated", "concat", "stack"])
@pytest.mark.parametrize("fusion", FUSIONS)
class TestEveryFusion:
    def test_unit_length_and_weight_in_range(self, fusion, view_fusion):
        batch = features()
        out = head(fusion=fusion, view_fusion=view_fusion)(**batch)
        if fusion != "cosine":
            torch.testing.assert_close(out["embeds"].norm(dim=-1), torch.ones(4).double())
        assert out["image_weight"].shape == (4,)
        assert (out["image_weight"][~batch["has_image"]] == 0).all()
        there = out["image_weight"][batch["has_image"]]
        assert ((there > 0) & (there <= 1)).all() if fusion != "text" else (there == 0).all()

    @pytest.mark.parametrize("garbage", [0.0, 7.0, math.nan, math.inf, -math.inf])
    def test_a_missing_image_has_no_influence(self, fusion, view_fusion, garbage):
        module, batch = head(fusion=fusion, view_fusion=view_fusion), features()
        expected = module(**batch)
        batch["image_features"] = batch["image_features"].clone()
        batch["image_features"][~batch["has_image"]] = garbage
        batch["image_features"].requires_grad_()
        out = module(**batch)
        assert all(torch.equal(out[name], expected[name]) for name in expected)
        out["embeds"].sum().backward()
        gradients = [p.grad for p in module.parameters() if p.grad is not None] + [
            g for g in [batch["image_features"].grad] if g is not None
        ]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)

    def test_rows_do_not_see_each_other(self, fusion, view_fusion):
        module, batch = head(fusion=fusion, view_fusion=view_fusion), features()
        out = module(**batch)
        for i in range(4):
            alone = module(**{name: value[i : i + 1] for name, value in batch.items()})
            for name in out:
                torch.testing.assert_close(alone[name], out[name][i : i + 1])

    def test_no_images_at_all(self, fusion, view_fusion):
        module, batch = head(fusion=fusion, view_fusion=view_fusion), features()
        batch["has_image"] = torch.zeros(4, dtype=torch.bool)
        expected = module(**batch)
        out = module(batch["text_features"])
        assert all(torch.equal(out[name], expected[name]) for name in expected)

    def test_gradients(self, fusion, view_fusion):
        module = head(fusion=fusion, view_fusion=view_fusion)
        batch = features()
        names = [name for name, _ in module.named_parameters()]

        def run(text, image, *parameters):
            inputs = (text, image, batch["has_image"])
            return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), inputs)["embeds"]

        parameters = [parameter.detach().requires_grad_() for parameter in module.parameters()]
        text, image = (batch[name].requires_grad_() for name in ("text_features", "image_features"))
        assert torch.autograd.gradcheck(run, (text, image, *parameters))


@pytest.mark.parametrize("fusion", WITH_IMAGE)
def test_the_image_matters(fusion):
    module, batch = head(fusion=fusion), features()
    before = module(**batch)["embeds"]
    batch["image_features"] = batch["image_features"].flip(-1)  # a shift or a scale would be lost in a layer norm
    changed = (module(**batch)["embeds"] - before).abs().amax(-1) > 1e-3
    assert torch.equal(changed, batch["has_image"])


def test_text_only_needs_no_image_weights():
    for fusion in set(FUSIONS) - {"image"}:
        module = head(fusion=fusion, vision_feature_size=None)
        assert not [name for name, _ in module.named_parameters() if "image" in name]
        out = module(features()["text_features"])
        assert (out["image_weight"] == 0).all()
    with pytest.raises(ValueError, match="vision tower"):
        FUSIONS["image"](5, None, 4)


def test_a_cached_half_precision_feature_is_taken():
    module, batch = head().float(), features()
    half = {n: v.to(torch.bfloat16) if v.is_floating_point() else v for n, v in batch.items()}
    torch.testing.assert_close(
        module(**half)["embeds"].double(), head_like(module)(**batch)["embeds"], atol=0.05, rtol=0
    )


def head_like(module: FusionHead) -> FusionHead:
    other = head()
    other.load_state_dict(module.state_dict())
    return other


class TestSideHeads:
    def test_shared_and_separate(self):
        batch = TowerFeatures(text_features=torch.randn(2, 2, 5))
        for share in (True, False):
            heads = SideHeads(PGMELGeneratorConfig(text_feature_size=5, projection_size=4, share_heads=share))
            mention, entity = (heads(side, batch)["embeds"] for side in ("mention", "entity"))
            assert torch.equal(mention, entity) is share

    def test_unknown_side(self):
        heads = SideHeads(PGMELGeneratorConfig(text_feature_size=5, projection_size=4))
        with pytest.raises(ValueError, match="'entities'"):
            heads("entities", TowerFeatures(text_features=torch.randn(2, 2, 5)))

    def test_unit_length_holds_in_bfloat16(self):
        heads = SideHeads(PGMELGeneratorConfig(text_feature_size=5, projection_size=64)).to(torch.bfloat16)
        embeds = heads("mention", TowerFeatures(text_features=torch.randn(2, 2, 5)))["embeds"]
        torch.testing.assert_close(F.cosine_similarity(embeds.float(), embeds.float()), torch.ones(2))
        torch.testing.assert_close(embeds.float().norm(dim=-1), torch.ones(2), atol=0.02, rtol=0)


def test_late_by_hand():
    """Two dimensions for the text, two for the image, and a gate that is the same sum for all rows."""
    module = LateFusion(one_view(2), 2, 4)
    with torch.no_grad():
        module.text_transform.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        module.image_transform.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        module.gate.weight.copy_(torch.tensor([[0.1, 0.0, 0.5, 0.0]]))
        module.gate.bias.fill_(0.2)
    text, image = torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([[1.0, 3.0], [9.0, 9.0]])
    hidden, weight = module(text, image, torch.tensor([True, False]))
    # The layer norm makes (1, 3) to (-1, 1), up to its epsilon; the gate's logit is 0.1 * 3 - 0.5 + 0.2 = 0.
    assert hidden[0].tolist() == pytest.approx([0.5**0.5 * 0.8, 0.5**0.5 * 0.6, -0.5, 0.5], abs=1e-4)
    assert weight.tolist() == pytest.approx([0.5, 0.0], abs=1e-4)
    assert hidden[1].tolist() == pytest.approx([0.8, 0.6, 0.0, 0.0])


def test_scores_of_late_fusion_add_up():
    module = head(fusion="late", text_views="context").double().eval()
    batch = features(views=1)
    batch["has_image"] = torch.tensor([True, True, True, False])
    embeds = module(**batch)["embeds"]
    half = embeds.shape[1] // 2
    text, image = embeds[:, :half] @ embeds[:, :half].T, embeds[:, half:] @ embeds[:, half:].T
    assert torch.allclose(embeds @ embeds.T, text + image)
    gates = 1 - module(**batch)["image_weight"]
    cosine = torch.nn.functional.normalize(embeds[:, :half], dim=-1)
    assert torch.allclose(text, (gates[:, None] * gates).sqrt() * (cosine @ cosine.T))
    assert (image[3] == 0).all() and gates[3] == 1


def test_late_fusion_begins_with_the_cosines_of_the_tower():
    model = PGMELModel(
        PGMELConfig(
            text_config=dict(TINY_TEXT),
            vision_config=dict(TINY_VISION),
            fusion="late",
            text_views="context",
            projection_size=32,
        )
    )
    fusion = model.heads.heads["shared"].fusion
    weight = fusion.text_transform.weight
    assert torch.allclose(weight @ weight.T, torch.eye(16), atol=1e-5)
    assert torch.sigmoid(fusion.gate.bias).item() == pytest.approx(0.75, abs=0.01)
