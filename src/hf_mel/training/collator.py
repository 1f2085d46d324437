"""Batches of mentions with their candidates, drawn and read by the data-loading workers."""

import numpy as np
import torch
from torch.utils.data import Dataset

from ..encoding import SideInputs
from ..negatives import Candidates, NegativeStrategy, Selection
from .sampling import NegativeSampler


Batch = dict[str, torch.Tensor | dict[str, torch.Tensor]]


class MentionRows(Dataset):
    """The numbers `0 .. n - 1`: a worker needs no more than the number of a mention."""

    def __init__(self, num_mentions: int):
        self.num_mentions = num_mentions

    def __len__(self) -> int:
        return self.num_mentions

    def __getitem__(self, row: int) -> int:
        return row


class MELCollator:
    """
    Turns mention numbers into a batch for [`TrainingStep`]. What a worker returns does not depend on which worker it is.

    A batch holds `mentions`, `gold_rows` and `inputs`, the model inputs of the mentions. If all candidates of the epoch can be
    drawn ahead, it also holds `candidates`; and, for a strategy that needs no model of the current step, `negatives` and
    `entities`: the inputs of gold entities and negatives, whose pictures are then opened by the workers.

    Args:
        sampler ([`NegativeSampler`]):
            Draws candidates and negatives.
        mention_inputs (`SideInputs`):
            Inputs of the mentions, by row.
        entity_inputs (`SideInputs`):
            Inputs of the entities, by row.
    """

    def __init__(self, sampler: NegativeSampler, mention_inputs: SideInputs, entity_inputs: SideInputs):
        self.sampler = sampler
        self.mention_inputs = mention_inputs
        self.entity_inputs = entity_inputs
        self.epoch: int | None = None

    def start_epoch(self, epoch: int) -> None:
        """Called before the workers of an epoch start."""
        self.epoch = epoch if self.sampler.draws_ahead(epoch) else None

    def __call__(self, rows: list[int]) -> Batch:
        mentions = np.asarray(rows)
        golds = self.sampler.gold_rows[mentions]
        batch: Batch = {"mentions": torch.from_numpy(mentions), "gold_rows": torch.from_numpy(golds)}
        batch["inputs"] = self.mention_inputs(rows)
        if self.epoch is None:
            return batch
        strategy = self.sampler.strategy_at(self.epoch)
        candidates = self.sampler.candidates(mentions, self.epoch, strategy)
        batch["candidates"] = as_tensors(candidates)
        if not strategy.is_live:
            selection = self.sampler.select(candidates, strategy)
            batch["negatives"] = {"columns": selection.columns, "mask": selection.mask}
            updates = strategy.updates(candidates)
            if updates is not None:
                batch["updates"] = torch.from_numpy(updates)
            rows = entity_rows(batch["gold_rows"], candidates, selection)[0]
            batch["entities"] = {"rows": rows} | self.entity_inputs(rows.numpy())
        return batch


def as_tensors(candidates: Candidates) -> dict[str, torch.Tensor]:
    """The tensors of the candidates, as a batch carries them."""
    found = {name: getattr(candidates, name) for name in ("rows", "mask", "scores", "gold_scores")}
    return {name: value for name, value in found.items() if value is not None}


def entity_rows(
    gold_rows: torch.Tensor, candidates: Candidates, selection: Selection
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Entities that a step encodes, each once, and where those of a mention are among them.

    Returns:
        `tuple`: entity rows of shape `(num_entities,)`, ascending; positions among them of shape
        `(batch_size, 1 + num_negatives)`, the gold entity first.
    """
    negatives = candidates.rows.gather(1, selection.columns)
    return torch.cat([gold_rows.unsqueeze(1), negatives], dim=1).unique(return_inverse=True)


def drawn_candidates(batch: Batch, sampler: NegativeSampler, epoch: float) -> tuple[Candidates, NegativeStrategy]:
    """The candidates that came with a batch, or those that are drawn now, on the device of the batch; and the strategy."""
    strategy = sampler.strategy_at(epoch)
    mentions = batch["mentions"].cpu().numpy()
    if "candidates" in batch:
        return Candidates(mentions, seed=sampler.args.seed, epoch=int(epoch), **batch["candidates"]), strategy
    candidates = sampler.candidates(mentions, int(epoch), strategy)
    for name, value in as_tensors(candidates).items():
        setattr(candidates, name, value.to(batch["gold_rows"].device))
    return candidates, strategy


def rows_only(rows: list[int]) -> Batch:
    """The collator until training starts: an evaluation needs no inputs of training mentions."""
    return {"mentions": torch.tensor(rows)}
