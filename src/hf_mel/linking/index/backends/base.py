"""What every search backend of an index is: something that proposes rows for queries."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch

from ....encoding import Encoded


if TYPE_CHECKING:
    from ..entity_index import EntityIndex


class SearchBackend(ABC):
    """
    Searches the stored vectors of an [`EntityIndex`].

    A backend that is not exact proposes rows: `EntityIndex.search` asks it for more than it needs and scores these with
    the stored vectors, so that a score is the same whichever backend found the row.

    A backend follows its index: where `index.generation` is no longer the one it was made from, it brings itself up to
    date before it searches. It reads the index by `index.blocks()` and `index.alive`.

    Args:
        index ([`EntityIndex`]):
            The index.
    """

    name: str
    """What `get_backend` knows it by."""
    exact: bool
    """Whether it finds the best rows without fail, with the scores of the model."""

    def __init__(self, index: "EntityIndex"):
        self.index = index

    @abstractmethod
    def search(
        self, queries: torch.Tensor | Encoded, k: int, allowed: np.ndarray | None = None
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

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: scores (float32) and rows (int64), both of shape
            `(num_queries, k')` with `k' <= k`. Where a query has fewer, the rest is `-inf` and `-1`.
        """
