"""Searches an index: a backend proposes rows, which are scored with the stored vectors and what is added to them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...encoding import Encodings
from ...evaluation.blocks import count_rows, slices
from ...models.encodings import select_rows, whole
from .backends import SearchBackend, get_backend
from .lookup import EntityLookup
from .manifest import Manifest
from .rescore import added_at, best_rows, score_rows, with_added_rows


if TYPE_CHECKING:
    from scipy import sparse


# Queries whose proposals are joined with the rows to which something is added: of one query these may be thousands.
_AT_ONCE = 64


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
        added: "sparse.csr_array | None" = None,
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
            added (`scipy.sparse.csr_array` of shape `(num_queries, num_rows)`, *optional*):
                Scores that are added to those of the encodings, none below 0, such as [`~hf_mel.names.added_scores`] of the
                index's `name_index` returns. The search stays as exact as it is without.
            backend (`str` or [`SearchBackend`], *optional*, defaults to `"exact"`):
                Who searches. What another backend than the exact one proposes is scored with what is stored, so that
                scores do not depend on it. How many rows it proposes is its option `num_proposals`, see [`get_backend`].

        Returns:
            `tuple[np.ndarray, np.ndarray]`, both of shape `(num_queries, k')`: scores (`float32`), best first, and rows
            (`int64`). Equal scores: the lower row first. `k'` is `k`, or the number of rows to choose from if that is
            smaller; where a backend found fewer, the rest is `-inf` and -1.

        Raises:
            `ValueError`: `k` below 1, `allowed` or `added` of another shape, a NaN in a query, or a model that needs `match`.
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
        count = count_rows(queries, "queries")
        if added is not None and added.shape != (count, self.num_rows):
            raise ValueError(f"`added` must be of shape {(count, self.num_rows)}, got {added.shape}")
        given = {"added": added} if added is not None and backend.takes_added else {}
        if backend.exact and (added is None or backend.takes_added):
            scores, rows = backend.search(queries, k, allowed, **given)
            return scores.float().cpu().numpy(), rows.cpu().numpy()
        vectors = queries if isinstance(queries, torch.Tensor) else queries[self.manifest.proposal_name].float()
        asked = k if backend.exact else backend.proposals(k)
        proposed = backend.search(vectors.cpu(), asked, allowed, **given)[1].cpu().numpy()
        if added is None or backend.takes_added:
            scores = score_rows(self, queries, proposed, match)
            return best_rows(scores if added is None else scores + added_at(added, proposed), proposed, k)
        choice = self.alive if allowed is None else self.alive & allowed
        parts = list(slices(count, _AT_ONCE)) or [slice(0, 0)]
        found = [self._joined(queries, part, proposed[part], added[part], choice, match, k) for part in parts]
        scores, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        return scores, rows

    def _joined(
        self,
        queries: Encodings | torch.Tensor,
        part: slice,
        proposed: np.ndarray,
        added: "sparse.csr_array",
        choice: np.ndarray,
        match: Callable[[Encodings, Encodings], torch.Tensor] | None,
        k: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best `k` of what was proposed for some queries, and of the rows to whose score something is added."""
        rows = with_added_rows(proposed, added, choice)
        scores = score_rows(self, select_rows(queries, part), rows, match) + added_at(added, rows)
        return best_rows(scores, rows, k)

    def _backend(self, name: str, match: Callable | None) -> SearchBackend:
        if name == "exact":  # holds a match function, which may be another the next time
            known = self._backends.get(name)
            if known is None or (self.manifest.vector_name is None and known.match != match):
                self._backends[name] = get_backend(name, self, match=match)
        elif name not in self._backends:
            self._backends[name] = get_backend(name, self)
        return self._backends[name]
