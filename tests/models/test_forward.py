"""`forward` is one for all models that link."""

import pytest
import torch

from hf_mel.models import LINKING_MODELS, MatchingModel, PGMELModel, UnitsOutput, VectorOutput
from tests.test_half_precision import tiny


KINDS = ("pgmel late", "mimic", "m3el", "melov kernel", "ghmfc", "single_stream")
TEXTS = {"mention_input_ids": torch.tensor([[5, 6]]), "entity_input_ids": torch.tensor([[5, 6], [7, 8]])}


def test_no_model_has_one_of_its_own():
    assert {model.forward for model in LINKING_MODELS.values()} == {MatchingModel.forward}


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("name", ["mention_surface_input_ids", "entity_surface_attention_mask"])
def test_a_view_that_is_not_read_is_refused(kind, name):
    model = tiny(kind, torch.float32).eval()
    with pytest.raises(ValueError, match=rf"`{name}` must be left out: {type(model).__name__} reads no surface view"):
        model(**TEXTS, **{name: torch.ones(2, 2, dtype=torch.long)})


def test_a_model_that_reads_one_view_refuses_the_other():
    model = tiny("pgmel late", torch.float32)
    one_view = PGMELModel(type(model.config)(**(model.config.to_dict() | {"text_views": "context"})))
    surface = {f"{side}_surface_input_ids": TEXTS[f"{side}_input_ids"] for side in ("mention", "entity")}
    assert model(**TEXTS, **surface).scores.shape == one_view(**TEXTS).scores.shape == (1, 2)
    with pytest.raises(ValueError, match="`mention_surface_input_ids` must be left out"):
        one_view(**TEXTS, **surface)


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_that_of_the_score(kind):
    model = tiny(kind, torch.float32).eval()
    surface = {f"{side}_surface_input_ids": TEXTS[f"{side}_input_ids"] for side in ("mention", "entity")}
    outputs = model(**TEXTS, **(surface if kind.startswith("pgmel") else {}), labels=torch.tensor([1]))
    assert type(outputs) is (UnitsOutput if hasattr(model, "units") else VectorOutput)
    assert outputs.scores.shape == (1, 2) and outputs.loss.shape == ()
    # The loss of a score: the cross entropy of the second entity.
    parts = [outputs.scores, *(outputs.get("unit_scores") or {}).values()]
    expected = sum(-(each / model.config.softmax_temperature).log_softmax(-1)[0, 1] for each in parts)
    torch.testing.assert_close(outputs.loss, expected)
