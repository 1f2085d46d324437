"""Rewards, baselines and the generator's loss on numbers worked out by hand."""

import math

import pytest
import torch

from hf_mel import policy


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-5, atol=1e-6)


# ---- Rewards ----


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("neg_distance", {}, [-0.4, -0.9]),  # s - 1
        ("hinge", {"margin": 0.3}, [0.1, 0.0]),  # 0.3 - 0.8 + s
        ("logsigmoid", {"temperature": 0.5}, [math.log(1 + math.exp(-0.2 / 0.5)), math.log(1 + math.exp(-0.7 / 0.5))]),
    ],
)
def test_rewards(name, options, expected):
    close(policy.REWARDS[name](torch.tensor([[0.6, 0.1]]), torch.tensor([0.8]), **options), [expected])


@pytest.mark.parametrize("name", policy.REWARDS)
def test_a_nearer_negative_never_pays_less(name):
    rewards = policy.REWARDS[name](torch.linspace(-1, 1, 21)[None], torch.tensor([0.5]))
    assert (rewards.diff() >= 0).all() and rewards[0, -1] > rewards[0, 0]


# ---- Generator ----


def test_policy_log_probs():
    log_probs = policy.policy_log_probs(torch.tensor([[0.0, math.log(3), 9.0]]), torch.tensor([[True, True, False]]))
    close(log_probs.exp(), [[0.25, 0.75, 0.0]])


def test_a_pool_that_is_all_masked_is_no_nan():
    log_probs = policy.policy_log_probs(torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3).bool())
    assert (log_probs == -torch.inf).all()
    close(policy.policy_entropy(log_probs), [0.0])
    close(policy.expected_baseline(None, None, torch.full((1, 3), -torch.inf), log_probs), [[0.0]])


def test_expected_baseline():
    log_probs = torch.tensor([[0.25, 0.75, 0.0]]).log()
    close(policy.expected_baseline(None, None, torch.tensor([[1.0, 2.0, -torch.inf]]), log_probs), [[1.75]])


def test_leave_one_out():
    rewards = torch.tensor([[1.0, 2.0, 6.0], [1.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    baseline = policy.leave_one_out_baseline(rewards, mask)
    close(baseline[0], [4.0, 3.5, 1.5])
    close(baseline[1, 0], 1.0)  # nothing to compare with: advantage zero


def test_reward_spread():
    # Of 1 and 3 the mean is 2 and the standard deviation 1; the masked third does not count.
    rewards = torch.tensor([[1.0, 3.0, 100.0], [2.0, 2.0, -torch.inf]])
    mask = torch.tensor([[True, True, False]] * 2)
    close(policy.reward_spread(rewards, mask), [1.0, 1e-6])


def test_reinforce():
    log_probs = torch.tensor([[0.5, 0.25]]).log()
    loss = policy.reinforce_loss(log_probs, torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.25]]))
    close(loss, [-(0.5 * 2 * math.log(0.5) - 0.25 * math.log(0.25))])


def test_reinforce_leaves_out_what_the_generator_did_not_draw():
    log_probs = torch.tensor([[math.log(0.5), -torch.inf]], requires_grad=True)
    loss = policy.reinforce_loss(log_probs, torch.tensor([[2.0, torch.inf]]), torch.tensor([[1.0, 0.0]]))
    close(loss, [-2 * math.log(0.5)])
    loss.sum().backward()
    assert torch.isfinite(log_probs.grad).all()


def test_no_gradient_into_advantages_and_rewards():
    log_probs = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
    rewards = torch.ones(1, 2, requires_grad=True)
    (
        policy.reinforce_loss(log_probs, rewards, rewards / 2) + policy.expected_policy_loss(log_probs, rewards)
    ).sum().backward()
    assert rewards.grad is None and log_probs.grad is not None


def test_expected_policy_loss():
    log_probs = torch.tensor([[0.25, 0.75]]).log()
    close(policy.expected_policy_loss(log_probs, torch.tensor([[1.0, 2.0]])), [-1.75])


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_reinforce_agrees_with_the_expected_gradient(baseline):
    """
    The mean of the REINFORCE gradient over many draws lies within five standard errors of the exact gradient, in every
    coordinate, with any baseline that does not depend on the draw.
    """
    logits = torch.tensor([[0.3, -1.0, 0.8, 0.0]], dtype=torch.double)
    rewards = torch.tensor([[0.2, 1.0, -0.5, 0.4]], dtype=torch.double)
    exact = logits.clone().requires_grad_()
    policy.expected_policy_loss(exact.log_softmax(-1), rewards).sum().backward()

    draws = 40_000
    samples = torch.multinomial(logits.softmax(-1)[0], draws, replacement=True)
    # The gradient of -(r - b) log p(k) for the softmax: (r - b) (p - onehot(k)).
    each = (rewards[0, samples] - baseline)[:, None] * (logits.softmax(-1) - torch.eye(4, dtype=torch.double)[samples])
    many = logits.expand(draws, 4).clone().requires_grad_()
    log_probs = many.log_softmax(-1).gather(1, samples[:, None])
    policy.reinforce_loss(
        log_probs, rewards[0, samples][:, None] - baseline, torch.ones_like(log_probs)
    ).sum().backward()
    torch.testing.assert_close(many.grad, each)

    error = many.grad.std(0) / math.sqrt(draws)
    assert ((many.grad.mean(0) - exact.grad[0]).abs() < 5 * error).all()
    # The bound is sharp enough to see a wrong sign or a missing factor of two.
    assert ((2 * many.grad.mean(0) - exact.grad[0]).abs() > 5 * error).any()


def test_entropy():
    log_probs = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log()
    entropy = policy.policy_entropy(log_probs)
    close(entropy, [math.log(2), 0.0])
    close(policy.relative_entropy(entropy, torch.tensor([2.0, 3.0])), [1.0, 0.0])
    # Floor of half of log 4 = log 2: the first pays nothing, the second half of log 3.
    close(policy.entropy_floor_loss(entropy, torch.tensor([4.0, 3.0]), 0.5), [0.0, math.log(3) / 2])


def test_a_pool_of_one_is_not_called_collapsed():
    close(policy.relative_entropy(torch.tensor([0.0]), torch.tensor([1.0])), [1.0])


# ---- Baselines and the whole loss ----


PROBABILITIES = torch.tensor([[0.5, 0.3, 0.2]])
POOL_REWARDS = torch.tensor([[-1.0, -2.0, -4.0]])
REWARDS = torch.tensor([[-1.5, -3.0]])
SAMPLED = torch.tensor([[True, True]])


def policy_loss(baseline, **options):
    """Loss with the second and third candidate drawn, and the advantages that were paid."""
    columns, weights = torch.tensor([[1, 2]]), torch.full((1, 2), 0.5)
    log_probs = PROBABILITIES.log()
    given = (log_probs, torch.ones(1, 3).bool(), columns, weights, REWARDS, SAMPLED, POOL_REWARDS, baseline)
    return policy.policy_loss(*given, **({"entropy_weight": 0.0, "scale_advantage": False} | options))[0]


@pytest.mark.parametrize(
    ("baseline", "advantages"),
    [
        ("expected", [0.4, -1.1]),  # b = -0.5 - 0.6 - 0.8 = -1.9
        ("self_critical", [-0.5, -2.0]),  # the most likely candidate is the first: b = -1
        ("leave_one_out", [1.5, -1.5]),  # b is the other's reward
        ("ema", [0.0, 0.0]),  # no reward was observed yet: nothing is known to be better or worse
        (lambda rewards, sampled, pool_rewards, log_probs: pool_rewards.mean(), [5 / 6, -2 / 3]),  # b = -7/3
    ],
    ids=["expected", "self_critical", "leave_one_out", "ema", "a function"],
)
def test_baselines(baseline, advantages):
    expected = -0.5 * (advantages[0] * math.log(0.3) + advantages[1] * math.log(0.2))
    close(policy_loss(policy.BASELINES.build(baseline)), [expected])
    # The pool's rewards have mean -7/3 and variance (16 + 1 + 25) / 27.
    close(policy_loss(policy.BASELINES.build(baseline), scale_advantage=True), [expected / (42 / 27) ** 0.5])


def test_the_ema_baseline_follows_the_rewards():
    baseline = policy.BASELINES.build("ema", {"decay": 0.9})
    baseline.observe(torch.tensor(-6.0), torch.tensor(3.0))  # the first mean, -2, is taken whole
    close(baseline.average, -2.0)
    baseline.observe(torch.tensor(-4.0), torch.tensor(4.0))  # 0.9 * -2 + 0.1 * -1
    close(baseline.average, -1.9)
    close(policy_loss(baseline), policy_loss(policy.BASELINES.build("expected")))
    with pytest.raises(ValueError, match="between 0 and 1"):
        policy.BASELINES.build("ema", {"decay": 2.0})


def test_what_the_generator_did_not_draw_pays_nothing():
    given = (PROBABILITIES.log(), torch.ones(1, 3).bool(), torch.tensor([[1, 2]]), torch.full((1, 2), 0.5), REWARDS)
    options = {"entropy_weight": 0.0, "scale_advantage": False}
    baseline = policy.BASELINES.build("expected")
    loss, logs = policy.policy_loss(*given, torch.tensor([[True, False]]), POOL_REWARDS, baseline, **options)
    close(loss, [-0.5 * 0.4 * math.log(0.3)])
    close(logs["reward"], -1.5)


def test_a_pool_without_spread_pays_nothing():
    given = (PROBABILITIES.log(), torch.ones(1, 3).bool(), torch.tensor([[1, 2]]), torch.full((1, 2), 0.5), REWARDS)
    loss, _ = policy.policy_loss(
        *given, SAMPLED, torch.zeros(1, 3), policy.BASELINES.build("expected"), entropy_weight=0.0
    )
    close(loss, [0.0])


def test_rewards_are_checked():
    negatives, gold, counts = torch.tensor([[0.5, -torch.inf]]), torch.tensor([0.7]), torch.tensor([[True, False]])

    def nan_reward(negatives, gold):
        return negatives * torch.nan

    assert policy.checked_rewards(policy.negative_distance_reward, negatives, gold, counts)[0, 0] == -0.5
    assert policy.checked_rewards(lambda n, g: 1 / n.isfinite(), negatives, gold, counts)[0, 0] == 1, (
        "masked: not read"
    )
    with pytest.raises(ValueError, match="the reward nan_reward gave a number that is not finite"):
        policy.checked_rewards(nan_reward, negatives, gold, counts)
    assert policy.checked_rewards(nan_reward, negatives * torch.nan, gold, counts) is not None, "the loss says so"
    with pytest.raises(ValueError, match=r"of shape \(1, 2\), and gave \(1,\)"):
        policy.checked_rewards(lambda negatives, gold: gold, negatives, gold, counts)
    with pytest.raises(ValueError, match="and gave float"):
        policy.checked_rewards(lambda negatives, gold: 0.0, negatives, gold, counts)
