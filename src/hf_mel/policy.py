"""
The generator's part of a training step: rewards, baselines, advantages and the policy gradient, as plain functions. Scores
are similarities `s`; the distance of the papers is `d = 1 - s`.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from .losses import masked_mean
from .models.registry import Registry


Reward = Callable[..., torch.Tensor]
"""`reward(negatives, gold, **reward_kwargs)`: scores `(batch_size, k)` and `(batch_size,)` to rewards `(batch_size, k)`."""

Baseline = Callable[..., torch.Tensor]
"""`baseline(rewards, sampled, pool_rewards, log_probs)`, see [`leave_one_out_baseline`]."""


# ---- Rewards: computed from the discriminator's scores ----


def negative_distance_reward(negatives: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """`r = -d(m, e) = s(m, e) - 1`: the nearer, the better (KBGAN, Cai and Wang 2018)."""
    return negatives - 1


def hinge_reward(negatives: torch.Tensor, gold: torch.Tensor, margin: float = 0.3) -> torch.Tensor:
    """`r = [margin + d(m, e+) - d(m, e)]_+`: the discriminator's own loss (ACE, Bose et al. 2018)."""
    return (margin - gold.unsqueeze(-1) + negatives).clamp(min=0)


def log_sigmoid_reward(negatives: torch.Tensor, gold: torch.Tensor, temperature: float = 0.05) -> torch.Tensor:
    """`r = -log sigmoid((s(m, e+) - s(m, e)) / tau_r)` (IRGAN, Wang et al. 2017; AR2, Zhang et al. 2022)."""
    return -F.logsigmoid((gold.unsqueeze(-1) - negatives) / temperature)


REWARDS = Registry(
    "reward",
    {"neg_distance": negative_distance_reward, "hinge": hinge_reward, "logsigmoid": log_sigmoid_reward},
)


def register_reward(name: str, reward: Reward) -> None:
    """
    Make a reward of one's own known by name, for recipes and the command line.

    Args:
        name (`str`):
            Value of `reward` in [`MELTrainingArguments`].
        reward (`Callable`):
            `reward(negatives, gold, **reward_kwargs)`: scores of shape `(batch_size, k)` and `(batch_size,)` to rewards of shape
            `(batch_size, k)`.

    Example:

    ```python
    >>> from hf_mel import register_reward

    >>> register_reward("above_gold", lambda negatives, gold: (negatives > gold.unsqueeze(-1)).float())
    ```
    """
    REWARDS.register(name, reward)


# ---- Baselines ----


def expected_baseline(rewards, sampled, pool_rewards, log_probs) -> torch.Tensor:
    """The exact expectation of the reward under the policy, `b(m) = sum_C p(e | m) r(e)`, from the whole pool."""
    return (log_probs.exp() * _finite(pool_rewards, log_probs)).sum(dim=-1, keepdim=True)


def self_critical_baseline(rewards, sampled, pool_rewards, log_probs) -> torch.Tensor:
    """The reward of the candidate that the generator finds most likely (ACE; Rennie et al. 2017)."""
    return pool_rewards.gather(1, log_probs.argmax(dim=-1, keepdim=True))


def leave_one_out_baseline(rewards, sampled, pool_rewards=None, log_probs=None) -> torch.Tensor:
    """
    For each sample the mean reward of the mention's other samples. A sample without others is its own baseline: its
    advantage is zero, for nothing is known to compare it with.

    Args:
        rewards (`torch.Tensor` of shape `(batch_size, num_samples)`):
            Rewards of the samples.
        sampled (`torch.BoolTensor` of shape `(batch_size, num_samples)`):
            `True` where the generator drew the sample and no guard dropped it.
        pool_rewards (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Rewards of the whole pool, `-inf` where masked.
        log_probs (`torch.Tensor` of shape `(batch_size, pool_size)`):
            The generator's `log p(e | m)`.

    Returns:
        `torch.Tensor` of shape `(batch_size, num_samples)`, or any that broadcasts to it.
    """
    others = sampled.sum(dim=-1, keepdim=True) - 1
    total = rewards.masked_fill(~sampled, 0).sum(dim=-1, keepdim=True)
    return torch.where(others > 0, (total - rewards) / others.clamp(min=1), rewards)


class MovingAverageBaseline(nn.Module):
    """
    Moving average of the rewards (KBGAN). Until a reward was observed, every reward is its own baseline.

    Args:
        decay (`float`, *optional*, defaults to 0.99):
            Share of the old average that is kept in each step.
    """

    def __init__(self, decay: float = 0.99):
        super().__init__()
        if not 0 <= decay <= 1:
            raise ValueError(f"`decay` of the `ema` baseline must be between 0 and 1, got {decay}.")
        self.decay = decay
        self.register_buffer("average", torch.full((), torch.nan))

    def forward(self, rewards, sampled, pool_rewards=None, log_probs=None) -> torch.Tensor:
        return torch.where(self.average.isnan(), rewards, self.average)

    def observe(self, total: torch.Tensor, count: torch.Tensor) -> None:
        """Take notice of the rewards of a step, in all processes: their sum and their number."""
        mean = total / count.clamp(min=1)
        self.average.copy_(torch.where(self.average.isnan(), mean, torch.lerp(mean, self.average, self.decay)))


BASELINES = Registry(
    "baseline",
    {
        "expected": expected_baseline,
        "ema": MovingAverageBaseline,
        "self_critical": self_critical_baseline,
        "leave_one_out": leave_one_out_baseline,
    },
)


def register_baseline(name: str, baseline: Baseline) -> None:
    """
    Make a baseline of one's own known by name, for recipes and the command line.

    Args:
        name (`str`):
            Value of `baseline` in [`MELTrainingArguments`].
        baseline (`Callable`):
            `baseline(rewards, sampled, pool_rewards, log_probs)`, see [`leave_one_out_baseline`]; or a class, which is built
            with `baseline_kwargs`; an instance is copied for each training. The buffers of a `torch.nn.Module` are saved with each checkpoint; its method
            `observe(total, count)`, if it has one, is given the sum and number of the rewards of each step.

    Example:

    ```python
    >>> from hf_mel import register_baseline

    >>> register_baseline("none", lambda rewards, sampled, pool_rewards, log_probs: rewards * 0)
    ```
    """
    BASELINES.register(name, baseline)


# ---- The generator's loss ----


def policy_log_probs(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    `log p(e | m)` over the pool of each mention, `-inf` on what is masked. A mention whose whole pool is masked gets
    `-inf` everywhere, never NaN.
    """
    logits = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return logits.log_softmax(dim=-1).masked_fill(~mask, -torch.inf)


def reward_spread(rewards: torch.Tensor, mask: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    """Standard deviation of the reward over the pool of each mention, of shape `(batch_size,)`, at least `epsilon`."""
    mean = masked_mean(rewards, mask).unsqueeze(-1)
    return masked_mean((rewards - mean) ** 2, mask).sqrt().clamp(min=epsilon)


def reinforce_loss(log_probs: torch.Tensor, advantages: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """
    Policy gradient (Williams 1992): `- sum_k w_k advantage_k log p(e_k | m)`. No gradient flows into advantages and weights.

    Args:
        log_probs (`torch.Tensor` of shape `(batch_size, num_samples)`):
            Log probability of each sample under the generator.
        advantages (`torch.Tensor` of shape `(batch_size, num_samples)`):
            Reward minus baseline.
        weights (`torch.Tensor` of shape `(batch_size, num_samples)`):
            `1 / num_samples` for independent draws; `p / q` for different ones, see [`sample_without_replacement`]. Zero
            where a sample does not count.

    Returns:
        `torch.Tensor` of shape `(batch_size,)`.
    """
    # A sample that does not count may have log probability -inf or an infinite advantage, and 0 * inf would be NaN.
    ignored = weights == 0
    log_probs, advantages = log_probs.masked_fill(ignored, 0), advantages.detach().masked_fill(ignored, 0)
    return -(weights.detach() * advantages * log_probs).sum(dim=-1)


def expected_policy_loss(log_probs: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """
    `- sum_C p(e | m) r(e)`, of shape `(batch_size,)`: its gradient is what the one of [`reinforce_loss`] is on
    average, without variance. No gradient flows into the rewards.
    """
    return -(log_probs.exp() * _finite(rewards, log_probs).detach()).sum(dim=-1)


def policy_entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """`H(p)` in nats, of shape `(batch_size,)`; candidates of probability zero count zero."""
    finite = log_probs.masked_fill(log_probs == -torch.inf, 0)
    return -(log_probs.exp() * finite).sum(dim=-1)


def entropy_floor_loss(entropy: torch.Tensor, num_candidates: torch.Tensor, floor: float) -> torch.Tensor:
    """
    `max(0, rho log N - H(p))`, of shape `(batch_size,)`: what the generator pays for being more certain than the
    floor allows (ACE). `num_candidates` of shape `(batch_size,)` counts the candidates that are not masked.
    """
    return (floor * num_candidates.clamp(min=1).log() - entropy).clamp(min=0)


def relative_entropy(entropy: torch.Tensor, num_candidates: torch.Tensor) -> torch.Tensor:
    """`H(p) / log N`: 1 is uniform, 0 is a collapsed generator. A pool of one candidate counts as 1."""
    highest = num_candidates.clamp(min=1).log()
    return torch.where(highest > 0, entropy / highest.clamp(min=math.log(2)), torch.ones_like(entropy))


def checked_rewards(reward: Reward, negatives: torch.Tensor, gold: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """
    Rewards of the negatives.

    Args:
        reward (`Callable`): The reward.
        negatives (`torch.Tensor` of shape `(batch_size, k)`): Scores of the negatives.
        gold (`torch.Tensor` of shape `(batch_size,)`): Scores of the gold entities.
        counts (`torch.BoolTensor` of shape `(batch_size, k)`): Negatives whose reward is read.

    Raises:
        `ValueError`: rewards of another shape, or one that counts and is not finite although the scores are.
    """
    rewards = reward(negatives, gold)
    name = getattr(getattr(reward, "func", reward), "__name__", type(reward).__name__)
    if getattr(rewards, "shape", None) != negatives.shape:
        shape = tuple(rewards.shape) if isinstance(rewards, torch.Tensor) else type(rewards).__name__
        raise ValueError(
            f"the reward {name} must give one number a negative, of shape {tuple(negatives.shape)}, and gave {shape}"
        )
    read = counts & negatives.isfinite() & gold.isfinite().unsqueeze(-1)
    if not rewards[read].isfinite().all():
        raise ValueError(f"the reward {name} gave a number that is not finite, of finite scores")
    return rewards


def policy_loss(
    log_probs: torch.Tensor,
    mask: torch.Tensor,
    columns: torch.Tensor,
    weights: torch.Tensor | None,
    rewards: torch.Tensor,
    sampled: torch.Tensor,
    pool_rewards: torch.Tensor,
    baseline: Baseline,
    *,
    estimator: str = "reinforce",
    scale_advantage: bool = True,
    entropy_weight: float = 0.01,
    entropy_floor: float = 0.5,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """
    Loss of the generator for each mention: policy gradient plus entropy floor.

    Args:
        log_probs (`torch.Tensor` of shape `(batch_size, pool_size)`):
            The generator's `log p(e | m)`, with gradient.
        mask (`torch.BoolTensor` of shape `(batch_size, pool_size)`):
            `False` on candidates that do not count.
        columns (`torch.LongTensor` of shape `(batch_size, k)`):
            The negatives, as columns of the pool.
        weights (`torch.Tensor` of shape `(batch_size, k)`, *optional*):
            Their importance weights; without any the policy gradient is zero.
        rewards (`torch.Tensor` of shape `(batch_size, k)`):
            Their rewards.
        sampled (`torch.BoolTensor` of shape `(batch_size, k)`):
            `True` where the generator drew the sample and no guard dropped it.
        pool_rewards (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Rewards of the whole pool, for baselines, for the spread and for the `expected` estimator.
        baseline (`Callable`):
            See [`leave_one_out_baseline`].
        estimator (`str`), scale_advantage (`bool`), entropy_weight (`float`), entropy_floor (`float`):
            As in [`MELTrainingArguments`].

    Returns:
        `tuple`: the loss of shape `(batch_size,)`, and scalars to log.
    """
    spread = reward_spread(pool_rewards, mask) if scale_advantage else torch.ones_like(pool_rewards[:, 0])
    if estimator == "expected":
        policy = expected_policy_loss(log_probs, pool_rewards) / spread
    else:
        advantages = (rewards - baseline(rewards, sampled, pool_rewards, log_probs.detach())) / spread.unsqueeze(-1)
        weights = torch.zeros_like(rewards) if weights is None else weights * sampled
        # Where the rewards of the pool do not differ, there is no scale for an advantage.
        comparable = (spread > 1e-6).unsqueeze(-1) if scale_advantage else sampled
        policy = reinforce_loss(log_probs.gather(1, columns), advantages, weights * comparable)
    candidates = mask.sum(dim=-1).float()
    entropy = policy_entropy(log_probs)
    loss = policy + entropy_weight * entropy_floor_loss(entropy, candidates, entropy_floor)
    logs = {
        "generator_loss": loss.mean(),
        "generator_entropy": relative_entropy(entropy, candidates).mean(),
        "reward": rewards.masked_fill(~sampled, 0).sum() / sampled.sum().clamp(min=1),
    }
    return loss, logs


def _finite(rewards: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    """Rewards with zeros where the probability is zero: `0 * inf` would be NaN."""
    return rewards.masked_fill(log_probs == -torch.inf, 0)
