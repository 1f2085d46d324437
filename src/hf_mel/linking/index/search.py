"""What a backend proposes, scored with what is stored."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import Encoded, whole
from ...evaluation.blocks import MatchFunction
from .backends import SearchBackend
from .scoring import best_rows, score_rows


if TYPE_CHECKING:
    from .entity_index import EntityIndex


@torch.no_grad()
def search_index(
    index: "EntityIndex",
    backend: SearchBackend,
    queries: Encoded | torch.Tensor,
    k: int,
    allowed: np.ndarray | None,
    match: MatchFunction | None = None,
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
    if index.manifest.vector_name is None and not backend.exact:
        choice = int((index.alive if allowed is None else index.alive & allowed).sum())
        if match is None or isinstance(queries, torch.Tensor) or backend.proposals(k) >= choice:
            # Where all would be proposed, it scores them faster, in blocks; of what it lacks it says that it is needed.
            backend = index._backend("exact", match)
    if backend.exact:
        scores, rows = backend.search(queries, k, allowed)
        return scores.float().cpu().numpy(), rows.cpu().numpy()
    vectors = queries if isinstance(queries, torch.Tensor) else queries[index.manifest.proposal_name].float()
    proposed = backend.search(vectors.cpu(), backend.proposals(k), allowed)[1].cpu().numpy()
    return best_rows(score_rows(index, queries, proposed, match), proposed, k)
