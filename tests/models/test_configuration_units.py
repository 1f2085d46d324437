"""Configurations of the models made of matching units: what they take, what they refuse, what they know of their towers."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from hf_mel import M3ELConfig, MIMICConfig
from tests.common import ConfigTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION


TINY = {"text_config": dict(TINY_TEXT), "vision_config": dict(TINY_VISION)}


class UnitsConfigTester(ConfigTesterMixin):
    @pytest.fixture
    def tiny_config(self):
        return self.config_class(**TINY, matching_size=6, max_text_tokens=12)

    @pytest.mark.parametrize(
        "bad",
        [
            {"text_views": "both"},
            {"pooling": "max"},
            {"max_text_tokens": 0},
            {"num_patches": -1},
            {"matching_size": 0},
            {"matching_size": 1.5},
            {"softmax_temperature": 0},
            {"legacy_masking": "yes"},
        ],
        ids=str,
    )
    def test_rejects(self, bad):
        with pytest.raises(StrictDataclassError, match=next(iter(bad))):
            self.config_class(**TINY, **bad)

    def test_number_of_patches(self):
        assert self.config_class(**TINY).num_patches == 5  # 2 x 2 and the class token
        assert self.config_class(**TINY, num_patches=7).num_patches == 7
        assert self.config_class(text_config=dict(TINY_TEXT)).num_patches is None
        for kind, number in (("siglip_vision_model", 4), ("vit", 5), ("dinov2", 5)):
            tower = {"model_type": kind, "image_size": 8, "patch_size": 4}
            assert self.config_class(vision_config=tower).num_patches == number
        tower = {"model_type": "siglip2_vision_model", "num_patches": 9}
        assert self.config_class(vision_config=tower).num_patches == 9

    def test_a_convolutional_tower_needs_the_number_of_patches(self):
        tower = {"model_type": "resnet", "hidden_sizes": [8, 16], "depths": [1, 1]}
        with pytest.raises(StrictDataclassError, match="`num_patches` is missing.*'resnet'"):
            self.config_class(vision_config=tower)
        config = self.config_class(vision_config=tower, num_patches=4)
        assert config.num_patches == 4 and config.vision_state_size == config.vision_feature_size == 16

    def test_sizes(self):
        config = self.config_class(**TINY, text_projection_dim=5, vision_projection_dim=3)
        assert (config.text_feature_size, config.text_state_size) == (5, 16)
        assert (config.vision_feature_size, config.vision_state_size) == (3, 16)
        assert self.config_class(text_config=dict(TINY_TEXT)).vision_state_size is None

    def test_no_unit_is_left(self):
        for fields in self.without_units:
            with pytest.raises(StrictDataclassError, match="no unit is left.*`use_text_unit`"):
                self.config_class(**fields)


class TestMIMICConfig(UnitsConfigTester):
    config_class = MIMICConfig
    without_units = [
        {"use_text_unit": False},
        {**TINY, "use_text_unit": False, "use_vision_unit": False, "use_cross_unit": False},
    ]


class TestM3ELConfig(UnitsConfigTester):
    config_class = M3ELConfig
    without_units = [
        {"use_text_unit": False, "cross_matching": "both"},
        {**TINY, "use_text_unit": False, "use_image_unit": False, "cross_matching": "none"},
    ]

    @pytest.mark.parametrize(
        "bad",
        [
            {"cross_matching": "visual"},
            {"aggregation_temperatures": [2.0, 0.0]},
            {"aggregation_temperatures": 2.0},
            {"aggregation_weight": -0.1},
            {"contrastive_weight": -1},
            {"contrastive_temperature": 0},
            {"contrastive_inter_weight": 0.0},
            {"contrastive_intra_weight": -0.8},
            {"contrastive_text": "no"},
        ],
        ids=str,
    )
    def test_rejects_of_its_own(self, bad):
        with pytest.raises(StrictDataclassError, match=next(iter(bad))):
            M3ELConfig(**TINY, **bad)

    def test_no_heads_stay_no_heads(self, tmp_path):
        M3ELConfig(**TINY, aggregation_temperatures=[]).save_pretrained(tmp_path)
        assert M3ELConfig.from_pretrained(tmp_path).aggregation_temperatures == []

    def test_configurations_share_no_list(self):
        M3ELConfig().aggregation_temperatures.append(1.0)
        assert M3ELConfig().aggregation_temperatures == [2.0, 2.5, 3.5, 4.5]
