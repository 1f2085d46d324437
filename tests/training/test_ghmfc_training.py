"""GHMFC in the Trainer: a triplet loss and its two contrasts, which are those of the whole optimizer batch."""

import pytest
import torch

from hf_mel import GHMFCConfig, GHMFCModel, M3ELConfig, M3ELModel, MELOVConfig, MELOVModel
from tests.training.common import TEXT, VISION, make_trainer, weights


OPTIONS = {"negatives": "random", "contrast_weight": 0.0, "generator_init": "random", "learning_rate": 1e-4}
TOWERS = {"text_config": TEXT, "vision_config": VISION, "pooling": "mean", "max_text_tokens": 32}


def ghmfc(**fields) -> GHMFCModel:
    torch.manual_seed(0)
    return GHMFCModel(
        GHMFCConfig(**(TOWERS | {"projection_size": 8, "coattention_size": 8, "num_coattention_heads": 2} | fields))
    )


def trained(folder, model=None, **options):
    trainer = make_trainer(folder, model=ghmfc() if model is None else model, **(OPTIONS | {"max_steps": 3} | options))
    trainer.train()
    return trainer


def losses(trainer) -> dict[str, float]:
    log = next(entry for entry in trainer.state.log_history if "discriminator_loss" in entry)
    return {name.removesuffix("_loss"): value for name, value in log.items() if name.endswith("_loss")}


def test_the_loss_is_that_of_triplets_and_contrasts_in_every_cut_of_the_batch(tmp_path):
    trainer = trained(tmp_path / "whole")
    found = losses(trainer)
    assert found.keys() == {"triplet", "text_to_image", "image_to_text", "discriminator"}
    assert all(value > 0.01 for value in found.values())
    parts = [found[name] for name in ("triplet", "text_to_image", "image_to_text")]
    assert found["discriminator"] == pytest.approx(sum(parts), rel=1e-5)

    cut = trained(tmp_path / "cut", mini_batch_size=4)
    assert losses(cut)["discriminator"] == pytest.approx(found["discriminator"], rel=1e-5)
    others = weights(cut)
    for name, value in weights(trainer).items():
        torch.testing.assert_close(value, others[name], rtol=1e-3, atol=2e-5, msg=name)


def test_every_head_moves_and_without_contrasts_there_is_the_triplet_loss_alone(tmp_path):
    model = ghmfc(contrastive_weight=0.0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    found = losses(trained(tmp_path, model, weight_decay=0.0))
    assert found.keys() == {"triplet", "discriminator"} and found["discriminator"] == found["triplet"] > 0
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert not {name for name in still if name.startswith("heads") and not name.endswith(".key.bias")}


@pytest.mark.parametrize("negatives", ["in_batch", "topk", "pg"])
def test_with_other_negatives(negatives, tmp_path):
    options = {"contrast_weight": 1.0, "modality_weight": 1.0, "num_negatives": 2}
    found = losses(trained(tmp_path, negatives=negatives, **options))
    assert {"contrast", "text", "image", "text_to_image", "image_to_text"} <= found.keys()
    assert ("generator" in found) is (negatives == "pg")


@pytest.mark.parametrize(
    ("model_class", "own"),
    [(M3ELModel, {"contrastive_text", "contrastive_image"}), (MELOVModel, {"generation"})],
    ids=["m3el", "melov"],
)
def test_losses_of_a_models_own_need_no_weight_of_the_others(model_class, own, tmp_path):
    fields = {"matching_size": 8} | ({"bank_size": 8} if model_class is MELOVModel else {})
    config = {M3ELModel: M3ELConfig, MELOVModel: MELOVConfig}[model_class]
    model = model_class(config(**(TOWERS | fields)))
    assert model.has_extra_losses
    found = losses(trained(tmp_path, model, max_steps=1))
    assert own <= found.keys()
    parts = sum(value for name, value in found.items() if name != "discriminator")
    assert found["discriminator"] == pytest.approx(parts, rel=1e-5)
