"""Features of pairs of mentions and entities, held for the pairs that have any."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch


if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class PairFeatures:
    """
    Features of all pairs of some mentions and the entities of a knowledge base. Most pairs have none: only the others are
    held.

    Args:
        keys (`torch.LongTensor` of shape `(num_pairs,)`):
            `mention * num_entities + entity row` of the pairs that have features, ascending.
        values (`torch.FloatTensor` of shape `(num_pairs, num_features)`):
            Their features, in the order of [`PAIR_FEATURES`], each in [0, 1].
        num_mentions (`int`), num_entities (`int`):
            How many there are.
    """

    keys: torch.Tensor
    values: torch.Tensor
    num_mentions: int
    num_entities: int

    def at(self, rows: torch.Tensor) -> torch.Tensor:
        """
        Features of each mention with entities of its own.

        Args:
            rows (`torch.LongTensor` of shape `(num_mentions, num_candidates)`): Entity rows; -1 stands for no entity.

        Returns:
            `torch.FloatTensor` of shape `(num_mentions, num_candidates, num_features)`, zero where a pair has no features.
        """
        mention = torch.arange(self.num_mentions, device=rows.device).unsqueeze(1)
        if not len(self.keys):
            return self.values.new_zeros(*rows.shape, self.values.shape[1])
        wanted = mention * self.num_entities + rows
        places = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        found = (self.keys[places] == wanted) & (rows >= 0)
        return self.values[places] * found.unsqueeze(-1)

    def with_all(self, rows: torch.Tensor) -> torch.Tensor:
        """Features of every mention with every one of these entities `(num_rows,)`: `(num_mentions, num_rows, num_features)`."""
        return self.at(rows.expand(self.num_mentions, -1))

    def weighted(self, weigh: Callable[[torch.Tensor], torch.Tensor]) -> "sparse.csr_array":
        """
        Scores that the features add.

        Args:
            weigh (`Callable`): Scores `(num_pairs,)` of features `(num_pairs, num_features)`, such as
                [`~MatchingModel.weigh`] of a model.

        Returns:
            `scipy.sparse.csr_array` of shape `(num_mentions, num_entities)` and type `float32`.
        """
        from scipy import sparse

        with torch.no_grad():
            data = weigh(self.values).float().cpu().numpy()
        keys = self.keys.cpu().numpy()
        starts = np.searchsorted(keys, np.arange(self.num_mentions + 1) * self.num_entities)
        columns = keys % self.num_entities if self.num_entities else keys
        return sparse.csr_array((data, columns, starts), shape=(self.num_mentions, self.num_entities))

    def to(self, device: torch.device) -> "PairFeatures":
        """The same on another device."""
        return PairFeatures(self.keys.to(device), self.values.to(device), self.num_mentions, self.num_entities)
