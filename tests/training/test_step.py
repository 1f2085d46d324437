"""The training step: what its options do, and what of it is open to users."""

import json

import pytest
import torch

from hf_mel import NegativeStrategy, register_reward
from hf_mel.checkpoint import ARGUMENTS_FILE
from hf_mel.training import step as step_module
from tests.tiny_peers import tiny_peer

from .common import TEXT, assert_equal, changed, make_trainer, tiny_linker, weights


def test_negatives_far_above_the_gold_entity_can_be_ignored(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, negatives="random", false_negative_margin=-3.0)
    trainer.train()
    logs = trainer.state.log_history[0]
    assert logs["triplet_loss"] == 0 and logs["contrast_loss"] > 0  # no score is 3 below another: all are ignored


@pytest.mark.parametrize(
    "options",
    [{"estimator": "expected"}, {"estimator": "expected", "pool_rewards": "fresh"}, {"baseline": "self_critical"},
     {"baseline": "leave_one_out"}, {"reward": "hinge"}, {"reward": "logsigmoid"}, {"uniform_share": 1.0},
     {"negatives_kwargs": {"with_replacement": False}}, {"generator_type": "both"},
     {"baseline": "ema", "baseline_kwargs": {"decay": 0.5}}],
    ids=str,
)  # fmt: skip
def test_every_option_of_the_generator_trains(options, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=2, **options)
    trainer.train()
    logs = trainer.state.log_history[1]
    assert logs["generator_grad_norm"] > 0 or options == {"uniform_share": 1.0}
    assert (
        8 < logs["encodings"] <= (40 if "pool_rewards" in options else 20)
    )  # each of 20 entities once, or in the pool too


def test_the_generator_learns_to_pick_what_the_discriminator_finds_near(tmp_path):
    """With a discriminator that stands still, the expected reward rises, by either estimator."""
    for estimator in ("reinforce", "expected"):
        trainer = make_trainer(
            tmp_path / estimator,
            vision=False,
            max_steps=60,
            estimator=estimator,
            learning_rate=0.0,
            weight_decay=0.0,
            generator_init="random",
            generator_learning_rate=1e-2,
            lr_scheduler_type="constant",
            uniform_share=0.0,
            entropy_weight=0.0,
            contrast_weight=0.0,
        )
        trainer.train()
        rewards = [log["reward"] for log in trainer.state.log_history if "reward" in log]
        ranks = [log["sampled_rank"] for log in trainer.state.log_history if "reward" in log]
        assert sum(ranks[-10:]) < sum(ranks[:10])
        assert sum(rewards[-10:]) > sum(rewards[:10])


# ---- Large batches in little memory ----


DROPOUT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}


def large_batch(folder, model, mini_batch_size, **options):
    """Weights after two steps with batches of 16, and the most rows that were encoded at once."""
    trainer = make_trainer(
        folder,
        model,
        mini_batch_size=mini_batch_size,
        per_device_train_batch_size=16,
        contrast_weight=1.0,
        max_steps=2,
        optim="sgd",
        learning_rate=1e-3,
        max_grad_norm=0.0,
        **({"negatives": "random"} | options),
    )
    sizes, extract = [], trainer.model.extract

    def counting(input_ids, *args, **kwargs):
        sizes.append(len(input_ids))
        return extract(input_ids, *args, **kwargs)

    trainer.model.extract = counting
    trainer.train()
    return weights(trainer), sizes


@pytest.mark.parametrize("kind", ["pgmel", "mimic"])
def test_mini_batches_have_the_gradient_of_the_large_batch(kind, tmp_path, monkeypatch):
    """With dropout, whose masks are drawn again as they were: against the same chunks with all activations kept."""

    def model():
        return tiny_linker(head_dropout=0.2, text_config=TEXT | DROPOUT) if kind == "pgmel" else tiny_peer("mimic")

    options = {"unit_weight": 1.0, "contrast_temperature": 1.0} if kind == "mimic" else {"modality_weight": 1.0}
    cached, sizes = large_batch(tmp_path / "cached", model(), 4, **options)
    assert max(sizes) == 4
    again, _ = large_batch(tmp_path / "again", model(), 4, **options)
    assert_equal(cached, again)
    monkeypatch.setattr(step_module, "checkpoint", lambda function, *args, use_reentrant: function(*args))
    kept, kept_sizes = large_batch(tmp_path / "kept", model(), 4, **options)
    assert len(kept_sizes) < len(sizes)  # nothing was computed twice
    for name, value in kept.items():
        torch.testing.assert_close(cached[name], value, rtol=1e-5, atol=1e-7, msg=name)
    start = dict(model().state_dict())
    assert changed({f"discriminator.{n}": v for n, v in start.items()}, {n: cached[n] for n in cached if n in kept})


@pytest.mark.parametrize("kind", ["pgmel", "mimic"])
def test_without_dropout_any_mini_batch_size_is_the_large_batch(kind, tmp_path):
    results = []
    for size in (None, 16, 5):
        model = tiny_linker() if kind == "pgmel" else tiny_peer("mimic")
        results.append(large_batch(tmp_path / str(size), model, size, contrast_temperature=1.0)[0])
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6, msg=name)


def test_batch_normalisation_in_mini_batches_is_refused(tmp_path):
    vision = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
    with pytest.raises(ValueError, match="batch normalisation"):
        make_trainer(tmp_path, tiny_linker(vision_config=vision), mini_batch_size=4)
    make_trainer(tmp_path, tiny_linker(vision_config=vision, freeze_vision=True), mini_batch_size=4)


# ---- Guards ----


@pytest.mark.parametrize(
    ("options", "masked"),
    [
        ({}, 0.0),
        ({"false_negative_share": 0.0}, 1.0),  # no candidate scores at most zero
        ({"owner_guard": -1.0}, None),  # whoever owns a candidate is too similar: candidates that nobody owns are left
    ],
    ids=["none", "share", "owner"],
)
@pytest.mark.parametrize("negatives", ["random", "topk", "pg"])
def test_guards_drop_candidates_of_every_strategy(negatives, options, masked, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, negatives=negatives, **options)
    trainer.train()
    log = trainer.state.log_history[0]
    dropped = {name: log[f"dropped_by_{name}"] for name in ("false_negative_share", "owner_guard") if name in options}
    assert all(value > 0 for value in dropped.values()) and len(dropped) == len(options)
    assert not any("dropped" in name for name in log if not options)
    if masked == 1.0:
        assert log["masked_candidates"] > 0.8


# ---- Open to users ----


class FarthestNegatives(NegativeStrategy):
    """The lowest scores of the pool."""

    reads = "index"

    def columns(self, candidates):
        return (
            candidates.scores.masked_fill(~candidates.mask, torch.inf).topk(self.num_negatives, largest=False).indices
        )


def rank_reward(negatives, gold):
    """1 for a negative above the gold entity."""
    return (negatives > gold.unsqueeze(-1)).float()


def no_baseline(rewards, sampled, pool_rewards, log_probs):
    return torch.zeros_like(rewards)


@pytest.mark.parametrize("negatives", [FarthestNegatives, FarthestNegatives(3)], ids=["class", "instance"])
def test_a_strategy_of_ones_own(negatives, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=2, negatives=negatives)
    trainer.train()
    assert trainer.state.log_history[0]["triplet_loss"] > 0 and trainer.generator is None
    trainer.save_model()
    assert json.loads((tmp_path / ARGUMENTS_FILE).read_text())["arguments"]["negatives"] == "FarthestNegatives"


def test_a_reward_and_a_baseline_of_ones_own(tmp_path):
    register_reward("test_rank", rank_reward)
    found = []
    for number, reward in enumerate((rank_reward, "test_rank", "hinge")):
        trainer = make_trainer(tmp_path / str(number), vision=False, max_steps=3, reward=reward, baseline=no_baseline)
        trainer.train()
        found.append(weights(trainer))
    assert 0 <= trainer.state.log_history[0]["reward"] <= 1
    assert_equal(found[0], found[1])
    assert "generator" in changed(found[0], found[2])


def test_a_baseline_with_a_state_goes_on_where_it_was(tmp_path):
    options = {"vision": False, "baseline": "ema", "max_steps": 4}
    whole = make_trainer(tmp_path / "whole", save_strategy="steps", save_steps=2, **options)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert whole.step.baseline.average == resumed.step.baseline.average != 0
    assert_equal(weights(whole), weights(resumed))
