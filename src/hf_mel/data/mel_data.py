"""Result of every converter."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from datasets import DatasetDict

from .knowledge_base import KnowledgeBase


@dataclass
class MELData:
    """A benchmark in the one schema.

    Args:
        mentions (`datasets.DatasetDict`): the splits train, validation and test with `MENTION_FEATURES`.
        entities (`KnowledgeBase`): the entities they are linked to.
        report (`dict`): what was read, counted, left out and why; can be written as JSON.
    """

    mentions: DatasetDict
    entities: KnowledgeBase
    report: dict = field(default_factory=dict)

    def with_train_share(self, share: float, seed: int = 0) -> "MELData":
        """
        The same data with fewer training mentions, as where labels are scarce. The mentions of a smaller share are among those
        of a larger one, and stay in their order.

        Args:
            share (`float`): Above 0, at most 1; at least one mention is kept.
            seed (`int`, *optional*, defaults to 0): Of the draw.

        Raises:
            `ValueError`: no such share.
        """
        if not 0 < share <= 1:
            raise ValueError(f"`train_share` must be above 0 and at most 1, got {share}")
        train = self.mentions["train"]
        count = min(max(round(share * len(train)), 1), len(train))
        kept = np.sort(np.random.default_rng(seed).permutation(len(train))[:count])
        return dataclasses.replace(self, mentions=DatasetDict(self.mentions | {"train": train.select(kept)}))
