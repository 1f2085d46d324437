from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoConfig,
    BertConfig,
    CLIPVisionConfig,
    ConvNextConfig,
    Dinov2WithRegistersConfig,
    MobileViTConfig,
    PreTrainedConfig,
    ReformerConfig,
    ResNetConfig,
    SiglipTextConfig,
    ViTMAEConfig,
    ViTMAEModel,
)

from hf_mel import MIMICConfig, PGMELConfig, PGMELModel
from hf_mel.models import tower_sizes as module
from hf_mel.models.tower_sizes import TowerSizes, picture_shape, tower_sizes
from hf_mel.models.towers import pool_image, state_rows
from tests.models.conftest import IDS, IMAGE, SMALL, TEXT


BAG = {"model_type": "bag_of_tokens", "vocab_size": 20, "hidden_size": 8}


class TestSizes:
    def test_of_a_transformer(self):
        # (8 / 4)^2 patches and the class token.
        assert tower_sizes(CLIPVisionConfig(**IMAGE), "vision") == TowerSizes(pooled=16, state=16, num_states=5)

    def test_of_a_head_that_changes_the_size(self):
        config = SiglipTextConfig(**{**TEXT, **IDS, "projection_size": 10})
        sizes = tower_sizes(config, "text")
        assert (sizes.pooled, sizes.state) == (10, 16)
        assert PGMELConfig(text_config=config.to_dict()).text_pooled_size == 10
        assert PGMELConfig(text_config=config.to_dict(), pooling="mean").text_pooled_size == 16

    def test_where_the_fields_of_the_configuration_say_something_else(self):
        """The last layer of MobileViT is as wide as its neck, and that of Reformer holds two streams side by side."""
        config = MobileViTConfig(neck_hidden_sizes=[4, 4, 4, 4, 4, 4, 20], image_size=64)
        sizes = tower_sizes(config, "vision")
        assert sizes == TowerSizes(pooled=20, state=20, num_states=4) and config.hidden_sizes[-1] != 20
        config = ReformerConfig(hidden_size=16, num_attention_heads=2, attention_head_size=8, attn_layers=["local"],
                                axial_pos_embds=False, vocab_size=99, is_decoder=False)  # fmt: skip
        assert tower_sizes(config, "text").state == 32

    def test_registers_are_states(self):
        fields = {name: value for name, value in IMAGE.items() if name != "intermediate_size"}
        config = Dinov2WithRegistersConfig(**fields, num_register_tokens=3)
        assert MIMICConfig(text_config=BAG, vision_config=config).num_patches == 4 + 1 + 3

    def test_number_of_states_of_a_convolutional_tower(self):
        config = ConvNextConfig(hidden_sizes=[4, 4, 4, 12], depths=[1] * 4, image_size=64)
        assert MIMICConfig(text_config=BAG, vision_config=config).num_patches == 2 * 2
        nameless = ResNetConfig(embedding_size=4, hidden_sizes=[4, 12], depths=[1, 1])
        assert picture_shape(nameless) is None and tower_sizes(nameless, "vision").pooled == 12
        with pytest.raises(Exception, match="`num_patches` is missing"):
            MIMICConfig(text_config=BAG, vision_config=nameless)

    def test_of_a_tower_without_a_pooled_output(self):
        config = AutoConfig.for_model("distilbert", dim=16, n_layers=1, n_heads=2, hidden_dim=16, vocab_size=99)
        assert tower_sizes(config, "text").pooled is None
        assert PGMELConfig(text_config=config, pooling="mean").text_pooled_size == 16


class TestMeasuring:
    def test_leaves_the_generator_of_random_numbers_and_the_configuration_as_they_are(self):
        config = BertConfig(**TEXT, initializer_range=0.019)
        before, fields, attention = torch.get_rng_state(), config.to_dict(), config._attn_implementation
        tower_sizes(config, "text")
        assert torch.equal(torch.get_rng_state(), before)
        assert config.to_dict() == fields and config._attn_implementation == attention

    @pytest.mark.parametrize("device", ["meta", "cpu"])
    def test_while_a_model_is_loaded_in_half_precision(self, device):
        config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 12], depths=[1, 1])
        torch.set_default_dtype(torch.float16)  # as transformers does while it builds one
        try:
            assert module._run(config, "vision", device).pooled == 12
            assert torch.get_default_dtype() is torch.float16
        finally:
            torch.set_default_dtype(torch.float32)

    def test_is_done_once(self, monkeypatch):
        config = CLIPVisionConfig(**IMAGE, initializer_range=0.017)
        first = tower_sizes(config, "vision")
        monkeypatch.setattr(module, "_run", lambda *args: pytest.fail("again"))
        assert tower_sizes(CLIPVisionConfig(**IMAGE, initializer_range=0.017), "vision") is first

    def test_without_weights_and_with_random_ones_if_numbers_are_needed(self, monkeypatch):
        devices, original = [], module._run

        def recorded(config, kind, device):
            devices.append(device)
            if device == "meta":
                raise RuntimeError("Tensor.item() cannot be called on meta tensors")
            return original(config, kind, device)

        config = CLIPVisionConfig(**IMAGE, initializer_range=0.016)
        monkeypatch.setattr(module, "_run", recorded)
        before = torch.get_rng_state()
        assert tower_sizes(config, "vision") == TowerSizes(16, 16, 5)
        assert devices == ["meta", "cpu"] and torch.equal(torch.get_rng_state(), before)

    def test_loading_a_configuration_runs_nothing(self, monkeypatch):
        monkeypatch.setattr(module, "_run", lambda *args: pytest.fail("run"))
        PGMELConfig(text_config=BAG, vision_config=CLIPVisionConfig(**IMAGE, initializer_range=0.015))


class TestMaps:
    """Towers that give a map of the picture, with the size before or after height and width."""

    MAP = torch.arange(2 * 5 * 3 * 3, dtype=torch.float32).view(2, 5, 3, 3)

    @pytest.mark.parametrize("states", [MAP, MAP.permute(0, 2, 3, 1)], ids=["size first", "size last"])
    def test_a_state_for_each_place(self, states):
        outputs = SimpleNamespace(last_hidden_state=states)
        rows = state_rows(outputs)
        assert rows.shape == (2, 9, 5)
        assert torch.equal(rows[1, 5], self.MAP[1, :, 1, 2])  # the sixth place is row 1, column 2
        assert torch.allclose(pool_image(outputs), self.MAP.mean(dim=(2, 3)))

    def test_the_last_map_of_a_backbone(self):
        outputs = SimpleNamespace(feature_maps=(torch.zeros(2, 4, 6, 6), self.MAP))
        assert torch.equal(state_rows(outputs), self.MAP.flatten(2).mT)

    def test_a_pooled_output_that_is_a_map(self):
        outputs = SimpleNamespace(pooler_output=self.MAP)
        assert torch.allclose(pool_image(outputs), self.MAP.flatten(2).mean(-1))
        assert torch.equal(pool_image(SimpleNamespace(pooler_output=self.MAP[..., :1, :1])), self.MAP[..., 0, 0])


class TestRefusals:
    def test_comes_before_the_weights(self, checkpoint, tmp_path):
        AutoConfig.for_model("rt_detr", use_timm_backbone=False).save_pretrained(tmp_path / "detector")
        with pytest.raises(
            ValueError, match="detector: a model of type 'rt_detr' cannot be the vision tower: it detects"
        ):
            PGMELModel.from_towers(checkpoint("bert")[0], tmp_path / "detector")

    def test_a_model_that_is_no_tower_of_transformers(self):
        class Unknown(PreTrainedConfig):
            model_type = "unknown"

        with pytest.raises(ValueError, match="No tower is known .*'unknown'"):
            tower_sizes(Unknown(), "vision")


def test_masked_autoencoder_shows_every_patch_in_its_place(checkpoint, tmp_path):
    """With the field that the message names, its patches are neither hidden nor shuffled."""
    config = ViTMAEConfig(**IMAGE, decoder_hidden_size=16, decoder_num_attention_heads=2, decoder_num_hidden_layers=1)
    source = ViTMAEModel(config).eval()
    source.save_pretrained(tmp_path / "mae")
    with pytest.raises(ValueError, match="vision_kwargs={'mask_ratio': 0.0}"):
        PGMELModel.from_towers(checkpoint("bert")[0], tmp_path / "mae")
    model = PGMELModel.from_towers(checkpoint("bert")[0], tmp_path / "mae", vision_kwargs={"mask_ratio": 0.0})
    assert model.config.vision_config.mask_ratio == 0.0
    pixels = torch.rand(2, 3, 8, 8)
    source.config.mask_ratio = 0.0
    expected = source(pixels, noise=torch.arange(4.0).expand(2, -1)).last_hidden_state.mean(1)
    torch.testing.assert_close(model.extract_images(pixels)["image_features"], expected)
    torch.testing.assert_close(model.extract_images(pixels), model.extract_images(pixels), rtol=0, atol=0)
    assert SMALL["hidden_size"] == expected.shape[1]
