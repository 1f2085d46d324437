"""The training step: what its options do, and what of it is open to users."""

import pytest

from .common import make_trainer


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
