"""Blocks of scores, in which ranking and retrieval go through a knowledge base that is never scored as a whole."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor


if TYPE_CHECKING:
    from scipy import sparse


Rows = Tensor | Mapping[str, "Rows"]
"""Encoded mentions or entities: one tensor, or a dict of tensors and such dicts, whose leading dimension is the row."""

MatchFunction = Callable[[Rows, Rows], Tensor]

# Kernels for the edge of a matrix sum in another order than those for its inside, so a product could depend in its
# last bit on where a row stands in its block. Whole tiles keep every row in the inside.
TILE = 64


def dot_product(mentions: Tensor, entities: Tensor) -> Tensor:
    """
    Scores of all pairs, `mentions @ entities.T`: the default `match` of the functions of this room.

    Both sides are padded to whole tiles before the product, so that on the usual kernels the score of a pair is the
    same to the last bit in whatever block it is computed, and copies of an entity score alike.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, dim)`):
            Mention embeddings.
        entities (`torch.Tensor` of shape `(num_entities, dim)`):
            Entity embeddings.

    Returns:
        `torch.Tensor` of shape `(num_mentions, num_entities)`.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.evaluation import dot_product

    >>> dot_product(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    tensor([[0.5000, 0.0000]])
    ```
    """
    return (_whole_tiles(mentions) @ _whole_tiles(entities).T)[: len(mentions), : len(entities)]


def _whole_tiles(rows: Tensor) -> Tensor:
    missing = -len(rows) % TILE
    return torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows


def count_rows(rows: Rows, name: str) -> int:
    """The number of rows; a ValueError if there is no tensor, or tensors of a dict disagree."""
    if not isinstance(rows, Mapping):
        if not isinstance(rows, Tensor) or rows.ndim == 0:
            raise ValueError(f"{name} must be a tensor with a row for each of them, or a dict of such tensors")
        return len(rows)
    lengths = {key: count_rows(value, name) for key, value in rows.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the tensors of {name} must all have the same number of rows, got {lengths}")
    return next(iter(lengths.values()))


def device_of(rows: Rows) -> torch.device:
    return device_of(next(iter(rows.values()))) if isinstance(rows, Mapping) else rows.device


def take_rows(rows: Rows, index: slice | Tensor, device: torch.device) -> Rows:
    """Some rows, on `device`; half-precision ones as float32, in which alone scores are compared."""
    if isinstance(rows, Mapping):
        return {key: take_rows(value, index, device) for key, value in rows.items()}
    taken = rows[index.to(rows.device) if isinstance(index, Tensor) else index].to(device)
    return taken.float() if taken.dtype in (torch.float16, torch.bfloat16) else taken


def slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def score_block(match: MatchFunction, mentions: Rows, entities: Rows, first_mention: int, where: str) -> Tensor:
    """
    `match` of two blocks, checked: the shape must be right and no score NaN.

    `where` says in an error which entities these are; `first_mention` is the position of the block's first mention.
    """
    # Under a caller's autocast the product would be made in half precision, which cannot tell neighbours apart.
    with torch.autocast(device_of(mentions).type, enabled=False):
        scores = match(mentions, entities)
    expected = (count_rows(mentions, "mentions"), count_rows(entities, "entities"))
    if tuple(scores.shape) != expected:
        raise ValueError(
            f"`match` must return a score for each pair, shape {expected}, but gave {tuple(scores.shape)}"
        )
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    # `amax` lets NaN through, and reads the block once without writing a mask of its size.
    if scores.numel() and torch.isnan(scores.amax()):
        row = int(torch.isnan(scores).any(dim=1).nonzero()[0])
        raise ValueError(
            f"mention {first_mention + row} has a NaN score against {where}: a NaN cannot be ranked. "
            "Look for NaN in the embeddings of this mention and of these entities."
        )
    return scores


class Added:
    """
    Sparse scores that are added to those of `match`, in the blocks of a ranking or a search.

    Args:
        matrix (`scipy.sparse.csr_array` of shape `(num_mentions, num_entities)`, *optional*):
            What is added to the score of each pair, such as [`~hf_mel.names.added_scores`] returns. `None`: nothing.
        num_mentions (`int`), num_entities (`int`, *optional*):
            Numbers of rows that its shape is checked against; of entities that come in blocks the number is not known.

    Raises:
        `ValueError`: a matrix of another shape.
    """

    def __init__(self, matrix: "sparse.csr_array | None", num_mentions: int, num_entities: int | None = None):
        if matrix is not None:
            expected = num_mentions, matrix.shape[1] if num_entities is None else num_entities
            if matrix.shape != expected:
                raise ValueError(f"`added` must have a score for each pair, shape {expected}, but is {matrix.shape}")
        self.matrix = matrix
        self._part: tuple[slice, sparse.csc_array] | None = None

    def to_block(self, scores: Tensor, mentions: slice, first_entity: int, chosen: Tensor | None = None) -> Tensor:
        """
        Adds to a block of scores.

        Args:
            scores (`torch.Tensor` of shape `(m, e)`):
                Scores of the mentions with the entities from row `first_entity` on, or with those of them that are chosen.
            chosen (`torch.LongTensor` of shape `(e,)`, *optional*):
                Their offsets from `first_entity`, ascending.
        """
        if self.matrix is None:
            return scores
        if self._part is None or self._part[0] != mentions:  # blocks of entities follow each other
            self._part = mentions, self.matrix[mentions].tocsc()
        stop = first_entity + (scores.shape[1] if chosen is None else int(chosen[-1]) + 1)
        block = self._part[1][:, first_entity:stop].tocoo()
        rows, columns, data = block.row, block.col, block.data
        if chosen is not None:
            places = np.searchsorted(chosen.cpu().numpy(), columns)
            kept = chosen.cpu().numpy()[places] == columns
            rows, columns, data = rows[kept], places[kept], data[kept]
        where = tuple(torch.from_numpy(each.astype(np.int64)).to(scores.device) for each in (rows, columns))
        return scores.index_put(where, torch.from_numpy(data).to(scores), accumulate=True)

    def to_pairs(self, scores: Tensor, first_mention: int, rows: Tensor) -> Tensor:
        """Adds to the score of each mention, from `first_mention` on, with the entity of its own in `rows`; both `(m,)`."""
        if self.matrix is None or not len(scores):
            return scores
        part = self.matrix[first_mention : first_mention + len(scores)].tocoo()
        own = part.col == rows.cpu().numpy()[part.row]
        added = np.zeros(len(scores), dtype=part.dtype)
        added[part.row[own]] = part.data[own]
        return scores + torch.from_numpy(added).to(scores)


def check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
