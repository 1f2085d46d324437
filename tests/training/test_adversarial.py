"""Baselines and advantages by hand, and what the step does with its options."""

import pytest
import torch

from hf_mel import PGMELTrainingArguments
from hf_mel.training.adversarial import AdversarialStep
from tests.negatives.common import make_context

from .common import make_trainer, tiny_linker


PROBABILITIES = torch.tensor([[0.5, 0.3, 0.2]])
POOL_REWARDS = torch.tensor([[-1.0, -2.0, -4.0]])
REWARDS = torch.tensor([[-1.5, -3.0]])
SAMPLED = torch.tensor([[True, True]])


def make_step(tmp_path, **options) -> AdversarialStep:
    args = PGMELTrainingArguments(str(tmp_path), report_to="none", use_cpu=True, **options)
    return AdversarialStep(tiny_linker(vision=False), None, args, torch.arange(3), copy_heads=False)


def advantages(step: AdversarialStep) -> list[float]:
    context = make_context(log_probs=PROBABILITIES.log())
    return step._advantages(REWARDS, POOL_REWARDS, SAMPLED, context)[0].tolist()


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("expected", [0.4, -1.1]),  # b = -0.5 - 0.6 - 0.8 = -1.9
        ("self_critical", [-0.5, -2.0]),  # the most likely candidate is the first: b = -1
        ("leave_one_out", [1.5, -1.5]),  # b is the other's reward
        ("ema", [0.0, 0.0]),  # nothing was seen yet: nothing is known to be better or worse
    ],
)
def test_baselines(baseline, expected, tmp_path):
    assert advantages(make_step(tmp_path, baseline=baseline, scale_advantage=False)) == pytest.approx(expected)


def test_the_ema_baseline_follows_the_rewards(tmp_path):
    step = make_step(tmp_path, baseline="ema", ema_decay=0.9, scale_advantage=False)
    step.observe_rewards(torch.tensor([-6.0, 3.0]))  # the first mean, -2, is taken whole
    assert step.average_reward.item() == pytest.approx(-2)
    step.observe_rewards(torch.tensor([-4.0, 4.0]))  # 0.9 * -2 + 0.1 * -1
    assert step.average_reward.item() == pytest.approx(-1.9)
    assert advantages(step) == pytest.approx([0.4, -1.1])


def test_the_advantage_is_divided_by_the_spread_of_the_pool(tmp_path):
    # The pool's rewards have mean -7/3 and variance (16 + 1 + 25) / 27.
    spread = (42 / 27) ** 0.5
    assert advantages(make_step(tmp_path)) == pytest.approx([0.4 / spread, -1.1 / spread])


def test_negatives_far_above_the_gold_entity_can_be_ignored(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, negatives="random", false_negative_margin=-3.0)
    trainer.train()
    logs = trainer.state.log_history[0]
    assert logs["triplet_loss"] == 0 and logs["contrast_loss"] > 0  # no score is 3 below another: all are ignored


@pytest.mark.parametrize(
    "options",
    [{"estimator": "expected"}, {"estimator": "expected", "pool_rewards": "fresh"}, {"baseline": "self_critical"},
     {"baseline": "leave_one_out"}, {"reward": "hinge"}, {"reward": "logsigmoid"}, {"uniform_share": 1.0},
     {"sample_with_replacement": False}],
    ids=str,
)  # fmt: skip
def test_every_option_of_the_generator_trains(options, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=2, **options)
    trainer.train()
    logs = trainer.state.log_history[1]
    assert logs["generator_grad_norm"] > 0 or options == {"uniform_share": 1.0}
    assert logs["encodings"] == 8 * (4 + (8 if "pool_rewards" in options else 0))


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
