"""Rows that were proposed, scored by what is stored, in the order that every answer of an index has."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import whole
from ...evaluation import dot_product
from ...evaluation.blocks import MatchFunction, Rows, take_rows


if TYPE_CHECKING:
    from .entity_index import EntityIndex

# A whole tile of `dot_product`.
_AT_ONCE = 64


@torch.no_grad()
def score_rows(
    index: "EntityIndex", queries: Rows, rows: np.ndarray, match: MatchFunction | None = None, part: str = ""
) -> np.ndarray:
    """
    Scores of each query with rows of its own, by what is stored: to the last bit those of an exact search.

    Args:
        index ([`EntityIndex`]):
            The index.
        queries (`torch.Tensor` or `dict[str, torch.Tensor]`):
            Vectors or encodings.
        rows (`np.ndarray` of shape `(num_queries, width)`):
            Rows of the index, or -1.
        match (`Callable`, *optional*):
            `MatchingModel.match`, needed where the score is no dot product.
        part (`str`, *optional*, defaults to the whole):
            Of an index whose score is a dot product: `"text."` or `"image."`, to score this modality alone.

    Returns:
        `np.ndarray` of the same shape, `float32`; `-inf` where the row is -1.
    """
    name = index.manifest.vector_name
    if name is not None:
        name, match = part + name, dot_product
        queries = queries if isinstance(queries, torch.Tensor) else queries[name]
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    for begin in range(0, len(rows), _AT_ONCE):
        block = slice(begin, begin + _AT_ONCE)
        # Each row is read once, however many queries found it.
        present = np.unique(rows[block][rows[block] >= 0])
        if not len(present):
            continue
        stored = whole(index.encodings(present)) if name is None else index.store.take(present, [name])[name]
        products = match(take_rows(queries, block, torch.device("cpu")), stored).numpy()
        places = np.searchsorted(present, np.where(rows[block] < 0, present[0], rows[block]))
        found = np.take_along_axis(products, places, axis=1)
        scores[block] = np.where(rows[block] < 0, np.float32(-np.inf), found)
    return scores


def best_rows(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` of each query: best first, of equal scores the lower row, the filling (-1) last."""
    order = by_score_and_row(scores, rows)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def by_score_and_row(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The order of [`best_rows`], as places along the last axis."""
    return np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores))
