"""What a backend proposes, scored with the stored vectors."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import Encoded, whole
from ...evaluation import dot_product
from .backends import SearchBackend


if TYPE_CHECKING:
    from .entity_index import EntityIndex

# A whole tile of `dot_product`.
_AT_ONCE = 64


@torch.no_grad()
def search_index(
    index: "EntityIndex", backend: SearchBackend, queries: Encoded | torch.Tensor, k: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Does what [`EntityIndex.search`] says."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if allowed is not None and (allowed.shape != (index.num_rows,) or allowed.dtype != np.bool_):
        raise ValueError(
            f"`allowed` must be a bool for each of the {index.num_rows:,} stored rows, got {allowed.dtype} of shape "
            f"{allowed.shape}"
        )
    queries = queries.float() if isinstance(queries, torch.Tensor) else whole(queries)
    if backend.exact:
        scores, rows = backend.search(queries, k, allowed)
    else:
        vectors = queries if isinstance(queries, torch.Tensor) else queries[index.manifest.vector_name].float()
        vectors = vectors.cpu()
        _, proposed = backend.search(vectors, _wanted(k), allowed)
        scores, rows = _rescored(index, vectors, proposed.cpu(), k)
    return scores.float().cpu().numpy(), rows.cpu().numpy()


def _wanted(k: int) -> int:
    """How many rows to ask for: those that an approximate score puts a little too low are among them."""
    return 2 * k + 16


def _rescored(
    index: "EntityIndex", vectors: torch.Tensor, proposed: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best `k` of the proposed rows by the product with the stored vectors."""
    name = index.manifest.vector_name
    width = min(k, proposed.shape[1])
    all_scores = torch.full((len(vectors), width), -torch.inf)
    all_rows = torch.full((len(vectors), width), -1, dtype=torch.long)
    for begin in range(0, len(vectors), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        rows = proposed[part]
        known, place = rows.clamp(min=0).unique(return_inverse=True)
        stored = index.store.take(known.numpy(), [name])[name]
        # All queries with all rows of the block: the same product, to the last bit, as that of the exact backend.
        scores = dot_product(vectors[part], stored).gather(1, place)
        scores = torch.where(rows >= 0, scores, -torch.inf)
        order = _by_score_and_row(scores, rows)[:, :width]
        all_scores[part], all_rows[part] = scores.gather(1, order), rows.gather(1, order)
    return all_scores, all_rows


def _by_score_and_row(scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Best first, of equal scores the lower row, the filling last."""
    last = torch.iinfo(torch.long).max
    by_row = torch.where(rows < 0, last, rows).argsort(dim=1, stable=True)
    by_score = scores.gather(1, by_row).argsort(dim=1, descending=True, stable=True)
    return by_row.gather(1, by_score)
