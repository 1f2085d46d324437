"""The backend that proposes entities by a plain product of vectors with all of them."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ....encoding import Encodings
from ..lookup import EntityLookup
from .base import SearchBackend
from .exact import ExactBackend


if TYPE_CHECKING:
    from scipy import sparse


class TwoStageBackend(SearchBackend):
    """
    For a model whose score is no dot product: proposes the rows with the highest dot product of `manifest.proposal_name`,
    compared with every living entity, so that a search computes the score itself for `num_proposals` entities alone. How
    many of the best it finds [`measure_recall`] tells. Where the product is the score, this is the exact search.

    Args:
        index ([`EntityIndex`]):
            The index.
        num_proposals (`int`, *optional*):
            How many rows are proposed, if not more are wanted. Defaults to `2 k + 16` for the best `k`, and at least 256.

    Raises:
        `ValueError`: the index holds no vector to propose by, or `num_proposals` is below 1.

    Example:

    ```python
    backend = get_backend("two_stage", index, num_proposals=512)
    scores, rows = index.search(queries, k=10, match=model.match, backend=backend)
    ```
    """

    name = "two_stage"
    takes_added = True

    def __init__(self, index: EntityLookup, num_proposals: int | None = None):
        super().__init__(index, num_proposals)
        vector = self._proposal_name()
        self.exact = vector == index.manifest.vector_name
        self._products = ExactBackend(index, vector=vector)

    def search(
        self,
        queries: torch.Tensor | Encodings,
        k: int,
        allowed: np.ndarray | None = None,
        added: "sparse.csr_array | None" = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._products.search(queries, k, allowed, added)
