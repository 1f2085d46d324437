"""MIMIC: its units against their formulas, its switches, and what every model of units has to pass."""

from hf_mel import MIMICModel
from tests.models import plain
from tests.models.units_common import UnitsTesterMixin


class TestMIMICModel(UnitsTesterMixin):
    model_class = MIMICModel
    references = {"text": plain.text_score, "vision": plain.vision_score, "cross": plain.cross_score}
    switches = {name: {f"use_{name}_unit": False} for name in references}
    near = plain.NEAR_MIMIC
