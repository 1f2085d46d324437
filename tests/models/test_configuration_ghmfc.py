"""Configuration of GHMFC: what it takes and refuses."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from hf_mel import GHMFCConfig
from tests.common import ConfigTesterMixin
from tests.conftest import TINY_TEXT, TINY_VISION


TINY = {"text_config": dict(TINY_TEXT), "vision_config": dict(TINY_VISION)}


class TestGHMFCConfig(ConfigTesterMixin):
    config_class = GHMFCConfig

    @pytest.fixture
    def tiny_config(self):
        return GHMFCConfig(
            **TINY, projection_size=8, coattention_size=6, num_coattention_heads=2, phrase_widths=[1, 4]
        )

    @pytest.mark.parametrize(
        "bad",
        [
            {"text_views": "both"},
            {"max_text_tokens": 0},
            {"num_patches": -1},
            {"projection_size": 0},
            {"coattention_size": 0},
            {"num_coattention_heads": 0},
            {"num_coattention_heads": 5},
            {"phrase_widths": []},
            {"phrase_widths": [1, 0]},
            {"phrase_widths": 2},
            {"contrastive_weight": -0.1},
            {"contrastive_temperature": 0},
            {"softmax_temperature": 0},
            {"use_gate": "yes"},
        ],
        ids=str,
    )
    def test_rejects(self, bad):
        with pytest.raises(StrictDataclassError, match=next(iter(bad))):
            GHMFCConfig(**TINY, **bad)

    def test_nothing_is_left_to_read(self):
        with pytest.raises(StrictDataclassError, match="nothing is left to read.*`use_global`"):
            GHMFCConfig(use_token_level=False, use_phrase_level=False, use_global=False)

    def test_levels_and_contrasts(self):
        assert GHMFCConfig(**TINY).levels == ("token", "phrase")
        assert GHMFCConfig(**TINY, use_token_level=False).levels == ("phrase",)
        assert GHMFCConfig(**TINY).contrasts == ("text_to_image", "image_to_text")
        assert GHMFCConfig(**TINY, contrastive_text_to_image=False).contrasts == ("image_to_text",)
        assert GHMFCConfig(**TINY, contrastive_weight=0).contrasts == () == GHMFCConfig().contrasts

    def test_it_knows_its_towers(self):
        config = GHMFCConfig(**TINY)
        assert config.num_patches == 5 and config.text_state_size == config.vision_state_size == 16
        assert not config.keeps_padding

    def test_configurations_share_no_list(self):
        GHMFCConfig().phrase_widths.append(5)
        assert GHMFCConfig().phrase_widths == [1, 2, 3]
