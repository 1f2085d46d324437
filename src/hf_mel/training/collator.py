"""Batches of mentions with their candidates, drawn and read by the data-loading workers."""

import torch
from torch.utils.data import Dataset

from ..encoding import SideInputs
from ..negatives import mix_uniform
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
        mentions = torch.as_tensor(rows)
        batch: Batch = {"mentions": mentions, "gold_rows": torch.from_numpy(self.sampler.gold_rows[mentions.numpy()])}
        batch["inputs"] = self.mention_inputs(rows)
        return batch if self.epoch is None else batch | self.draw(batch, self.epoch)

    def draw(self, batch: Batch, epoch: float) -> Batch:
        """
        Draws the candidates of a batch at this point of the training and, for a strategy that needs no model of the current
        step, negatives; reads the entities then. A batch that was not drawn ahead is drawn by the training step.
        """
        mentions, golds = batch["mentions"].cpu().numpy(), batch["gold_rows"].cpu()
        strategy = self.sampler.strategy_at(epoch)
        candidates = self.sampler.candidates(mentions, int(epoch), strategy)
        found = {name: getattr(candidates, name) for name in ("rows", "mask", "scores", "gold_scores")}
        drawn: Batch = {"candidates": {name: value for name, value in found.items() if value is not None}}
        if candidates.dropped:
            drawn["candidates"]["dropped"] = candidates.dropped
        if not strategy.is_live:
            selection = mix_uniform(strategy.select(candidates), candidates, self.sampler.uniform_share(strategy))
            drawn["negatives"] = {"columns": selection.columns, "mask": selection.mask}
            updates = strategy.updates(candidates)
            if updates is not None:
                drawn["updates"] = torch.from_numpy(updates)
            rows, _ = candidates.entities(golds, selection.columns)
            drawn["entities"] = {"rows": rows} | self.entity_inputs(rows.numpy())
        return drawn


def rows_only(rows: list[int]) -> Batch:
    """The collator until training starts: an evaluation needs no inputs of training mentions."""
    return {"mentions": torch.tensor(rows)}
