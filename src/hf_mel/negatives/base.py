"""The one interface of all negative strategies, and what a strategy may look at when it picks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch

from .pools import CandidatePool, PoolBuilder


ScoreSource = Literal["fresh", "index"]


class Selection(NamedTuple):
    """
    Negatives of a batch as columns of its [`CandidatePool`].

    Args:
        columns (`torch.LongTensor` of shape `(batch_size, num_negatives)`):
            Position of each negative in the pool of its mention.
        mask (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where there is no negative: the pool had too few.
        by_strategy (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where the uniform share replaced what the strategy picked.
        weights (`torch.FloatTensor` of shape `(batch_size, num_negatives)`, *optional*):
            Of a generator's samples: what makes the weighted sum of any `f` over them its expectation on average.
    """

    columns: torch.Tensor
    mask: torch.Tensor
    by_strategy: torch.Tensor
    weights: torch.Tensor | None = None

    def rows(self, pool: CandidatePool) -> torch.Tensor:
        """Entity rows of the negatives, of shape `(batch_size, num_negatives)`."""
        return pool.rows.gather(1, self.columns)


@dataclass
class SelectionContext:
    """
    What a strategy may look at. Everything but the pool is computed when asked for, once: a strategy pays for what it
    uses and for nothing else, and `encodings` counts the discriminator's part of the bill.

    Args:
        mentions (`np.ndarray` of shape `(batch_size,)`):
            Index of each mention in the training set.
        pool ([`CandidatePool`]):
            Candidates of each mention.
        uniforms (`Callable[[str, int], torch.Tensor]`):
            Uniform random numbers of shape `(batch_size, n)`, a function of (seed, epoch, mention, stream name) alone.
        compute_scores (`Callable[[str], tuple[torch.Tensor, torch.Tensor]]`):
            Given `"fresh"` (the discriminator of this step) or `"index"` (as of the last refresh): scores of the pool,
            `(batch_size, pool_size)`, and of the gold entities, `(batch_size,)`; no gradient.
        compute_log_probs (`Callable[[], torch.Tensor]`, *optional*):
            The generator's log probabilities over the pool, with gradient. Absent without a generator.
    """

    mentions: np.ndarray
    pool: CandidatePool
    uniforms: Callable[[str, int], torch.Tensor]
    compute_scores: Callable[[str], tuple[torch.Tensor, torch.Tensor]]
    compute_log_probs: Callable[[], torch.Tensor] | None = None
    encodings: int = 0
    _scores: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    _log_probs: torch.Tensor | None = None

    def pool_scores(self, source: ScoreSource) -> torch.Tensor:
        """Scores of the pool, `-inf` where it is masked."""
        return self._both(source)[0].masked_fill(~self.pool.mask, -torch.inf)

    def gold_scores(self, source: ScoreSource) -> torch.Tensor:
        """Scores of the gold entities, of shape `(batch_size,)`."""
        return self._both(source)[1]

    @property
    def log_probs(self) -> torch.Tensor:
        """The generator's `log p(e | m)`, `-inf` where the pool is masked."""
        if self._log_probs is None:
            if self.compute_log_probs is None:
                raise ValueError("this strategy needs a generator: pass `generator=` to the trainer")
            self._log_probs = self.compute_log_probs()
        return self._log_probs

    def _both(self, source: ScoreSource) -> tuple[torch.Tensor, torch.Tensor]:
        if source not in self._scores:
            self._scores[source] = self.compute_scores(source)
            if source == "fresh":
                self.encodings += self.pool.rows.numel()
        return self._scores[source]


class NegativeStrategy:
    """
    Picks the negatives of a batch from the pools of its mentions. A strategy is a file with one subclass; it keeps no
    reference to a model and draws from no generator of random numbers but the one the context gives it.

    Args:
        num_negatives (`int`):
            Negatives a mention gets.
    """

    name: ClassVar[str]
    pool_shares: ClassVar[dict[str, float] | None] = None
    """Mixture of the pool, where the strategy is defined by it; `None` takes the one of the training arguments."""
    uses_generator: ClassVar[bool] = False
    uses_index_scores: bool = False

    def __init__(self, num_negatives: int):
        self.num_negatives = num_negatives

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> CandidatePool:
        """Pools from which [`select`] will pick."""
        return builder.build(mentions, epoch)

    def select(self, context: SelectionContext) -> Selection:
        """Negatives of each mention of the batch."""
        return self.picked(context, self.columns(context))

    def columns(self, context: SelectionContext) -> torch.Tensor:
        """Columns of the pool which are picked: what a subclass defines."""
        return choose_columns(
            context.pool.mask, context.uniforms("choose", context.pool.mask.shape[1]), self.num_negatives
        )

    def updates(self, context: SelectionContext) -> tuple[np.ndarray, np.ndarray] | None:
        """What the strategy wants to remember of this batch, as (mentions, values), or nothing."""
        return None

    def remember(self, mentions: np.ndarray, values: np.ndarray) -> None:
        """Takes what [`updates`] of all processes returned."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Counterpart of [`state_dict`]."""

    @staticmethod
    def picked(context: SelectionContext, columns: torch.Tensor) -> Selection:
        """A [`Selection`] of what the strategy itself picked."""
        mask = context.pool.mask.gather(1, columns)
        return Selection(columns, mask, torch.ones_like(mask))


# ---- Drawing ----


def sample_columns(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """
    Independent draws with replacement, by inverting the cumulative distribution: REINFORCE is unbiased for them.

    Args:
        weights (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Not negative; need not sum to one. Columns of weight zero are never drawn unless all are zero.
        uniforms (`torch.Tensor` of shape `(batch_size, num_samples)`):
            Numbers in `[0, 1)`.

    Returns:
        `torch.LongTensor` of shape `(batch_size, num_samples)`.
    """
    cumulative = weights.double().cumsum(dim=-1)
    points = uniforms.double() * cumulative[:, -1:]
    return torch.searchsorted(cumulative, points, right=True).clamp(max=weights.shape[-1] - 1)


def sample_without_replacement(log_probs: torch.Tensor, uniforms: torch.Tensor, count: int):
    """
    `count` different columns, drawn one after the other in proportion to their probabilities, by the Gumbel-top-k trick;
    with weights for which the weighted sum of any `f` over the sample is on average its expectation: `p / q`, where `q` is
    the probability that a column's perturbed logit exceeds the highest that was not drawn (Kool et al. 2019,
    [arXiv 1903.06059](https://huggingface.co/papers/1903.06059), section 4).

    Args:
        log_probs (`torch.Tensor` of shape `(batch_size, pool_size)`):
            `log p`, `-inf` on what cannot be drawn.
        uniforms (`torch.Tensor` of shape `(batch_size, pool_size)`):
            Numbers in `[0, 1)`.

    Returns:
        `tuple`: columns and weights, of shape `(batch_size, count)`. A column of probability zero, drawn because the
        others are used up, has weight zero.
    """
    perturbed = log_probs.double() - torch.log(-torch.log(uniforms.double().clamp(min=1e-300)))
    columns = top_columns(perturbed, count)
    # Without a further column nothing was left out, and each was drawn for certain.
    threshold = perturbed.new_full((len(perturbed), 1), -torch.inf)
    if perturbed.shape[1] > count:
        threshold = perturbed.gather(1, top_columns(perturbed, count + 1)[:, -1:])
    chosen = log_probs.double().gather(1, columns)
    drawn = -torch.expm1(-torch.exp(chosen - threshold))
    weights = torch.where(chosen == -torch.inf, 0.0, chosen.exp() / drawn)
    return columns, weights.to(log_probs.dtype)


def choose_columns(mask: torch.Tensor, uniforms: torch.Tensor, count: int) -> torch.Tensor:
    """`count` different columns, uniformly among those of `mask`; masked ones come last, when the others are used up."""
    return top_columns(uniforms.masked_fill(~mask, -1.0), count)


def top_columns(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Columns of the highest scores, of shape `(batch_size, count)`; equal scores in the order of the pool."""
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, :count]
    if order.shape[1] < count:
        raise ValueError(f"{count} negatives were asked for, and the pool holds {order.shape[1]}: raise `pool_size`")
    return order


def mix_uniform(selection: Selection, pool: CandidatePool, share: float, uniforms: torch.Tensor) -> Selection:
    """
    Replaces a share of the negatives by uniform draws from the pool (ACE's mixture, which keeps an adversary from
    starving the discriminator of ordinary negatives).

    Args:
        share (`float`):
            Probability with which a negative is replaced.
        uniforms (`torch.Tensor` of shape `(batch_size, 2 * num_negatives)`):
            First halves decide whether, second halves which.
    """
    if share == 0 or selection.columns.shape[1] == 0:
        return selection
    replace, where = uniforms.chunk(2, dim=-1)
    replaced = replace < share
    drawn = sample_columns(pool.mask.to(where.dtype), where)
    columns = torch.where(replaced, drawn, selection.columns)
    by_strategy = selection.by_strategy & ~replaced
    # A sample stays with probability `1 - share`: what stays counts for what does not.
    weights = None if selection.weights is None or share == 1 else selection.weights / (1 - share)
    return Selection(columns, pool.mask.gather(1, columns), by_strategy, weights)
