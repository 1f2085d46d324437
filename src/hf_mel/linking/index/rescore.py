"""Rescores proposed rows with the stored vectors and sorts them; of equal scores the lower row comes first."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import Encodings
from ...evaluation import dot_product
from ...evaluation.blocks import MatchFunction, Rows, device_of, score_block, take_rows
from ...models.encodings import unflatten
from .lookup import EntityLookup


if TYPE_CHECKING:
    from scipy import sparse


# A whole tile of `dot_product`.
_AT_ONCE = 64
# Rows of encodings that are read at once for `match`: of 30 KB each they take a quarter of a gigabyte.
_STORED_AT_ONCE = 8192


@torch.no_grad()
def score_rows(index: EntityLookup, queries: Rows, rows: np.ndarray, match: MatchFunction | None = None) -> np.ndarray:
    """
    Scores of each query with rows of its own, by what is stored. Where the score is a dot product they are to the last bit
    those of an exact search; those of `match` may be a rounding off, and do not depend on the other queries.

    Args:
        index ([`EntityIndex`]):
            The index.
        queries (`torch.Tensor` or `dict[str, torch.Tensor]`):
            Vectors or encodings.
        rows (`np.ndarray` of shape `(num_queries, width)`):
            Rows of the index, or -1.
        match (`Callable`, *optional*):
            `MatchingModel.match`, needed where the score is no dot product.

    Returns:
        `np.ndarray` of the same shape, `float32`; `-inf` where the row is -1.
    """
    name = index.manifest.vector_name
    if name is None:
        return _matched(index, queries, rows, match)
    return score_vectors(index, queries if isinstance(queries, torch.Tensor) else queries[name], rows, name)


@torch.no_grad()
def score_vectors(index: EntityLookup, vectors: torch.Tensor, rows: np.ndarray, name: str) -> np.ndarray:
    """The same by the dot product of the stored tensor `name`, whether that is the score or not."""
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    for begin in range(0, len(rows), _AT_ONCE):
        block = slice(begin, begin + _AT_ONCE)
        # Each row is read once, however many queries found it.
        present = np.unique(rows[block][rows[block] >= 0])
        if not len(present):
            continue
        stored = index.store.take(present, [name])[name]
        products = dot_product(take_rows(vectors, block, torch.device("cpu")), stored).numpy()
        places = np.searchsorted(present, np.where(rows[block] < 0, present[0], rows[block]))
        found = np.take_along_axis(products, places, axis=1)
        scores[block] = np.where(rows[block] < 0, np.float32(-np.inf), found)
    return scores


def _matched(index: EntityLookup, queries: Encodings, rows: np.ndarray, match: MatchFunction) -> np.ndarray:
    """By `match`: each query with its rows in ascending order, so that its scores depend on no other query."""
    scores, device = np.full(rows.shape, -np.inf, dtype=np.float32), device_of(queries)
    at_once = max(1, _STORED_AT_ONCE // max(rows.shape[1], 1))
    for begin in range(0, len(rows), at_once):
        block = rows[begin : begin + at_once]
        present = np.unique(block[block >= 0])
        stored = unflatten(index.store.take(present, index.store.whole_names))
        for number, own in enumerate(block, start=begin):
            known = np.unique(own[own >= 0])
            if not len(known):
                continue
            entities = take_rows(stored, torch.from_numpy(np.searchsorted(present, known)), device)
            mention = take_rows(queries, slice(number, number + 1), device)
            found = score_block(match, mention, entities, number, "the rows proposed for it")[0].cpu().numpy()
            scores[number, own >= 0] = found[np.searchsorted(known, own[own >= 0])]
    return scores


def added_at(added: "sparse.csr_array | None", rows: np.ndarray) -> np.ndarray:
    """
    Scores that are added for queries and rows of their own.

    Args:
        added (`scipy.sparse.csr_array` of shape `(num_queries, num_rows)`, *optional*): What is added to the score of each pair.
        rows (`np.ndarray` of shape `(num_queries, width)`): Rows of the index, or -1.

    Returns:
        `np.ndarray` of the same shape, `float32`; 0 where nothing is added.
    """
    found = np.zeros(rows.shape, dtype=np.float32)
    if added is None or not added.nnz:
        return found
    queries = np.repeat(np.arange(added.shape[0]), np.diff(added.indptr))
    keys = queries * added.shape[1] + added.indices  # ascending, as the rows of a query are
    wanted = np.arange(len(rows))[:, None] * added.shape[1] + rows
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    known = (keys[places] == wanted) & (rows >= 0)
    found[known] = added.data[places[known]]
    return found


def with_added_rows(proposed: np.ndarray, added: "sparse.csr_array", allowed: np.ndarray) -> np.ndarray:
    """The proposed rows of each query and all allowed ones to whose score something is added, each once; -1 fills."""
    found = []
    for number, own in enumerate(proposed):
        named = added.indices[added.indptr[number] : added.indptr[number + 1]]
        found.append(np.union1d(own[own >= 0], named[allowed[named]]))
    width = max((len(each) for each in found), default=0)
    rows = np.full((len(proposed), max(width, proposed.shape[1])), -1, dtype=np.int64)
    for number, each in enumerate(found):
        rows[number, : len(each)] = each
    return rows


def best_rows(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` of each query: best first, of equal scores the lower row, the filling (-1) last."""
    order = by_score_and_row(scores, rows)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def by_score_and_row(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The order of [`best_rows`], as places along the last axis."""
    return np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores))
