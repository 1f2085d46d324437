"""
Losses, rewards and baselines as plain functions of tensors: no model, no trainer, so that each is tested on numbers
worked out by hand. Scores are similarities `s`; the distance of the papers is `d = 1 - s`.
"""

import math

import torch
from torch.nn import functional as F


# ---- Discriminator ----


def triplet_loss(
    positive: torch.Tensor, negatives: torch.Tensor, margin: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Hinge on the distance of the gold entity against that of each negative: `[margin + d(m, e+) - d(m, e-)]_+`, the
    mean over the negatives of each mention.

    Args:
        positive (`torch.Tensor` of shape `(batch_size,)`):
            Score of the gold entity.
        negatives (`torch.Tensor` of shape `(batch_size, num_negatives)`):
            Scores of the negatives.
        margin (`float`):
            By how much the gold entity has to be nearer than a negative.
        mask (`torch.BoolTensor` of shape `(batch_size, num_negatives)`, *optional*):
            `False` where a negative does not count. A mention without any costs nothing.

    Returns:
        `torch.Tensor` of shape `(batch_size,)`.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.losses import triplet_loss

    >>> triplet_loss(torch.tensor([0.9]), torch.tensor([[0.8, 0.1]]), margin=0.3)
    tensor([0.1000])
    ```
    """
    hinge = (margin - positive.unsqueeze(-1) + negatives).clamp(min=0)
    return _masked_mean(hinge, mask)


def in_batch_contrast(
    scores: torch.Tensor, same_entity: torch.Tensor, softmax_temperature: float, labels: torch.Tensor | None = None
) -> torch.Tensor:
    """
    InfoNCE of each mention over the gold entities of the batch. Another mention's gold entity which is the same
    entity is left out of the denominator: it is no negative.

    Args:
        scores (`torch.Tensor` of shape `(num_mentions, num_mentions)`):
            Score of each mention (row) with the gold entity of each mention (column).
        same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
            Where row and column have the same gold entity.
        softmax_temperature (`float`):
            Divides the scores.
        labels (`torch.LongTensor` of shape `(num_mentions,)`, *optional*):
            Column of the gold entity of each row. Defaults to the diagonal.

    Returns:
        `torch.Tensor` of shape `(num_mentions,)`.
    """
    labels = torch.arange(len(scores), device=scores.device) if labels is None else labels
    own = F.one_hot(labels, scores.shape[1]).bool()
    logits = (scores / softmax_temperature).masked_fill(same_entity & ~own, -torch.inf)
    return F.cross_entropy(logits.float(), labels, reduction="none")


# ---- Rewards: what the discriminator pays the generator for a negative ----


def negative_distance_reward(
    negatives: torch.Tensor, positive: torch.Tensor, margin: float, reward_temperature: float
) -> torch.Tensor:
    """`r = -d(m, e) = s(m, e) - 1`: the nearer, the better (KBGAN, Cai and Wang 2018)."""
    return negatives - 1


def hinge_reward(
    negatives: torch.Tensor, positive: torch.Tensor, margin: float, reward_temperature: float
) -> torch.Tensor:
    """`r = [margin + d(m, e+) - d(m, e)]_+`: the discriminator's own loss (ACE, Bose et al. 2018)."""
    return (margin - positive.unsqueeze(-1) + negatives).clamp(min=0)


def log_sigmoid_reward(
    negatives: torch.Tensor, positive: torch.Tensor, margin: float, reward_temperature: float
) -> torch.Tensor:
    """`r = -log sigmoid((s(m, e+) - s(m, e)) / tau_r)` (IRGAN, Wang et al. 2017; AR2, Zhang et al. 2022)."""
    return -F.logsigmoid((positive.unsqueeze(-1) - negatives) / reward_temperature)


REWARDS = {"neg_distance": negative_distance_reward, "hinge": hinge_reward, "logsigmoid": log_sigmoid_reward}


# ---- Generator ----


def policy_log_probs(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    `log p(e | m)` over the pool of each mention, `-inf` on what is masked. A mention whose whole pool is masked gets
    `-inf` everywhere, never NaN.
    """
    logits = logits.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return logits.log_softmax(dim=-1).masked_fill(~mask, -torch.inf)


def expected_reward(log_probs: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """The exact baseline `b(m) = sum_C p(e | m) r(e)`, of shape `(batch_size,)`, without gradient."""
    return (log_probs.detach().exp() * _finite(rewards, log_probs)).sum(dim=-1)


def reward_spread(rewards: torch.Tensor, mask: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    """Standard deviation of the reward over the pool of each mention, of shape `(batch_size,)`, at least `epsilon`."""
    mean = _masked_mean(rewards, mask).unsqueeze(-1)
    return _masked_mean((rewards - mean) ** 2, mask).sqrt().clamp(min=epsilon)


def leave_one_out_baseline(rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    For each sample the mean reward of the mention's other samples, of shape `(batch_size, num_samples)`. A sample
    without others is its own baseline: its advantage is zero, for nothing is known to compare it with.
    """
    others = mask.sum(dim=-1, keepdim=True) - 1
    total = rewards.masked_fill(~mask, 0).sum(dim=-1, keepdim=True)
    return torch.where(others > 0, (total - rewards) / others.clamp(min=1), rewards)


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


# ---- Helpers ----


def _masked_mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return values.mean(dim=-1) if values.shape[-1] else values.sum(dim=-1)
    return values.masked_fill(~mask, 0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def _finite(rewards: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    """Rewards with zeros where the probability is zero: `0 * inf` would be NaN."""
    return rewards.masked_fill(log_probs == -torch.inf, 0)
