"""The rank of every mention's gold entity among a whole knowledge base, exact, in bounded memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .blocks import (
    TILE,
    Added,
    MatchFunction,
    Rows,
    check_sizes,
    count_rows,
    device_of,
    dot_product,
    score_block,
    slices,
    take_rows,
)


if TYPE_CHECKING:
    from scipy import sparse


@torch.no_grad()
def rank_gold(
    mentions: Rows,
    entities: Rows,
    gold_rows: np.ndarray | Tensor | Sequence[int],
    *,
    chunk_size: int = 8192,
    mention_chunk_size: int = 256,
    match: MatchFunction | None = None,
    added: "sparse.csr_array | None" = None,
    tie_tolerance: float = 1e-6,
    progress: bool = False,
) -> np.ndarray:
    """
    Rank of the gold entity of each mention among all entities, from 1.

    A tie counts half: the rank is `1 + better + tied / 2`, the mean over all orders of the tied entities, so that a
    scorer which gives every entity the same score gets the middle rank wherever the gold stands. The gold is never
    tied with itself; another row with the same embedding is tied with it.

    Scores are floating-point sums, whose last bits may depend on the block they are computed in. Two scores therefore
    tie when they differ by no more than `tie_tolerance * max(1, |gold score|)`. Ranks do not depend on the two chunk
    sizes, except where a score lies within that rounding of the very edge of the tolerance. The default is made for
    cosines and for logits; raise it for scores in which large terms cancel, and set 0 for exactly computed ones.

    Memory: one block of `mention_chunk_size * chunk_size` scores and its two rows of encodings, whatever the number of
    mentions and entities. Entities are moved to the device of the mentions block by block.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, dim)` or `dict[str, torch.Tensor]`):
            Encoded mentions. Half precision is compared in float32.
        entities (`torch.Tensor` of shape `(num_entities, dim)` or `dict[str, torch.Tensor]`):
            Encoded entities of the whole knowledge base.
        gold_rows (array of `int` of shape `(num_mentions,)`):
            Row of each mention's gold entity. Mentions whose gold is NIL have no rank: leave them out, and count them.
        chunk_size (`int`, *optional*, defaults to 8192):
            Entities in a block.
        mention_chunk_size (`int`, *optional*, defaults to 256):
            Mentions in a block.
        match (`Callable`, *optional*):
            `match(mentions_block, entities_block)` gives the scores `(m, e)` of all pairs. Defaults to the product of
            the two matrices. A model's own `match` goes here, with encodings as dicts.
        added (`scipy.sparse.csr_array` of shape `(num_mentions, num_entities)`, *optional*):
            Scores that are added to those of `match`, such as [`~hf_mel.names.added_scores`] returns.
        tie_tolerance (`float`, *optional*, defaults to 1e-6):
            Difference up to which scores tie, see above.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar over the blocks of mentions.

    Returns:
        `np.ndarray` of shape `(num_mentions,)`, float64: ranks from 1 to `num_entities`, in steps of one half.

    Raises:
        ValueError: a gold row outside the knowledge base, a NaN score (the mention's position is named), scores of a
            wrong shape.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.evaluation import rank_gold

    >>> entities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> rank_gold(torch.tensor([[0.9, 0.1], [0.1, 0.9]]), entities, [0, 2])
    array([1. , 1.5])
    ```
    """
    check_sizes(chunk_size=chunk_size, mention_chunk_size=mention_chunk_size)
    match = dot_product if match is None else match
    num_mentions, num_entities = count_rows(mentions, "mentions"), count_rows(entities, "entities")
    added = Added(added, num_mentions, num_entities)
    gold = check_gold_rows(gold_rows, num_mentions, num_entities).to(device_of(mentions))
    ranks = np.empty(num_mentions, dtype=np.float64)
    for part in tqdm(list(slices(num_mentions, mention_chunk_size)), desc="Ranking", disable=not progress):
        block = take_rows(mentions, part, gold.device)
        own = _gold_scores(match, block, entities, gold[part], part.start)
        low, high = tie_bounds(added.to_pairs(own, part.start, gold[part]), tie_tolerance)
        # Strictly better than the tie, and at least in it: the mean rank needs no more than these two counts.
        better = torch.zeros_like(gold[part])
        at_least = torch.zeros_like(gold[part])
        for chunk in slices(num_entities, chunk_size):
            chunk_rows = take_rows(entities, chunk, gold.device)
            where = f"entity rows {chunk.start} to {chunk.stop - 1}"
            scores = score_block(match, block, chunk_rows, part.start, where)
            scores = added.to_block(scores, part, chunk.start)
            better += (scores > high).sum(dim=1, dtype=torch.int32)
            at_least += (scores >= low).sum(dim=1, dtype=torch.int32)
            # The gold's own score is taken out by its position: it is neither better than itself nor tied.
            here = ((gold[part] >= chunk.start) & (gold[part] < chunk.stop)).nonzero().squeeze(1)
            own = scores[here, gold[part][here] - chunk.start, None]
            better[here] -= (own > high[here]).long().squeeze(1)
            at_least[here] -= (own >= low[here]).long().squeeze(1)
        ranks[part] = (1 + (better + at_least).double() / 2).cpu().numpy()
    return ranks


def tie_bounds(gold_scores: Tensor, tie_tolerance: float) -> tuple[Tensor, Tensor]:
    """The lowest and highest score that tie with each gold score, as columns `(num_mentions, 1)`."""
    if not tie_tolerance >= 0:
        raise ValueError(f"tie_tolerance must be 0 or more, got {tie_tolerance}")
    margin = tie_tolerance * gold_scores.abs().clamp(min=1)
    # An infinite score ties with its equals only; inf - inf would be NaN, with which nothing compares.
    margin = torch.where(torch.isfinite(gold_scores), margin, 0)
    return (gold_scores - margin)[:, None], (gold_scores + margin)[:, None]


def _gold_scores(match: MatchFunction, block: Rows, entities: Rows, gold: Tensor, first_mention: int) -> Tensor:
    """Scores of the mentions against their own gold: the diagonals of small blocks, made by the same `match`."""
    diagonals = []
    for part in slices(len(gold), TILE):
        gold_entities = take_rows(entities, gold[part], gold.device)
        few = take_rows(block, part, gold.device)
        where = f"the gold entities of mentions {first_mention + part.start} to {first_mention + part.stop - 1}"
        diagonals.append(score_block(match, few, gold_entities, first_mention + part.start, where).diagonal())
    return torch.cat(diagonals)


def check_gold_rows(gold_rows: np.ndarray | Tensor | Sequence[int], num_mentions: int, num_entities: int) -> Tensor:
    """`gold_rows` as an int64 tensor; a ValueError names the first mention whose gold is not in the knowledge base."""
    gold = torch.as_tensor(gold_rows)
    if gold.numel() == 0:
        gold = gold.long()
    if gold.is_floating_point() or gold.dtype == torch.bool:
        raise ValueError(f"gold_rows must be integers, got {gold.dtype}")
    if tuple(gold.shape) != (num_mentions,):
        raise ValueError(
            f"gold_rows must have one row for each of the {num_mentions} mentions, got {tuple(gold.shape)}"
        )
    outside = ((gold < 0) | (gold >= num_entities)).nonzero().squeeze(1)
    if len(outside):
        first = int(outside[0])
        raise ValueError(
            f"{len(outside)} gold rows lie outside the {num_entities} entities, the first at mention {first}: "
            f"{int(gold[first])}. Mentions whose gold is NIL have no rank: leave them out of the ranking and count them."
        )
    return gold.long()
