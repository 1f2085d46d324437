"""What a backend proposes, scored with the stored vectors."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import Encoded, whole
from .backends import SearchBackend
from .scoring import best_rows, score_rows


if TYPE_CHECKING:
    from .entity_index import EntityIndex


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
        proposed = backend.search(vectors, _wanted(k), allowed)[1].cpu().numpy()
        return best_rows(score_rows(index, vectors, proposed), proposed, k)
    return scores.float().cpu().numpy(), rows.cpu().numpy()


def _wanted(k: int) -> int:
    """How many rows to ask for: those that an approximate score puts a little too low are among them."""
    return 2 * k + 16
