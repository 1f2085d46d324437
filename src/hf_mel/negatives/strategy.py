"""The interface of all negative strategies."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch

from .drawing import choose_columns, sample_columns
from .pools import Candidates, PoolBuilder


Reads = Literal["nothing", "index", "fresh", "policy"]
"""What a strategy looks at: scores of the last index, scores of the current discriminator, or the generator's policy."""


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

    def start(self, builder: PoolBuilder) -> None:
        """Called once before the first pool, in the main process."""

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> Candidates:
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
