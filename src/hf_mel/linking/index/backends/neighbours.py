"""Base class of backends on a nearest-neighbour library, which ensures that no row, tie or restriction is lost."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch

from ....encoding import Encodings
from ....evaluation import top_candidates
from ..lookup import EntityLookup
from ..rescore import best_rows, score_vectors
from .base import SearchBackend


FULL_SCAN_ROWS = 10_000
"""A restriction to at most so many rows is scanned: an approximate search among few of many rows finds little."""
# Fetched beside the k, so that a tie or a rounding at the k-th place seldom needs a second search.
SPARE = 16
GROWTH = 4
# Of float32: a dot product of n numbers is off by at most n times this, relative to the lengths of the vectors.
UNIT_ROUNDOFF = 2.0**-24
BLOCK_ROWS = 8192


class NeighbourBackend(SearchBackend):
    """
    A backend whose rows come from a library.

    What is guaranteed: with `complete` the answer is that of an exact search by the stored vectors, scores and order of ties
    included, since as many rows are fetched as it takes to leave the k-th place behind, and these are scored by them.
    Otherwise rows may be missed, but a query gets as many rows as there are allowed ones, up to `k`, and under a
    restriction to at most [`FULL_SCAN_ROWS`] rows the answer is exact.
    """

    complete: bool
    """`True` if the library misses none of the nearest vectors."""
    _largest_norm = 1.0

    def __init__(self, index: EntityLookup, num_proposals: int | None = None):
        super().__init__(index, num_proposals)
        self._vector = self._proposal_name()

    @property
    def exact(self) -> bool:
        return self.complete and self._vector == self.index.manifest.vector_name

    @abstractmethod
    def refresh(self) -> None:
        """Brings the library up to date with the index, if this has changed."""

    @abstractmethod
    def _nearest(self, queries: np.ndarray, k: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Scores and rows that the library finds, best first, both `(num_queries, k)`; -1 where there are fewer. Rows
        outside `mask` are taken out by the caller.
        """

    @torch.no_grad()
    def search(
        self, queries: torch.Tensor | Encodings, k: int, allowed: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.refresh()
        vectors = queries if isinstance(queries, torch.Tensor) else queries[self._vector]
        vectors = vectors.detach().float().cpu().contiguous()
        if vectors.isnan().any():
            row = int(vectors.isnan().any(dim=1).nonzero()[0])
            raise ValueError(f"query {row} holds a NaN, which no row is near to")
        mask = self.index.alive if allowed is None else self.index.alive & allowed
        available = int(mask.sum())
        k = min(k, available)
        if not len(vectors) or not k:
            return torch.empty(len(vectors), k), torch.empty(len(vectors), k, dtype=torch.long)
        if available <= FULL_SCAN_ROWS and available < int(self.index.alive.sum()):
            return self._scan(vectors, k, mask)
        scores = torch.empty(len(vectors), k)
        rows = torch.empty(len(vectors), k, dtype=torch.long)
        pending, fetch = np.arange(len(vectors)), k + SPARE if self.complete else k
        while len(pending):
            found = _allowed_first(
                *self._nearest(vectors[pending].numpy(), min(fetch, self.index.num_rows), mask), mask
            )
            settled = self._settled(vectors[pending], *found, k, available)
            scores[pending[settled]], rows[pending[settled]] = self._best(
                vectors[pending[settled]], found[0][settled], found[1][settled], k
            )
            pending = pending[~settled]
            if fetch >= self.index.num_rows or (self._filters_itself and not self.complete):
                break
            fetch *= GROWTH
        if len(pending):  # the library has looked where it looks, and found fewer than there are
            scores[pending], rows[pending] = self._scan(vectors[pending], k, mask)
        return scores, rows

    # Whether `_nearest` keeps to the mask: then more rows than asked for are of no use to a restriction.
    _filters_itself = False

    def _settled(
        self, vectors: torch.Tensor, scores: np.ndarray, rows: np.ndarray, k: int, available: int
    ) -> np.ndarray:
        """Returns `True` if each query has all the rows it needs."""
        found = (rows >= 0).sum(axis=1)
        if not self.complete:
            return found >= k
        # The last score found is that of the worst row seen: whatever was not seen is no better, but for rounding.
        last = scores[np.arange(len(rows)), np.maximum(found - 1, 0)]
        # Both the library and this package round, each at the k-th row and at the first one not seen.
        slack = 4 * UNIT_ROUNDOFF * vectors.shape[1] * self._largest_norm * vectors.norm(dim=1).numpy()
        kth = np.where(found >= k, scores[:, min(k, scores.shape[1]) - 1], -np.inf)
        clear = kth > last + slack
        return clear | (found >= available)

    def _best(
        self, vectors: torch.Tensor, scores: np.ndarray, rows: np.ndarray, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The first `k`; of a complete library by the scores of the stored vectors, the lower row first."""
        if self.complete:
            scores, rows = best_rows(score_vectors(self.index, vectors, rows, self._vector), rows, k)
        return torch.from_numpy(scores[:, :k].copy()), torch.from_numpy(rows[:, :k].copy())

    def _scan(self, vectors: torch.Tensor, k: int, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The exact answer among the rows of a mask."""
        if mask.sum() > FULL_SCAN_ROWS:
            from .exact import ExactBackend

            return ExactBackend(self.index, vector=self._vector).search(vectors, k, mask)
        rows = np.flatnonzero(mask)
        scores, places = top_candidates(vectors, stored_vectors(self.index, rows), k)
        return scores, torch.from_numpy(rows)[places]


def rows_fingerprint(index: EntityLookup, rows: int) -> str | None:
    """
    Of the vectors of the first rows. What a library holds of them is right as long as this is the same: rows are only
    added, until the index is compacted. `None`: no change to the index ended after so many rows.
    """
    digest, seen = hashlib.sha256(), 0
    digest.update(str(index.manifest.proposal_name).encode())
    for shard in index.manifest.shards:
        if seen >= rows:
            break
        digest.update(shard.vector_sha256.encode())
        seen += shard.rows
    return digest.hexdigest() if seen == rows else None


def stored_vectors(index: EntityLookup, rows: np.ndarray) -> torch.Tensor:
    """The vectors of some rows, `float32`."""
    name = index.manifest.proposal_name
    return index.store.take(rows, [name])[name]


def vector_blocks(index: EntityLookup, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """The vectors from a row on, `(first row, float32 (rows, dim))`; no block reaches over the end of a shard."""
    name, end = index.manifest.proposal_name, 0
    for shard in index.manifest.shards:
        begin, end = end, end + shard.rows
        for start in range(max(begin, first), end, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, end)
            yield start, index.store.range(start, stop, [name])[name].numpy()


def _allowed_first(scores: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the mask moved to the left in their order, and the filler after them."""
    keep = (rows >= 0) & (rows < len(mask)) & mask[np.clip(rows, 0, len(mask) - 1)]
    rows, scores = np.where(keep, rows, -1), np.where(keep, scores, np.float32(-np.inf))
    order = np.argsort(~keep, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
