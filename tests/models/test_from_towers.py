import json
import logging

import pytest
import torch
from transformers import AutoModel

from hf_mel import PGMELConfig, PGMELModel
from hf_mel.linking.index.fingerprints import describe_model
from tests.models.conftest import side_inputs


def assert_same_weights(tower, source):
    state, expected = tower.state_dict(), source.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


@pytest.fixture
def log(caplog):
    """Everything that transformers and this package log from WARNING on."""
    loggers = [logging.getLogger(name) for name in ("transformers", "hf_mel")]
    propagate = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.propagate = True
    yield caplog
    for logger, value in zip(loggers, propagate, strict=True):
        logger.propagate = value


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
class TestOneCheckpoint:
    def test_gives_both_towers_without_a_word(self, kind, checkpoint, log, capfd):
        folder, source = checkpoint(kind)
        capfd.readouterr()
        log.clear()
        model = PGMELModel.from_towers(folder, projection_size=8)
        assert not [record for record in log.records if record.levelno >= logging.WARNING]
        assert "LOAD REPORT" not in "".join(capfd.readouterr())
        assert_same_weights(model.text_model, source.text_model)
        assert_same_weights(model.vision_model, source.vision_model)
        assert not model.training

    def test_features_are_those_of_the_source(self, kind, checkpoint):
        folder, source = checkpoint(kind)
        model = PGMELModel.from_towers(folder)
        batch = side_inputs(3)
        batch["has_image"][:] = True
        features = model.extract(**batch)
        ids = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        torch.testing.assert_close(features.text_features[:, 0], source.get_text_features(**ids).pooler_output)
        pixels = {"pixel_values": batch["pixel_values"]}
        if kind == "siglip2":
            from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

            patches = [convert_image_to_patches(image.numpy(), 4) for image in batch["pixel_values"]]
            pixels = {
                "pixel_values": torch.stack([torch.from_numpy(patch) for patch in patches]),
                "pixel_attention_mask": torch.ones(3, 4, dtype=torch.long),
                "spatial_shapes": torch.tensor([[2, 2]] * 3),
            }
        torch.testing.assert_close(features.image_features, source.get_image_features(**pixels).pooler_output)

    def test_round_trip(self, kind, checkpoint, tmp_path):
        folder, _ = checkpoint(kind)
        model = PGMELModel.from_towers(folder)
        model.save_pretrained(tmp_path / "saved")
        reloaded, info = AutoModel.from_pretrained(tmp_path / "saved", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        batch = side_inputs(3)
        assert torch.equal(model.get_mention_features(**batch), reloaded.get_mention_features(**batch))
        assert str(tmp_path) not in (tmp_path / "saved" / "config.json").read_text()

    def test_text_half_alone(self, kind, checkpoint):
        folder, source = checkpoint(kind)
        model = PGMELModel.from_towers(folder, vision=False)
        assert model.vision_model is None and model.config.vision_config is None
        assert_same_weights(model.text_model, source.text_model)


class TestTwoCheckpoints:
    @pytest.mark.parametrize("vision", ["vit", "dinov2"])
    def test_both_are_taken(self, vision, checkpoint, tmp_path):
        text_folder, text = checkpoint("bert")
        vision_folder, image = checkpoint(vision)
        model = PGMELModel.from_towers(text_folder, vision_folder, pooling="mean", projection_size=8)
        assert_same_weights(model.text_model, text)
        assert_same_weights(model.vision_model, image)
        assert model.text_projection is None and model.visual_projection is None
        batch = side_inputs(3)
        model.save_pretrained(tmp_path / "saved")
        reloaded = PGMELModel.from_pretrained(tmp_path / "saved")
        assert torch.equal(model.get_entity_features(**batch), reloaded.get_entity_features(**batch))
        saved = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert saved["vision_config"]["model_type"] == vision and "_name_or_path" not in saved["text_config"]

    def test_vision_half_of_a_checkpoint_that_holds_both(self, checkpoint):
        text_folder, _ = checkpoint("bert")
        folder, source = checkpoint("clip")
        model = PGMELModel.from_towers(text_folder, folder)
        assert_same_weights(model.vision_model, source.vision_model)
        assert torch.equal(model.visual_projection.weight, source.visual_projection.weight)
        assert model.text_projection is None and model.config.vision_feature_size == 6

    def test_text_encoder_alone(self, checkpoint):
        folder, _ = checkpoint("bert")
        assert PGMELModel.from_towers(folder).vision_model is None


def test_projections_of_clip_come_along(checkpoint):
    folder, source = checkpoint("clip")
    model = PGMELModel.from_towers(folder)
    assert torch.equal(model.text_projection.weight, source.text_projection.weight)
    assert torch.equal(model.visual_projection.weight, source.visual_projection.weight)
    assert model.config.text_feature_size == model.config.vision_feature_size == 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_one_precision_everywhere(checkpoint, dtype):
    folder, _ = checkpoint("clip")
    model = PGMELModel.from_towers(folder, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert model.get_mention_features(**side_inputs(2)).isfinite().all()


def test_frozen_from_the_start(checkpoint):
    folder, _ = checkpoint("clip")
    model = PGMELModel.from_towers(folder, freeze_text=True, freeze_vision=True).train()
    assert model.towers_frozen and not model.text_model.training
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"heads"}


def test_weights_that_a_checkpoint_lacks_are_named(checkpoint, tmp_path, log):
    _, bert = checkpoint("bert")
    bert.pooler = None
    bert.save_pretrained(tmp_path / "no-pooler")
    PGMELModel.from_towers(tmp_path / "no-pooler", pooling="mean")
    message = "\n".join(record.getMessage() for record in log.records)
    assert "no-pooler lacks 2 weights" in message and "pooler.dense.weight" in message
    assert "LOAD REPORT" not in message


def test_where_the_weights_are_from_is_kept_if_it_is_on_the_hub(checkpoint, tmp_path, monkeypatch):
    text, vision = (checkpoint(kind)[0] for kind in ("bert", "vit"))
    model = PGMELModel.from_towers(text, vision)
    model.save_pretrained(tmp_path / "local")
    assert model.config.base_models is None and str(text) not in (tmp_path / "local" / "config.json").read_text()
    # As if the two folders were repositories, which no test can reach.
    monkeypatch.setattr("hf_mel.models.modeling_towers.is_repository", lambda source: True)
    PGMELModel.from_towers(text, vision).save_pretrained(tmp_path / "hub")
    loaded = AutoModel.from_pretrained(tmp_path / "hub")
    assert loaded.config.base_models == [str(text), str(vision)]
    assert PGMELModel.from_towers(checkpoint("clip")[0]).config.base_models == [str(checkpoint("clip")[0])]
    assert describe_model(loaded)["config"] == describe_model(model)["config"], "what it is from computes nothing"


class TestErrors:
    def test_unknown_field(self):
        with pytest.raises(TypeError, match="`projction_size`.*`projection_size`"):
            PGMELModel.from_towers("not even loaded", projction_size=3)

    def test_field_that_comes_from_the_checkpoint(self):
        with pytest.raises(TypeError, match="text_projection_dim"):
            PGMELModel.from_towers("not even loaded", text_projection_dim=3)

    def test_vision_model_as_text(self, checkpoint):
        folder, _ = checkpoint("vit")
        with pytest.raises(
            ValueError, match="type .vit. cannot be the text tower: it reads `pixel_values`, not `input_ids`"
        ):
            PGMELModel.from_towers(folder)

    def test_text_model_as_vision(self, checkpoint):
        folder, _ = checkpoint("bert")
        with pytest.raises(
            ValueError, match="type .bert. cannot be the vision tower: it reads `input_ids`, not `pixel_values`"
        ):
            PGMELModel.from_towers(folder, folder)

    def test_vision_is_wanted_but_there_is_none(self, checkpoint):
        folder, _ = checkpoint("bert")
        with pytest.raises(ValueError, match="has no vision tower"):
            PGMELModel.from_towers(folder, True)


class TestAttention:
    """A tower whose attention is not set builds no mask and attends to padding without a word."""

    @pytest.mark.parametrize("attention", [None, "eager", "sdpa"])
    def test_is_kept(self, checkpoint, attention):
        text_folder, text = checkpoint("bert")
        vision_folder, _ = checkpoint("vit")
        model = PGMELModel.from_towers(text_folder, vision_folder, attn_implementation=attention)
        for tower in (model.text_model, model.vision_model):
            assert tower.config._attn_implementation == (attention or "sdpa")
        batch = side_inputs(3)
        ids = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        expected = text(**ids).pooler_output
        torch.testing.assert_close(model.extract(**batch).text_features[:, 0], expected, rtol=1e-4, atol=1e-5)

    def test_is_set_for_a_tower_that_is_handed_over(self, checkpoint):
        _, text = checkpoint("bert")
        ids = {"input_ids": torch.tensor([[5, 6, 0]]), "attention_mask": torch.tensor([[1, 1, 0]])}
        expected = text(**ids).pooler_output
        model = PGMELModel(PGMELConfig(text_config=text.config, text_views="context"), text_model=text).eval()
        torch.testing.assert_close(model.extract(**ids).text_features[:, 0], expected)
