"""The backend that compares every query with every entity."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from ....encoding import Encodings, to_device
from ....evaluation import top_candidates_in_blocks
from ....evaluation.blocks import device_of
from .base import SearchBackend
from .shortlist import shortlist


if TYPE_CHECKING:
    from scipy import sparse


# Up to so many queries a plain product and a look at its best are faster than whole tiles, which hold 64.
FEW_QUERIES = 8


class ExactBackend(SearchBackend):
    """
    Scores all living entities, a block at a time, and keeps the best: nothing is missed. The answer does not depend on the
    block, on the number of queries or on the device's memory; of equal scores the lower row comes first.

    Args:
        index ([`EntityIndex`]):
            The index.
        match (`Callable`, *optional*):
            `match(mentions, entities)` of a model whose score is no dot product. By default the dot product of the index's
            vectors.
        vector (`str`, *optional*, defaults to `index.manifest.vector_name`):
            The tensor whose dot product is compared instead.
        block_rows (`int`, *optional*, defaults to 8192):
            Entities in a block.
        resident_bytes (`int`, *optional*, defaults to 1,000,000,000):
            Vectors which have to be converted, or moved to the queries' device, stay there if they take no more than
            this; larger ones are read again for each search.
    """

    name = "exact"
    exact = True
    takes_added = True

    def __init__(
        self,
        index,
        match: Callable[[Encodings, Encodings], torch.Tensor] | None = None,
        vector: str | None = None,
        block_rows: int = 8192,
        resident_bytes: int = 1_000_000_000,
    ):
        super().__init__(index)
        # Where the score is a dot product, this one gives the same last bit in whatever block a row stands.
        self.vector = index.manifest.vector_name if vector is None else vector
        self.match = match if self.vector is None else None
        self.block_rows = block_rows
        self.resident_bytes = resident_bytes
        self._resident: tuple[tuple, list[tuple[int, Encodings]]] | None = None
        self._largest_norm: tuple[int, float] | None = None

    def search(
        self,
        queries: torch.Tensor | Encodings,
        k: int,
        allowed: np.ndarray | None = None,
        added: "sparse.csr_array | None" = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        allowed = self.index.alive if allowed is None else self.index.alive & allowed
        vector = self.vector
        if vector is None and self.match is None:
            raise ValueError(
                f"a model of type {self.index.manifest.model['type']!r} scores by no dot product: pass `match=model.match`"
            )
        if self.match is not None and isinstance(queries, torch.Tensor):
            raise ValueError("a model that scores by no dot product needs encoded queries, not vectors")
        if self.match is None and not isinstance(queries, torch.Tensor):
            queries = queries[vector]
        device = device_of(queries)
        mask = torch.tensor(allowed)
        if self._worth_a_shortlist(queries, device, allowed):
            return self._search_shortlist(queries, k, mask, added)
        blocks = ((first, block if self.match else block[vector]) for first, block in self._blocks(device))
        return top_candidates_in_blocks(queries, blocks, k, allowed=mask, match=self.match, added=added)

    def _worth_a_shortlist(self, queries: torch.Tensor | Encodings, device: torch.device, allowed: np.ndarray) -> bool:
        """
        Returns `True` if a few vectors are compared with many. Vectors with NaN are compared plainly, which names the
        mention.
        """
        if self.match is not None or device.type != "cpu" or not 0 < len(queries) <= FEW_QUERIES:
            return False
        return int(allowed.sum()) > self.block_rows // 8 and bool(queries.isfinite().all())

    def _search_shortlist(
        self, queries: torch.Tensor, k: int, allowed: torch.Tensor, added: "sparse.csr_array | None"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vector, queries = self.vector, queries.float()
        if self._largest_norm is None or self._largest_norm[0] != self.index.generation:
            largest = max(float(block[vector].norm(dim=1).amax()) for _, block in self._blocks(queries.device))
            self._largest_norm = self.index.generation, largest
        blocks = ((first, block[vector]) for first, block in self._blocks(queries.device))
        rows = shortlist(queries, blocks, k, allowed, self._largest_norm[1])
        if (
            added is not None
        ):  # nothing is below 0: the best of the sums are the best products, or have something added
            named = torch.from_numpy(added.indices.astype(np.int64))
            rows = torch.cat([rows, named[allowed[named]]]).unique()
            added = added[:, rows.numpy()]
        vectors = self.index.store.take(rows.numpy(), [vector])[vector]
        scores, places = top_candidates_in_blocks(queries, [(0, vectors)], k, added=added)
        return scores, rows[places]

    def _blocks(self, device: torch.device) -> Iterator[tuple[int, Encodings]]:
        manifest = self.index.manifest
        names = None if self.vector is None else [self.vector]
        if (manifest.precision == "float32" and device.type == "cpu") or self._size(names) > self.resident_bytes:
            yield from self.index.blocks(self.block_rows, names)  # as they are mapped, or too many to keep
            return
        key = self.index.generation, device
        if self._resident is None or self._resident[0] != key:
            self._resident = None  # not both at once
            blocks = self.index.blocks(self.block_rows, names)
            self._resident = key, [(first, to_device(block, device)) for first, block in blocks]
        yield from self._resident[1]

    def _size(self, names: list[str] | None) -> int:
        shapes = self.index.manifest.tensors
        numbers = sum(int(np.prod(shapes[name])) for name in names or self.index.store.whole_names)
        return 4 * numbers * self.index.num_rows
