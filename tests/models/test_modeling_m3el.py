"""M3EL: its units against their formulas, its switches, and what every model of units has to pass."""

from hf_mel import M3ELModel
from tests.models import plain
from tests.models.units_common import UnitsTesterMixin


class TestM3ELModel(UnitsTesterMixin):
    model_class = M3ELModel
    full = {"cross_matching": "both"}
    references = {
        "text": plain.text_score,
        "image": plain.image_score,
        "textual_to_visual": plain.of_both_sides(plain.textual_to_visual),
        "visual_to_textual": plain.of_both_sides(plain.visual_to_textual),
    }
    switches = {
        "text": {"use_text_unit": False},
        "image": {"use_image_unit": False},
        "textual_to_visual": {"cross_matching": "visual_to_textual"},
        "visual_to_textual": {"cross_matching": "textual_to_visual"},
    }
