"""Batches of mentions, and of the entities that are known to be asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ..encoding import SideInputs


class MentionRows(Dataset):
    """The numbers `0 .. n - 1`: which mention is meant is all that a worker has to know."""

    def __init__(self, num_mentions: int):
        self.num_mentions = num_mentions

    def __len__(self) -> int:
        return self.num_mentions

    def __getitem__(self, row: int) -> int:
        return row


@dataclass
class MELCollator:
    """
    Turns mention numbers into a batch for [`AdversarialStep`]. Draws nothing at random: what a worker returns does not
    depend on which worker it is.

    Args:
        mention_inputs (`SideInputs`):
            Inputs of the mentions, by row.
        gold_rows (`np.ndarray` of shape `(num_mentions,)`):
            Entity row of each mention's gold entity.
        entity_inputs (`SideInputs`, *optional*):
            Inputs of the entities, by row: those of the gold entities come with the batch, so that its step does not wait
            until their pictures are opened.
    """

    mention_inputs: SideInputs
    gold_rows: np.ndarray
    entity_inputs: SideInputs | None = None

    def __call__(self, rows: list[int]) -> dict[str, torch.Tensor | dict[str, torch.Tensor]]:
        batch = {
            "mentions": torch.tensor(rows),
            "gold_rows": torch.from_numpy(self.gold_rows[rows]),
            "inputs": self.mention_inputs(rows),
        }
        if self.entity_inputs is not None:
            golds = np.unique(self.gold_rows[rows])
            batch["gold_inputs"] = {"rows": torch.from_numpy(golds)} | self.entity_inputs(golds)
        return batch


class GoldInputs:
    """
    Inputs of the entities of a step: those that came with its batch, if just these are asked for; all others are read.

    Args:
        entity_inputs (`SideInputs`):
            Reads them.
        batch (`dict`):
            What [`MELCollator`] gave.
    """

    side = "entity"

    def __init__(self, entity_inputs: SideInputs, batch: dict[str, torch.Tensor | dict[str, torch.Tensor]]):
        self.entity_inputs = entity_inputs
        self._given = dict(batch.get("gold_inputs", {}))
        rows = self._given.pop("rows", None)  # of what is there now: a batch may have been cut on its way
        self._rows = None if rows is None else rows.cpu().numpy()

    def __len__(self) -> int:
        return len(self.entity_inputs)

    def lengths(self) -> np.ndarray | None:
        return self.entity_inputs.lengths()

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        if self._rows is not None and np.array_equal(rows, self._rows):
            return self._given
        return self.entity_inputs(rows)


def rows_only(rows: list[int]) -> dict[str, torch.Tensor]:
    """Stands in for a collator until the training inputs are made: they are not needed to evaluate."""
    return {"mentions": torch.tensor(rows)}
