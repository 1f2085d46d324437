"""The k best entities of every mention, exact, in bounded memory: for candidate pools and for linking."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .blocks import (
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
def top_candidates(
    mentions: Rows,
    entities: Rows,
    k: int,
    *,
    chunk_size: int = 8192,
    mention_chunk_size: int = 256,
    match: MatchFunction | None = None,
    added: "sparse.csr_array | None" = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """
    The `k` best-scored entities of each mention, best first; of equal scores the lower row comes first.

    Exact: no entity is left out by an approximation. With the default `match` the answer does not depend on the chunk
    sizes; with another one, only scores that its own rounding can exchange may change places. Memory: one block of
    scores and a few copies of it, beside the answer.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, dim)` or `dict[str, torch.Tensor]`):
            Encoded mentions. Half precision is compared in float32.
        entities (`torch.Tensor` of shape `(num_entities, dim)` or `dict[str, torch.Tensor]`):
            Encoded entities.
        k (`int`):
            Candidates for each mention. There are fewer when the knowledge base has fewer entities.
        chunk_size (`int`, *optional*, defaults to 8192):
            Entities in a block.
        mention_chunk_size (`int`, *optional*, defaults to 256):
            Mentions in a block.
        match (`Callable`, *optional*):
            `match(mentions_block, entities_block)` gives the scores `(m, e)` of all pairs. Defaults to the product of
            the two matrices.
        added (`scipy.sparse.csr_array` of shape `(num_mentions, num_entities)`, *optional*):
            Scores that are added to those of `match`, such as [`~hf_mel.names.added_scores`] returns.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar over the blocks of mentions.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`, both of shape `(num_mentions, min(k, num_entities))` on the device of the
        mentions: the scores, descending, and the entity rows (int64).

    Raises:
        ValueError: a NaN score (the mention's position is named), scores of a wrong shape, `k` below 1.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.evaluation import top_candidates

    >>> entities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 1.0]])
    >>> scores, rows = top_candidates(torch.tensor([[0.0, 1.0]]), entities, k=3)
    >>> scores, rows
    (tensor([[1.0000, 1.0000, 0.8000]]), tensor([[1, 3, 2]]))
    ```
    """
    check_sizes(k=k, chunk_size=chunk_size, mention_chunk_size=mention_chunk_size)
    match = dot_product if match is None else match
    num_mentions, num_entities = count_rows(mentions, "mentions"), count_rows(entities, "entities")
    if num_entities == 0:
        raise ValueError("there are no entities to choose candidates from")
    device = device_of(mentions)
    added = Added(added, num_mentions, num_entities)
    found = []
    for part in tqdm(list(slices(num_mentions, mention_chunk_size)), desc="Retrieving", disable=not progress):
        block = take_rows(mentions, part, device)
        best = None
        for chunk in slices(num_entities, chunk_size):
            best = _best_of(best, block, take_rows(entities, chunk, device), chunk.start, None, k, match, added, part)
        found.append(best)
    return _joined(found, min(k, num_entities), device)


@torch.no_grad()
def top_candidates_in_blocks(
    mentions: Rows,
    blocks: Iterable[tuple[int, Rows]],
    k: int,
    *,
    allowed: Tensor | None = None,
    mention_chunk_size: int = 256,
    match: MatchFunction | None = None,
    added: "sparse.csr_array | None" = None,
) -> tuple[Tensor, Tensor]:
    """
    As [`top_candidates`], for entities that come in blocks, such as those of a memory-mapped index: each block is looked
    at once, with all mentions, and need not stay in memory.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, dim)` or `dict[str, torch.Tensor]`):
            Encoded mentions.
        blocks (`Iterable[tuple[int, torch.Tensor | dict[str, torch.Tensor]]]`):
            The row of a block's first entity, and its encoded entities; first rows ascend. How the entities are cut into
            blocks does not change the answer.
        k (`int`):
            Candidates for each mention.
        allowed (`torch.BoolTensor` of shape `(num_entities,)`, *optional*):
            Which entities to choose from; by default all. The others are not scored.
        mention_chunk_size (`int`, *optional*, defaults to 256):
            Mentions in a block.
        match (`Callable`, *optional*), added (`scipy.sparse.csr_array`, *optional*):
            As in [`top_candidates`].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`, both of shape `(num_mentions, min(k, number of allowed entities))`: the
        scores, descending, and the entity rows (int64).

    Raises:
        ValueError: as in [`top_candidates`].

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.evaluation import top_candidates_in_blocks

    >>> entities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 1.0]])
    >>> allowed = torch.tensor([True, False, True, True])
    >>> top_candidates_in_blocks(torch.tensor([[0.0, 1.0]]), [(0, entities[:3]), (3, entities[3:])], 2, allowed=allowed)
    (tensor([[1.0000, 0.8000]]), tensor([[3, 2]]))
    ```
    """
    check_sizes(k=k, mention_chunk_size=mention_chunk_size)
    match = dot_product if match is None else match
    num_mentions = count_rows(mentions, "mentions")
    parts = list(slices(num_mentions, mention_chunk_size))
    added = [Added(added, num_mentions) for _ in parts]  # each holds the rows of its part
    device = device_of(mentions)
    best: list[tuple[Tensor, Tensor] | None] = [None] * len(parts)
    width = 0
    for first_row, entities in blocks:
        count = count_rows(entities, "entities")
        chosen = None
        if allowed is not None:
            chosen = allowed[first_row : first_row + count].nonzero().flatten()
            chosen = None if len(chosen) == count else chosen
        entities = take_rows(entities, slice(None) if chosen is None else chosen, device)
        width += count if chosen is None else len(chosen)
        if chosen is not None and not len(chosen):
            continue
        for number, part in enumerate(parts):
            block = take_rows(mentions, part, device)
            best[number] = _best_of(best[number], block, entities, first_row, chosen, k, match, added[number], part)
    return _joined([held for held in best if held is not None], min(k, width), device, len(parts) and parts[-1].stop)


def _best_of(
    best: tuple[Tensor, Tensor] | None,
    mentions: Rows,
    entities: Rows,
    first_row: int,
    chosen: Tensor | None,
    k: int,
    match: MatchFunction,
    added: Added,
    part: slice,
) -> tuple[Tensor, Tensor]:
    """The best `k` of what is held and of a block of entities, or of those that were chosen from it."""
    count = count_rows(entities, "entities")
    offsets = torch.arange(count) if chosen is None else chosen
    where = f"entity rows {first_row + int(offsets[0])} to {first_row + int(offsets[-1])}"
    scores = score_block(match, mentions, entities, part.start, where)
    scores = added.to_block(scores, part, first_row, chosen)
    return _merge(best, scores, first_row + offsets.to(scores.device), k)


def _joined(
    found: list[tuple[Tensor, Tensor]], width: int, device: torch.device, num_mentions: int = 0
) -> tuple[Tensor, Tensor]:
    if not found:
        shape = (num_mentions, width)
        return torch.empty(shape, device=device), torch.empty(shape, dtype=torch.long, device=device)
    return torch.cat([scores for scores, _ in found]), torch.cat([rows for _, rows in found])


def _merge(best: tuple[Tensor, Tensor] | None, scores: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """
    The best `k` of what is held and of a new block, whose columns are the entities `rows`. These are higher than all rows
    that are held.

    Sorting whole rows of a block is what makes the plain way slow. A bound below which nothing can be among the best k
    leaves only a little over k scores of each mention to sort.
    """
    held = 0 if best is None else best[0].shape[1]
    keep = scores >= _lower_bound(scores, k)[:, None]
    if held == k:
        # An equal score would come after the last one held, because its row is higher.
        keep &= scores > best[0][:, -1:]
    new_scores, new_rows = _left_aligned(scores, keep, rows)
    if best is not None:
        new_scores = torch.cat([best[0], new_scores], dim=1)
        new_rows = torch.cat([best[1], new_rows], dim=1)
    # A stable sort keeps rows ascending among equal scores, and the filling after scores of -inf.
    order = new_scores.argsort(dim=1, descending=True, stable=True)[:, : min(k, held + scores.shape[1])]
    return new_scores.gather(1, order), new_rows.gather(1, order)


def _lower_bound(scores: Tensor, k: int) -> Tensor:
    """
    For each row a value that at least `k` of its scores reach (-inf when there are not `k`), close to the k-th best.

    Columns are dealt into groups: the k-th best of the groups' maxima is reached by k scores, one in each group, and a
    row of maxima is far shorter than a row of scores.
    """
    num_entities = scores.shape[1]
    if num_entities <= k:
        return scores.new_full((len(scores),), -torch.inf)
    group_size = max(1, num_entities // (4 * k))
    num_groups = num_entities // group_size
    maxima = scores[:, : group_size * num_groups].unflatten(1, (group_size, num_groups)).amax(dim=1)
    return maxima.topk(k, dim=1, sorted=False).values.amin(dim=1)


def _left_aligned(scores: Tensor, keep: Tensor, entity_rows: Tensor) -> tuple[Tensor, Tensor]:
    """The kept scores of each row and their entity rows, moved to the left in their order and filled with -inf, -1."""
    mention, column = keep.nonzero(as_tuple=True)
    counts = torch.bincount(mention, minlength=len(keep))
    starts = counts.cumsum(0) - counts
    position = torch.arange(len(mention), device=scores.device) - starts[mention]
    width = int(counts.max()) if len(counts) else 0
    aligned = scores.new_full((len(scores), width), -torch.inf)
    rows = torch.full((len(scores), width), -1, dtype=torch.long, device=scores.device)
    aligned[mention, position] = scores[mention, column]
    rows[mention, position] = entity_rows[column]
    return aligned, rows
