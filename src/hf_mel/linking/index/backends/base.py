"""Base class of the search backends of an index, which propose rows for queries."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch

from ....encoding import Encodings
from ..lookup import EntityLookup


if TYPE_CHECKING:
    from scipy import sparse


NUM_PROPOSALS = 256
"""Default number of proposed rows, where proposals are ranked by another product than the score."""


class SearchBackend(ABC):
    """
    Searches the stored vectors of an [`EntityIndex`].

    A backend that is not exact proposes rows, by the dot product of the tensor `manifest.proposal_name`: `EntityIndex.search`
    asks it for more than it needs and scores these with what is stored, so that a score is the same whichever backend found
    the row. Where that product is not the score itself (`manifest.vector_name`), no backend of vectors is exact.

    A backend follows its index: where `index.generation` is no longer the one it was made from, it brings itself up to
    date before it searches. It reads the index by `index.blocks()` and `index.alive`.

    Args:
        index ([`EntityIndex`]):
            The index.
        num_proposals (`int`, *optional*):
            How many rows it proposes, if not more are wanted. Defaults to `2 k + 16` for the best `k`, and to at least 256
            where the proposals are by another product than the score.

    Raises:
        `ValueError`: `num_proposals` below 1.
    """

    name: str
    """Name for `get_backend`."""
    exact: bool
    """`True` if it always finds the best rows, with the scores of the model."""
    takes_added = False
    """`True` if its search takes `added`. For the others, rows to whose score something is added are proposed as well."""

    def __init__(self, index: EntityLookup, num_proposals: int | None = None):
        if num_proposals is not None and num_proposals < 1:
            raise ValueError(f"num_proposals must be at least 1, got {num_proposals}")
        self.index, self.num_proposals = index, num_proposals

    def proposals(self, k: int) -> int:
        """Returns the number of rows to ask for where the best `k` are wanted."""
        if self.num_proposals is not None:
            return max(k, self.num_proposals)
        wanted = 2 * k + 16  # those that an approximate product puts a little too low are among them
        return wanted if self.index.manifest.vector_name is not None else max(wanted, NUM_PROPOSALS)

    def _proposal_name(self) -> str:
        """The tensor by which it proposes; a `ValueError` where the index has none."""
        name = self.index.manifest.proposal_name
        if name is None:
            raise ValueError(
                f"backend {self.name!r} compares vectors by their dot product, and this index of a model of type "
                f"{self.index.manifest.model['type']!r} holds none for it: use the backend 'exact'"
            )
        return name

    @abstractmethod
    def search(
        self,
        queries: torch.Tensor | Encodings,
        k: int,
        allowed: np.ndarray | None = None,
        added: "sparse.csr_array | None" = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The best rows of each query, best first.

        Args:
            queries (`torch.Tensor` of shape `(num_queries, dim)`, float32):
                Vectors. The exact backend takes encodings as well.
            k (`int`):
                Rows for each query; fewer where fewer are allowed.
            allowed (`np.ndarray` of shape `(index.num_rows,)`, bool, *optional*):
                Rows to choose from. By default, and at most, the living ones.
            added (`scipy.sparse.csr_array` of shape `(num_queries, index.num_rows)`, *optional*):
                Scores that are added to the products, none below 0. Given only where `takes_added`.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: scores (float32) and rows (int64), both of shape
            `(num_queries, k')` with `k' <= k`. Where a query has fewer, the rest is `-inf` and `-1`.
        """
