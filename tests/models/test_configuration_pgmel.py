import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig

from hf_mel import PGMELConfig, PGMELGeneratorConfig
from tests.common import ConfigTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION


class TestPGMELConfig(ConfigTesterMixin):
    config_class = PGMELConfig

    @pytest.mark.parametrize(
        "bad",
        [
            {"text_views": "all"},
            {"view_fusion": "sum"},
            {"pooling": "max"},
            {"fusion": "film"},
            {"projection_size": 0},
            {"projection_size": 1.5},
            {"text_projection_dim": -1},
            {"head_dropout": 1.0},
            {"softmax_temperature": 0},
            {"softmax_temperature": "low"},
            {"initializer_range": -0.1},
            {"share_heads": "yes"},
        ],
        ids=str,
    )
    def test_rejects(self, bad):
        with pytest.raises(StrictDataclassError, match=next(iter(bad))):
            PGMELConfig(**bad)

    def test_an_image_needs_a_vision_tower(self):
        for bad in ({"fusion": "image"}, {"vision_projection_dim": 4}):
            with pytest.raises(StrictDataclassError, match="vision_config"):
                PGMELConfig(**bad)
        assert PGMELConfig(fusion="image", vision_config=dict(TINY_VISION)).vision_feature_size == 16

    def test_no_vision_stays_no_vision(self, tmp_path):
        PGMELConfig(text_config=dict(TINY_TEXT)).save_pretrained(tmp_path)
        for config in (AutoConfig.from_pretrained(tmp_path), PGMELConfig.from_pretrained(tmp_path)):
            assert config.vision_config is None and config.vision_feature_size is None
            assert config.text_config.model_type == "bert"

    def test_integers_are_real_numbers_too(self):
        assert PGMELConfig(softmax_temperature=1, head_dropout=0).softmax_temperature == 1

    @pytest.mark.parametrize(
        ("fields", "size"),
        [
            ({}, 10),
            ({"pooling": "mean"}, 16),
            ({"pooling": "mean", "text_projection_dim": 6}, 6),
            ({"text_projection_dim": 6}, 6),
        ],
        ids=str,
    )
    def test_size_of_the_text_feature(self, fields, size):
        text = {"model_type": "siglip_text_model", "hidden_size": 16, "num_attention_heads": 2, "projection_size": 10}
        assert PGMELConfig(text_config=text, **fields).text_feature_size == size

    def test_size_of_the_feature_of_a_convolutional_tower(self):
        vision = {"model_type": "convnext", "hidden_sizes": [4, 8, 12, 20], "depths": [1, 1, 1, 1]}
        assert PGMELConfig(vision_config=vision).vision_feature_size == 20

    def test_checkpoint_of_another_type(self, tmp_path):
        BertConfig().save_pretrained(tmp_path)
        for config_class in (PGMELConfig, PGMELGeneratorConfig):
            with pytest.raises(ValueError, match=f"{tmp_path}.*'bert'"):
                config_class.from_pretrained(tmp_path)


class TestPGMELGeneratorConfig(ConfigTesterMixin):
    config_class = PGMELGeneratorConfig

    @pytest.fixture
    def tiny_config(self, tiny_config):
        return PGMELGeneratorConfig.from_model_config(tiny_config, projection_size=4, policy_temperature=0.1)

    def test_follows_the_model(self):
        model = PGMELConfig(
            text_config=dict(TINY_TEXT), vision_config=dict(TINY_VISION), vision_projection_dim=6, text_views="context"
        )
        config = PGMELGeneratorConfig.from_model_config(model, share_heads=False)
        assert (config.text_feature_size, config.vision_feature_size, config.text_views) == (16, 6, "context")
        assert config.projection_size == model.projection_size and not config.share_heads
        assert config.policy_temperature == 0.05

    def test_names_the_nearest_field(self, tiny_config):
        with pytest.raises(TypeError, match="`policy_temprature`.*`policy_temperature`"):
            PGMELGeneratorConfig.from_model_config(PGMELConfig(), policy_temprature=0.1)

    def test_reads_what_the_model_gives(self):
        with pytest.raises(TypeError, match="text_feature_size"):
            PGMELGeneratorConfig.from_model_config(PGMELConfig(), text_feature_size=3)

    @pytest.mark.parametrize(
        "bad", [{"policy_temperature": 0}, {"text_feature_size": 0}, {"fusion": "image"}], ids=str
    )
    def test_rejects(self, bad):
        with pytest.raises(StrictDataclassError, match=next(iter(bad))):
            PGMELGeneratorConfig(**bad)
