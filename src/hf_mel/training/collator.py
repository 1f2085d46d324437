"""Batches of mentions."""

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
    """

    mention_inputs: SideInputs
    gold_rows: np.ndarray

    def __call__(self, rows: list[int]) -> dict[str, torch.Tensor | dict[str, torch.Tensor]]:
        return {
            "mentions": torch.tensor(rows),
            "gold_rows": torch.from_numpy(self.gold_rows[rows]),
            "inputs": self.mention_inputs(rows),
        }


def rows_only(rows: list[int]) -> dict[str, torch.Tensor]:
    """Stands in for a collator until the training inputs are made: they are not needed to evaluate."""
    return {"mentions": torch.tensor(rows)}
