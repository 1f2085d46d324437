"""Searches an index: a backend proposes rows, which are scored with the stored vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...encoding import Encodings, whole
from .backends import SearchBackend, get_backend
from .lookup import EntityLookup
from .manifest import Manifest
from .rescore import best_rows, score_rows


class SearchableIndex(EntityLookup):
    """The part of an [`EntityIndex`] that searches. It does not build or change the index."""

    def __init__(self, folder: Path, manifest: Manifest):
        super().__init__(folder, manifest)
        self._backends: dict[str, SearchBackend] = {}

    @torch.no_grad()
    def search(
        self,
        queries: Encodings | torch.Tensor,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        match: Callable[[Encodings, Encodings], torch.Tensor] | None = None,
        backend: str | SearchBackend | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        The best entities of each query.

        Args:
            queries (`torch.Tensor` of shape `(num_queries, dim)`, or `dict[str, torch.Tensor]`):
                Vectors, or what `model.encode` or [`~hf_mel.encoding.encode_modalities`] gave for mentions.
            k (`int`):
                Entities for each query.
            allowed (`np.ndarray` of shape `(num_rows,)`, bool, *optional*):
                Rows to choose from, such as [`~EntityIndex.rows_of`] gives.
            match (`Callable`, *optional*):
                `model.match`, for a model whose score is no dot product; for others it is not needed and not used.
            backend (`str` or [`SearchBackend`], *optional*, defaults to `"exact"`):
                Who searches. What another backend than the exact one proposes is scored with what is stored, so that
                scores do not depend on it. How many rows it proposes is its option `num_proposals`, see [`get_backend`].

        Returns:
            `tuple[np.ndarray, np.ndarray]`, both of shape `(num_queries, k')`: scores (`float32`), best first, and rows
            (`int64`). Equal scores: the lower row first. `k'` is `k`, or the number of rows to choose from if that is
            smaller; where a backend found fewer, the rest is `-inf` and -1.

        Raises:
            `ValueError`: `k` below 1, a mask of another shape, a NaN in a query, or a model that needs `match`.
        """
        if backend is None or isinstance(backend, str):
            backend = self._backend(backend or "exact", match)
        elif backend.exact and self.manifest.vector_name is None and match is not None:
            backend = self._backend("exact", match)
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if allowed is not None and (allowed.shape != (self.num_rows,) or allowed.dtype != np.bool_):
            raise ValueError(
                f"`allowed` must be a bool for each of the {self.num_rows:,} stored rows, got {allowed.dtype} of shape "
                f"{allowed.shape}"
            )
        queries = queries.float() if isinstance(queries, torch.Tensor) else whole(queries)
        if self.manifest.vector_name is None and not backend.exact:
            choice = int((self.alive if allowed is None else self.alive & allowed).sum())
            if match is None or isinstance(queries, torch.Tensor) or backend.proposals(k) >= choice:
                # Where all would be proposed, it scores them faster, in blocks; of what it lacks it says that it is needed.
                backend = self._backend("exact", match)
        if backend.exact:
            scores, rows = backend.search(queries, k, allowed)
            return scores.float().cpu().numpy(), rows.cpu().numpy()
        vectors = queries if isinstance(queries, torch.Tensor) else queries[self.manifest.proposal_name].float()
        proposed = backend.search(vectors.cpu(), backend.proposals(k), allowed)[1].cpu().numpy()
        return best_rows(score_rows(self, queries, proposed, match), proposed, k)

    def _backend(self, name: str, match: Callable | None) -> SearchBackend:
        if name == "exact":  # holds a match function, which may be another the next time
            known = self._backends.get(name)
            if known is None or (self.manifest.vector_name is None and known.match != match):
                self._backends[name] = get_backend(name, self, match=match)
        elif name not in self._backends:
            self._backends[name] = get_backend(name, self)
        return self._backends[name]
