"""M3EL in the Trainer: what its loss is made of, and that its parts are those of the whole optimizer batch."""

import pytest
import torch

from hf_mel import M3ELConfig, M3ELModel
from tests.training.common import TEXT, VISION, make_trainer, weights


OPTIONS = {
    "negatives": "in_batch",
    "triplet_weight": 0.0,
    "contrast_weight": 1.0,
    "unit_weight": 1.0,
    "contrast_temperature": 1.0,
    "learning_rate": 1e-4,
    "max_steps": 3,
}


def trained(folder, legacy: bool = False, **options):
    torch.manual_seed(0)
    towers = {"text_config": dict(TEXT), "vision_config": dict(VISION), "pooling": "mean"}
    fields = {"matching_size": 8, "max_text_tokens": 32, "cross_matching": "both", "legacy_masking": legacy}
    trainer = make_trainer(folder, model=M3ELModel(M3ELConfig(**towers, **fields)), **(OPTIONS | options))
    trainer.train()
    return trainer


def test_the_loss_is_that_of_scores_units_and_contrast_in_every_cut_of_the_batch(tmp_path):
    trainer = trained(tmp_path / "whole")
    log = next(entry for entry in trainer.state.log_history if "discriminator_loss" in entry)
    units = [f"{name}_unit" for name in ("text", "image", "textual_to_visual", "visual_to_textual")]
    parts = [log[f"{name}_loss"] for name in ("contrast", *units, "contrastive_text", "contrastive_image")]
    assert all(part > 0.01 for part in parts)
    assert log["discriminator_loss"] == pytest.approx(sum(parts), rel=1e-5)

    cut = trained(tmp_path / "cut", mini_batch_size=4)
    assert cut.state.log_history[0]["discriminator_loss"] == pytest.approx(log["discriminator_loss"], rel=1e-5)
    others = weights(cut)
    for name, value in weights(trainer).items():
        torch.testing.assert_close(value, others[name], rtol=1e-3, atol=2e-5, msg=name)


def test_same_entities_are_negatives_under_legacy_masking_alone(tmp_path):
    first = [trained(tmp_path / str(legacy), legacy, max_steps=1).state.log_history[0] for legacy in (False, True)]
    assert first[1]["contrastive_text_loss"] > first[0]["contrastive_text_loss"] + 0.01
