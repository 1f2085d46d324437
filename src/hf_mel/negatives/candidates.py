"""Candidate pools of a batch, the negatives picked from them, and the random draws of the strategies."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch


class Selection(NamedTuple):
    """
    Negatives of a batch as columns of its [`Candidates`].

    Args:
        columns (`torch.LongTensor` of shape `(batch_size, num_negatives)`):
            Position of each negative in the pool of its mention.
        mask (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where there is no negative: the pool had too few.
        by_strategy (`torch.BoolTensor` of shape `(batch_size, num_negatives)`):
            `False` where the uniform share replaced the negative of the strategy.
        weights (`torch.FloatTensor` of shape `(batch_size, num_negatives)`, *optional*):
            Importance weights of a generator's samples: `sum(w_i f(e_i))` is an unbiased estimate of `E_p[f]`.
    """

    columns: torch.Tensor
    mask: torch.Tensor
    by_strategy: torch.Tensor
    weights: torch.Tensor | None = None


@dataclass
class Candidates:
    """
    Candidate pools of the mentions of a batch, with the scores that the strategy reads.

    Args:
        mentions (`np.ndarray` of shape `(batch_size,)`):
            Index of each mention in the training set.
        rows (`torch.LongTensor` of shape `(batch_size, pool_size)`):
            Entity rows of the candidates.
        mask (`torch.BoolTensor` of shape `(batch_size, pool_size)`):
            `False` on the gold entity, on entities with the same identity, on repetitions, and on dropped candidates.
        seed (`int`), epoch (`int`):
            Together with the mention they determine all draws.
        scores (`torch.Tensor` of shape `(batch_size, pool_size)`, *optional*):
            The discriminator's scores, where the strategy or a guard reads any.
        gold_scores (`torch.Tensor` of shape `(batch_size,)`, *optional*):
            Scores of the gold entities.
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

    @property
    def size(self) -> int:
        """Candidates in a pool."""
        return self.rows.shape[1]

    @property
    def masked_scores(self) -> torch.Tensor:
        """`scores`, `-inf` where the pool is masked."""
        return self.scores.masked_fill(~self.mask, -torch.inf)

    def drop(self, name: str, keeps: torch.Tensor) -> None:
        """Masks the candidates outside `keeps`; their share is logged as `dropped_by_{name}`."""
        self.dropped[name] = (self.mask & ~keeps).float().mean()
        self.mask = self.mask & keeps

    def pick(self, columns: torch.Tensor) -> Selection:
        """The [`Selection`] of these columns, of shape `(batch_size, num_negatives)`."""
        mask = self.mask.gather(1, columns)
        return Selection(columns, mask, torch.ones_like(mask))

    def entities(
        self, gold_rows: torch.Tensor, columns: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Gold entities and negatives, each once.

        Args:
            gold_rows (`torch.LongTensor` of shape `(batch_size,)`):
                Entity rows of the gold entities.
            columns (`torch.LongTensor` of shape `(batch_size, num_negatives)`, *optional*):
                The negatives. Defaults to the whole pool.

        Returns:
            `tuple`: entity rows of shape `(num_entities,)`, ascending; positions among them of shape
            `(batch_size, 1 + num_negatives)`, the gold entity first.
        """
        negatives = self.rows if columns is None else self.rows.gather(1, columns)
        return torch.cat([gold_rows.unsqueeze(1), negatives], dim=1).unique(return_inverse=True)

    def uniforms(self, stream: str, count: int) -> torch.Tensor:
        """Uniform numbers of shape `(batch_size, count)`; another `stream` gives others."""
        draws = row_uniforms(self.seed, self.epoch, self.mentions, stream, count)
        return torch.from_numpy(draws).to(self.rows.device)


# ---- Drawing: functions of uniform numbers ----


def row_uniforms(seed: int, epoch: int, rows: np.ndarray, stream: str, count: int) -> np.ndarray:
    """Uniform numbers in `[0, 1)` of shape `(len(rows), count)`; each row depends on (seed, epoch, row, stream) alone."""
    # The name of the stream enters as bytes: `hash()` of a string differs between processes.
    entropy = [seed, epoch, int.from_bytes(stream.encode(), "big")]
    draws = [np.random.default_rng([*entropy, int(row)]).random(count) for row in rows]
    return np.stack(draws) if draws else np.zeros((0, count))


def sample_columns(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Independent draws `(batch_size, num_samples)` from unnormalized `weights` `(batch_size, pool_size)`, one for each uniform."""
    # By inverting the cumulative distribution: columns of weight zero are never drawn unless all are zero.
    cumulative = weights.double().cumsum(dim=-1)
    points = uniforms.double() * cumulative[:, -1:]
    return torch.searchsorted(cumulative, points, right=True).clamp(max=weights.shape[-1] - 1)


def sample_without_replacement(log_probs: torch.Tensor, uniforms: torch.Tensor, count: int):
    """
    Different columns, drawn one after the other in proportion to their probabilities (Gumbel-top-k), and their importance
    weights `p / q`, where `q` is the probability that a column's perturbed logit exceeds the highest that was not drawn
    (Kool et al. 2019, [arXiv 1903.06059](https://huggingface.co/papers/1903.06059), section 4).

    `log_probs` and `uniforms` have shape `(batch_size, pool_size)`, the results `(batch_size, count)`. A column of
    probability zero, drawn because the others are used up, has weight zero.
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
    """Replaces each negative, with probability `share`, by a uniform draw from the pool (the mixture of ACE)."""
    count = selection.columns.shape[1]
    if share == 0 or count == 0:
        return selection
    replace, where = candidates.uniforms("mix", 2 * count).chunk(2, dim=-1)
    replaced = replace < share
    drawn = sample_columns(candidates.mask.to(where.dtype), where)
    mixed = candidates.pick(torch.where(replaced, drawn, selection.columns))
    # A sample stays with probability `1 - share`: dividing by it keeps the estimate unbiased.
    weights = None if selection.weights is None or share == 1 else selection.weights / (1 - share)
    return mixed._replace(by_strategy=selection.by_strategy & ~replaced, weights=weights)
