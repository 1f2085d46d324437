"""Every loss, reward and baseline on numbers worked out by hand."""

import math

import pytest
import torch

from hf_mel import losses


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-5, atol=1e-6)


# ---- Discriminator ----


def test_triplet():
    # [0.3 - 0.9 + 0.8]_+ = 0.2 and [0.3 - 0.9 + 0.1]_+ = 0: mean 0.1. Second row: 0.3 - 0.2 + (0.5, 0.4) = 0.6, 0.5.
    scores = torch.tensor([[0.8, 0.1], [0.5, 0.4]])
    close(losses.triplet_loss(torch.tensor([0.9, 0.2]), scores, 0.3), [0.1, 0.55])


def test_triplet_leaves_out_what_is_masked():
    mask = torch.tensor([[True, False], [False, False]])
    scores = torch.tensor([[0.8, 0.9], [5.0, 5.0]])
    close(losses.triplet_loss(torch.tensor([0.9, 0.2]), scores, 0.3, mask), [0.2, 0.0])


def test_triplet_without_negatives_costs_nothing():
    close(losses.triplet_loss(torch.tensor([0.9]), torch.zeros(1, 0), 0.3), [0.0])


def test_in_batch_contrast():
    # Row 0: logits 2 and 0, so -log(e^2 / (e^2 + 1)). Row 1: logits 0 and 1.
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1))]
    close(losses.in_batch_contrast(scores, torch.eye(2).bool(), 0.5), expected)


def test_the_same_entity_is_no_negative():
    scores = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    loss = losses.in_batch_contrast(scores, same, 1.0)
    close(loss[0], math.log(1 + math.exp(-1)))  # the second column is left out
    close(loss[2], math.log(1 + 2 * math.exp(-1)))


# ---- Rewards ----


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("neg_distance", [-0.4, -0.9]),  # s - 1
        ("hinge", [0.1, 0.0]),  # 0.3 - 0.8 + s
        ("logsigmoid", [math.log(1 + math.exp(-0.2 / 0.5)), math.log(1 + math.exp(-0.7 / 0.5))]),
    ],
)
def test_rewards(name, expected):
    close(losses.REWARDS[name](torch.tensor([[0.6, 0.1]]), torch.tensor([0.8]), 0.3, 0.5), [expected])


@pytest.mark.parametrize("name", losses.REWARDS)
def test_a_nearer_negative_never_pays_less(name):
    rewards = losses.REWARDS[name](torch.linspace(-1, 1, 21)[None], torch.tensor([0.5]), 0.3, 0.05)
    assert (rewards.diff() >= 0).all() and rewards[0, -1] > rewards[0, 0]


# ---- Generator ----


def test_policy_log_probs():
    log_probs = losses.policy_log_probs(torch.tensor([[0.0, math.log(3), 9.0]]), torch.tensor([[True, True, False]]))
    close(log_probs.exp(), [[0.25, 0.75, 0.0]])


def test_a_pool_that_is_all_masked_is_no_nan():
    log_probs = losses.policy_log_probs(torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3).bool())
    assert (log_probs == -torch.inf).all()
    close(losses.policy_entropy(log_probs), [0.0])
    close(losses.expected_reward(log_probs, torch.full((1, 3), -torch.inf)), [0.0])


def test_expected_reward():
    log_probs = torch.tensor([[0.25, 0.75, 0.0]]).log()
    close(losses.expected_reward(log_probs, torch.tensor([[1.0, 2.0, -torch.inf]])), [1.75])


def test_leave_one_out():
    rewards = torch.tensor([[1.0, 2.0, 6.0], [1.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    baseline = losses.leave_one_out_baseline(rewards, mask)
    close(baseline[0], [4.0, 3.5, 1.5])
    close(baseline[1, 0], 1.0)  # nothing to compare with: advantage zero


def test_reward_spread():
    # Of 1 and 3 the mean is 2 and the standard deviation 1; the masked third does not count.
    rewards = torch.tensor([[1.0, 3.0, 100.0], [2.0, 2.0, -torch.inf]])
    mask = torch.tensor([[True, True, False]] * 2)
    close(losses.reward_spread(rewards, mask), [1.0, 1e-6])


def test_reinforce():
    log_probs = torch.tensor([[0.5, 0.25]]).log()
    loss = losses.reinforce_loss(log_probs, torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.25]]))
    close(loss, [-(0.5 * 2 * math.log(0.5) - 0.25 * math.log(0.25))])


def test_reinforce_leaves_out_what_the_generator_did_not_draw():
    log_probs = torch.tensor([[math.log(0.5), -torch.inf]], requires_grad=True)
    loss = losses.reinforce_loss(log_probs, torch.tensor([[2.0, torch.inf]]), torch.tensor([[1.0, 0.0]]))
    close(loss, [-2 * math.log(0.5)])
    loss.sum().backward()
    assert torch.isfinite(log_probs.grad).all()


def test_no_gradient_into_advantages_and_rewards():
    log_probs = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
    rewards = torch.ones(1, 2, requires_grad=True)
    (
        losses.reinforce_loss(log_probs, rewards, rewards / 2) + losses.expected_policy_loss(log_probs, rewards)
    ).sum().backward()
    assert rewards.grad is None and log_probs.grad is not None


def test_expected_policy_loss():
    log_probs = torch.tensor([[0.25, 0.75]]).log()
    close(losses.expected_policy_loss(log_probs, torch.tensor([[1.0, 2.0]])), [-1.75])


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_reinforce_agrees_with_the_expected_gradient(baseline):
    """
    The mean of the REINFORCE gradient over many draws lies within five standard errors of the exact gradient, in every
    coordinate, with any baseline that does not depend on the draw.
    """
    logits = torch.tensor([[0.3, -1.0, 0.8, 0.0]], dtype=torch.double)
    rewards = torch.tensor([[0.2, 1.0, -0.5, 0.4]], dtype=torch.double)
    exact = logits.clone().requires_grad_()
    losses.expected_policy_loss(exact.log_softmax(-1), rewards).sum().backward()

    draws = 40_000
    samples = torch.multinomial(logits.softmax(-1)[0], draws, replacement=True)
    # The gradient of -(r - b) log p(k) for the softmax: (r - b) (p - onehot(k)).
    each = (rewards[0, samples] - baseline)[:, None] * (logits.softmax(-1) - torch.eye(4, dtype=torch.double)[samples])
    many = logits.expand(draws, 4).clone().requires_grad_()
    log_probs = many.log_softmax(-1).gather(1, samples[:, None])
    losses.reinforce_loss(
        log_probs, rewards[0, samples][:, None] - baseline, torch.ones_like(log_probs)
    ).sum().backward()
    torch.testing.assert_close(many.grad, each)

    error = many.grad.std(0) / math.sqrt(draws)
    assert ((many.grad.mean(0) - exact.grad[0]).abs() < 5 * error).all()
    # The bound is sharp enough to see a wrong sign or a missing factor of two.
    assert ((2 * many.grad.mean(0) - exact.grad[0]).abs() > 5 * error).any()


def test_entropy():
    log_probs = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log()
    entropy = losses.policy_entropy(log_probs)
    close(entropy, [math.log(2), 0.0])
    close(losses.relative_entropy(entropy, torch.tensor([2.0, 3.0])), [1.0, 0.0])
    # Floor of half of log 4 = log 2: the first pays nothing, the second half of log 3.
    close(losses.entropy_floor_loss(entropy, torch.tensor([4.0, 3.0]), 0.5), [0.0, math.log(3) / 2])


def test_a_pool_of_one_is_not_called_collapsed():
    close(losses.relative_entropy(torch.tensor([0.0]), torch.tensor([1.0])), [1.0])
