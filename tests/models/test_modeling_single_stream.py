"""The model of one tower: what every model has to pass, what a picture does and its absence does not, and ViLT's own way."""

import copy
import json

import pytest
import torch
from transformers import AutoModel, ViltConfig, ViltModel

from hf_mel import PGMELProcessor, SingleStreamConfig, SingleStreamModel
from tests.common import ConfigTesterMixin, ModelTesterMixin
from tests.models.conftest import side_inputs


TOWER = {
    "model_type": "vilt",
    "vocab_size": 99,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
    "image_size": 8,
    "patch_size": 4,
    "initializer_range": 0.5,  # so that everything shows in the pooled output
}


def tiny(**fields) -> SingleStreamModel:
    torch.manual_seed(0)
    model = SingleStreamModel(SingleStreamConfig(**copy.deepcopy({"tower_config": TOWER, **fields})))
    with torch.no_grad():
        for name in ("cls_token", "position_embeddings"):  # which ViLT begins with as zeros
            getattr(model.tower.embeddings, name).normal_(std=0.5)
    return model.eval()


def side(rows: int = 4, seed: int = 1) -> dict[str, torch.Tensor]:
    """Every second row has no picture."""
    return {name: value for name, value in side_inputs(rows, seed=seed).items() if not name.startswith("surface")}


@torch.no_grad()
def pooled(model, **inputs) -> torch.Tensor:
    return model.extract(**inputs).text_features[:, 0]


class TestSingleStreamConfig(ConfigTesterMixin):
    config_class = SingleStreamConfig

    @pytest.fixture
    def tiny_config(self):
        return SingleStreamConfig(tower_config=dict(TOWER), normalize=False)

    def test_what_is_refused(self):
        with pytest.raises(
            Exception, match="'bert'; a tower that reads text and picture together must be one of 'vilt'"
        ):
            SingleStreamConfig(tower_config={"model_type": "bert"})
        with pytest.raises(Exception, match="`text_views` must be one of 'context'"):
            SingleStreamConfig(text_views="both")


class TestSingleStreamModel(ModelTesterMixin):
    model_class = SingleStreamModel

    @pytest.fixture
    def tiny_model(self):
        return tiny()

    @pytest.fixture
    def inputs(self):
        both = {"mention": side(4, 1), "entity": side(5, 2)}
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
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            # The bias of keys adds the same number to all logits of a query: its gradient is 0 but for rounding.
            assert parameter.grad.abs().sum() > 0 or name.endswith(".key.bias"), name


# ---- What the tower reads ----


def test_it_is_the_towers_own_output():
    """Of a picture that fills the stream ViLT's own way gives the same, in whatever order it draws the patches."""
    model, inputs = tiny(), side() | {"has_image": torch.ones(4, dtype=torch.bool)}
    expected = model.tower(**{name: value for name, value in inputs.items() if name != "has_image"}).pooler_output
    torch.testing.assert_close(pooled(model, **inputs), expected, atol=1e-5, rtol=1e-5)
    del inputs["has_image"]
    torch.testing.assert_close(pooled(model, **inputs), expected, atol=1e-5, rtol=1e-5)


def test_text_and_picture_are_read_together():
    model, inputs = tiny(), side()
    before = pooled(model, **inputs)
    other = pooled(model, **inputs | {"pixel_values": inputs["pixel_values"].flip(0) + 1})
    changed = (before - other).abs().amax(dim=1) > 1e-2
    assert torch.equal(changed, inputs["has_image"])
    inputs["input_ids"][:, 0] += 1
    assert ((pooled(model, **inputs) - before).abs().amax(dim=1) > 1e-2).all()


def test_a_missing_picture_has_no_influence():
    """Whatever stands in its place, the row is that of the text alone; nor does it reach a gradient."""
    model, inputs = tiny(), side()
    missing = ~inputs["has_image"]
    expected = pooled(model, **inputs)
    for value in (1e6, float("nan"), float("inf")):
        pixels = torch.where(missing[:, None, None, None], value, inputs["pixel_values"])
        assert torch.equal(pooled(model, **inputs | {"pixel_values": pixels}), expected)
    alone = pooled(model, input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(alone[missing], expected[missing], atol=1e-5, rtol=1e-5)
    assert ((alone - expected).abs().amax(dim=1) > 1e-2).equal(inputs["has_image"])
    none = torch.zeros_like(missing)
    torch.testing.assert_close(pooled(model, **inputs | {"has_image": none}), alone, atol=1e-5, rtol=1e-5)
    model.extract(**inputs | {"has_image": none}).text_features.sum().backward()
    assert not model.tower.embeddings.patch_embeddings.projection.weight.grad.any()


def test_padding_has_no_influence():
    model, inputs = tiny(), side()
    longer = {name: torch.nn.functional.pad(inputs[name], (0, 3)) for name in ("input_ids", "attention_mask")}
    longer["input_ids"][longer["attention_mask"] == 0] = 7
    torch.testing.assert_close(pooled(model, **inputs | longer), pooled(model, **inputs), atol=1e-5, rtol=1e-5)


def test_nothing_is_drawn_at_random():
    model, inputs = tiny(), side()
    torch.manual_seed(1)
    first, state = pooled(model, **inputs), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(pooled(model, **inputs), first)


def test_the_two_scores():
    inputs = side()
    for normalize in (True, False):
        model = tiny(normalize=normalize)
        expected = pooled(model, **inputs)
        embeds = model.encode("entity", model.extract(**inputs))["embeds"]
        expected = expected / expected.norm(dim=1, keepdim=True) if normalize else expected
        torch.testing.assert_close(embeds, expected)
        scores = model.match({"embeds": embeds[:2]}, {"embeds": embeds})
        torch.testing.assert_close(scores, expected[:2] @ expected.T)
        candidates = model.match_candidates({"embeds": embeds[:2]}, {"embeds": torch.stack([embeds[:3], embeds[1:]])})
        torch.testing.assert_close(candidates, torch.stack([scores[0, :3], scores[1, 1:]]))


def test_a_frozen_tower():
    model = tiny(freeze_tower=True, tower_config={**TOWER, "hidden_dropout_prob": 0.5}).train()
    assert model.towers_frozen and not any(parameter.requires_grad for parameter in model.parameters())
    first = model.extract(**side()).text_features
    assert not first.requires_grad and torch.equal(model.extract(**side()).text_features, first)
    assert not tiny().towers_frozen and all(parameter.requires_grad for parameter in tiny().parameters())


def test_what_is_wrong_is_told():
    model, inputs = tiny(), side()
    with pytest.raises(ValueError, match="`input_ids` is missing"):
        model.extract(pixel_values=inputs["pixel_values"])
    with pytest.raises(ValueError, match=r"a text has 13 tokens, but the tower reads 12: .*`max_length=12`"):
        model.extract(torch.ones(1, 13, dtype=torch.long))
    with pytest.raises(ValueError, match=r"images are of size \(8, 12\), but the tower reads \(8, 8\)"):
        model.extract(inputs["input_ids"], pixel_values=torch.zeros(4, 3, 8, 12))
    with pytest.raises(ValueError, match="call `extract` with both"):
        model.extract_images(inputs["pixel_values"])
    with pytest.raises(ValueError, match="`side` must be.*'left'"):
        model.encode("left", model.extract(**inputs))


# ---- From a checkpoint of ViLT ----


@pytest.fixture
def vilt(tmp_path, tokenizer):
    from transformers import ViltImageProcessorPil

    tower = ViltModel(ViltConfig(**{name: value for name, value in TOWER.items() if name != "model_type"})).eval()
    tower.save_pretrained(tmp_path / "vilt")
    tokenizer.save_pretrained(tmp_path / "vilt")
    ViltImageProcessorPil(size={"shortest_edge": 8}, size_divisor=4).save_pretrained(tmp_path / "vilt")
    return tmp_path / "vilt", tower


def test_from_a_checkpoint(vilt, tmp_path):
    from PIL import Image

    folder, tower = vilt
    model = SingleStreamModel.from_towers(folder, normalize=False)
    assert not model.training and model.config.normalize is False and model.config.base_models is None
    assert all(torch.equal(value, model.tower.state_dict()[name]) for name, value in tower.state_dict().items())
    processor = PGMELProcessor.from_towers(folder, text_views="context", max_length=12)
    inputs = processor.mentions(
        ["jordan", "city"], ["jordan in the city", "city"], images=[Image.linear_gradient("L").resize((31, 17)), None]
    )
    assert inputs["pixel_values"].shape == (2, 3, 8, 8) and inputs["has_image"].tolist() == [True, False]
    expected = pooled(model, **inputs)
    assert torch.isfinite(expected).all() and len(inputs["attention_mask"].unique()) == 2, "there is padding"
    alone = {
        name: value[1:, : int(inputs["attention_mask"][1].sum())]
        for name, value in inputs.items()
        if "mask" in name or "ids" in name
    }
    torch.testing.assert_close(pooled(model, **alone), expected[1:], atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    assert str(folder) not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")
    again, reader = AutoModel.from_pretrained(tmp_path / "saved"), PGMELProcessor.from_pretrained(tmp_path / "saved")
    assert type(again) is SingleStreamModel
    torch.testing.assert_close(pooled(again, **inputs), expected)
    assert reader.image_processor.size == processor.image_processor.size
    code = {path.stem for path in (tmp_path / "saved").glob("*.py")}
    assert {"modeling_single_stream", "configuration_single_stream", "modeling_base"} <= code
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["auto_map"]["AutoModel"].endswith(
        "SingleStreamModel"
    )


def test_other_checkpoints_are_refused(vilt, checkpoint):
    with pytest.raises(ValueError, match="is of type 'bert', not one of 'vilt'"):
        SingleStreamModel.from_towers(checkpoint("bert")[0])
    with pytest.raises(ValueError, match="leave out `vision`"):
        SingleStreamModel.from_towers(vilt[0], "google/vit-base-patch16-224")
    with pytest.raises(TypeError, match="Did you mean `normalize`"):
        SingleStreamModel.from_towers(vilt[0], normalise=True)
