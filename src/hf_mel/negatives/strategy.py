"""What a negative strategy picks from, how it picks, and what it returns: the interface of all strategies."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch


Reads = Literal["nothing", "index", "fresh", "policy"]
"""What a strategy looks at: scores of the last index, scores of the current discriminator, or the generator's policy."""


@dataclass
class Candidates:
    """
    Pools of candidates of the mentions of a batch, with what a strategy asked to know about them.

    Args:
        mentions (`np.ndarray` of shape `(batch_size,)`):
            Index of each mention in the training set.
        rows (`torch.LongTensor` of shape `(batch_size, pool_size)`):
            Entity rows of the candidates.
        mask (`torch.BoolTensor` of shape `(batch_size, pool_size)`):
            `False` on the gold entity, on entities which are the same by identity, on repetitions, and on what a guard
            dropped.
        seed (`int`), epoch (`int`):
            With the mention they determine all draws.
        scores (`torch.Tensor` of shape `(batch_size, pool_size)`, *optional*):
            The discriminator's scores, where the strategy or a guard reads any.
        gold_scores (`torch.Tensor` of shape `(batch_size,)`, *optional*):
            Those of the gold entities.
        log_probs (`torch.Tensor` of shape `(batch_size, pool_size)`, *optional*):
            The generator's `log p(e | m)`, `-inf` on what is masked.
        dropped (`dict[str, torch.Tensor]`):
            Share of the candidates that each guard dropped, by its name.

    Example:

    ```python
    >>> import numpy as np, torch
    >>> from hf_mel import Candidates

    >>> candidates = Candidates(np.array([7]), torch.tensor([[3, 1]]), torch.tensor([[True, False]]))
    >>> candidates.entities(torch.tensor([5]), columns=torch.tensor([[0]]))
    (tensor([3, 5]), tensor([[1, 0]]))
    ```
    """

    mentions: np.ndarray
    rows: torch.Tensor
    mask: torch.Tensor
    seed: int = 0
    epoch: int = 0
    scores: torch.Tensor | None = None
    gold_scores: torch.Tensor | None = None
    log_probs: torch.Tensor | None = None
    dropped: dict[str, torch.Tensor] = field(default_factory=dict)

    def drop(self, guard: str, keeps: torch.Tensor) -> None:
        """Masks the candidates that a guard does not keep, and counts them."""
        self.dropped[guard] = (self.mask & ~keeps).float().mean()
        self.mask = self.mask & keeps

    @property
    def size(self) -> int:
        """Candidates in a pool."""
        return self.rows.shape[1]

    @property
    def masked_scores(self) -> torch.Tensor:
        """`scores`, `-inf` where the pool is masked."""
        return self.scores.masked_fill(~self.mask, -torch.inf)

    def entities(self, gold_rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Gold entities and negatives, each once, and where those of a mention are among them.

        Args:
            gold_rows (`torch.LongTensor` of shape `(batch_size,)`):
                Entity rows of the gold entities.
            columns (`torch.LongTensor` of shape `(batch_size, num_negatives)`):
                The negatives.

        Returns:
            `tuple`: entity rows of shape `(num_entities,)`, ascending; positions among them of shape
            `(batch_size, 1 + num_negatives)`, the gold entity first.
        """
        negatives = self.rows.gather(1, columns)
        return torch.cat([gold_rows.unsqueeze(1), negatives], dim=1).unique(return_inverse=True)

    def uniforms(self, stream: str, count: int) -> torch.Tensor:
        """Uniform numbers of shape `(batch_size, count)`; another `stream` gives others."""
        draws = row_uniforms(self.seed, self.epoch, self.mentions, stream, count)
        return torch.from_numpy(draws).to(self.rows.device)


class Selection(NamedTuple):
    """
    Negatives of a batch as columns of its [`Candidates`].

    Args:
        columns (`torch.LongTensor` of shape `(batch_size, num_negatives)`):
            Position of each negative in the pool of its mention.
        mask (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where there is no negative: the pool had too few.
        by_strategy (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where the uniform share replaced what the strategy picked.
        weights (`torch.FloatTensor` of shape `(batch_size, num_negatives)`, *optional*):
            Importance weights of a generator's samples: `sum(w_i f(e_i))` is an unbiased estimate of `E_p[f]`.
    """

    columns: torch.Tensor
    mask: torch.Tensor
    by_strategy: torch.Tensor
    weights: torch.Tensor | None = None


class NegativeStrategy:
    """
    Picks the negatives of a batch from the pools of its mentions. A subclass sets `reads` and overrides
    [`~NegativeStrategy.columns`]. It keeps no reference to a model, and its only random numbers are
    [`~Candidates.uniforms`], so that a draw depends on (seed, epoch, mention) alone.

    Args:
        num_negatives (`int`):
            Negatives of each mention.

    Example:

    ```python
    >>> import numpy as np, torch
    >>> from hf_mel.negatives import Candidates, NegativeStrategy

    >>> class Nearest(NegativeStrategy):
    ...     reads = "index"
    ...
    ...     def columns(self, candidates):
    ...         return candidates.masked_scores.topk(self.num_negatives).indices

    >>> rows = torch.tensor([[7, 8, 9]])
    >>> pool = Candidates(np.array([0]), rows, torch.ones(1, 3).bool(), scores=torch.tensor([[0.1, 0.9, 0.3]]))
    >>> Nearest(num_negatives=1).select(pool).columns
    tensor([[1]])
    ```
    """

    name: ClassVar[str | None] = None
    pool_shares: ClassVar[dict[str, float] | None] = None
    """Mixture of the pool, where the strategy is defined by it; `None` takes the one of the training arguments."""
    reads: Reads = "nothing"

    def __init__(self, num_negatives: int):
        self.num_negatives = num_negatives

    @property
    def is_live(self) -> bool:
        """Whether it needs the models of the current step; any other strategy is drawn by the data loader."""
        return self.reads in ("fresh", "policy")

    def start(self, builder: Any) -> None:
        """Called once before the first pool, in the main process."""

    def pool(self, builder: Any, mentions: np.ndarray, epoch: int) -> Candidates:
        """Pools from which [`~NegativeStrategy.select`] picks."""
        return builder.build(mentions, epoch)

    def select(self, candidates: Candidates) -> Selection:
        """Negatives of each mention of the batch."""
        return self.picked(candidates, self.columns(candidates))

    def columns(self, candidates: Candidates) -> torch.Tensor:
        """Picked columns of the pool, of shape `(batch_size, num_negatives)`. By default a uniform choice."""
        return choose_columns(candidates.mask, candidates.uniforms("choose", candidates.size), self.num_negatives)

    def updates(self, candidates: Candidates) -> np.ndarray | None:
        """What the strategy wants to remember of each mention of the batch, or nothing."""
        return None

    def remember(self, mentions: np.ndarray, values: np.ndarray) -> None:
        """Takes what [`~NegativeStrategy.updates`] returned for these mentions, in all processes."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Counterpart of [`~NegativeStrategy.state_dict`]."""

    @staticmethod
    def picked(candidates: Candidates, columns: torch.Tensor) -> Selection:
        """A [`Selection`] of columns that the strategy picked."""
        mask = candidates.mask.gather(1, columns)
        return Selection(columns, mask, torch.ones_like(mask))


# ---- Drawing: functions of uniform numbers ----


def row_uniforms(seed: int, epoch: int, rows: np.ndarray, stream: str, count: int) -> np.ndarray:
    """
    Uniform numbers in `[0, 1)` of shape `(len(rows), count)`: those of a row depend on (seed, epoch, row, stream)
    alone, not on the rows beside it.
    """
    # The name of the stream enters as bytes: `hash()` of a string differs between processes.
    entropy = [seed, epoch, int.from_bytes(stream.encode(), "big")]
    draws = [np.random.default_rng([*entropy, int(row)]).random(count) for row in rows]
    return np.stack(draws) if draws else np.zeros((0, count))


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


def mix_uniform(selection: Selection, candidates: Candidates, share: float) -> Selection:
    """
    Replaces a share of the negatives by uniform draws from the pool (ACE's mixture, which keeps an adversary from
    starving the discriminator of ordinary negatives).

    Args:
        share (`float`):
            Probability with which a negative is replaced.
    """
    count = selection.columns.shape[1]
    if share == 0 or count == 0:
        return selection
    replace, where = candidates.uniforms("mix", 2 * count).chunk(2, dim=-1)
    replaced = replace < share
    drawn = sample_columns(candidates.mask.to(where.dtype), where)
    columns = torch.where(replaced, drawn, selection.columns)
    # A sample stays with probability `1 - share`: what stays counts for what does not.
    weights = None if selection.weights is None or share == 1 else selection.weights / (1 - share)
    return Selection(columns, candidates.mask.gather(1, columns), selection.by_strategy & ~replaced, weights)
