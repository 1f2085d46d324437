"""Batches of mentions with their candidates, drawn and read by the data-loading workers."""

import torch

from ..encoding import SideInputs
from .sampling import NegativeSampler


Batch = dict[str, torch.Tensor | dict[str, torch.Tensor]]


class MELCollator:
    """
    Turns mention numbers into a batch for [`TrainingStep`]. Every worker returns the same batch.

    A batch holds `mentions`, `gold_rows`, `inputs`, the model inputs of the mentions, and `pair_features` of the mentions with
    all entities, for a model with `config.name_features`. If all candidates of the epoch can be drawn ahead, it also holds
    `candidates`; and, for a strategy that needs no model of the current step, `negatives` and `entities`: the inputs of gold
    entities and negatives, whose pictures are then opened by the workers.
    """

    def __init__(self, sampler: NegativeSampler, mention_inputs: SideInputs, entity_inputs: SideInputs):
        self.sampler, self.mention_inputs, self.entity_inputs = sampler, mention_inputs, entity_inputs
        self.epoch: int | None = None

    def start_epoch(self, epoch: int) -> None:
        """Called before the workers of an epoch start."""
        self.epoch = epoch if self.sampler.draws_ahead(epoch) else None

    def __call__(self, rows: list[int]) -> Batch:
        mentions = torch.as_tensor(rows)
        batch: Batch = {"mentions": mentions, "gold_rows": torch.from_numpy(self.sampler.gold_rows[mentions.numpy()])}
        batch["inputs"] = self.mention_inputs(rows)
        if self.sampler.names is not None:
            batch["pair_features"] = dict(vars(self.sampler.pair_features(mentions.numpy())))
        return batch if self.epoch is None else batch | self.draw(batch, self.epoch)

    def draw(self, batch: Batch, epoch: float) -> Batch:
        """
        Draws the candidates of a batch at this point of the training and, for a strategy that needs no model of the current
        step, negatives and their inputs. The training step calls this for a batch that was not drawn ahead.
        """
        strategy = self.sampler.strategy_at(epoch)
        candidates = self.sampler.candidates(batch["mentions"].cpu().numpy(), int(epoch), strategy)
        drawn: Batch = {}
        if not strategy.is_live:
            selection = self.sampler.select(candidates, strategy)
            drawn["negatives"] = {name: value for name, value in selection._asdict().items() if value is not None}
            updates = strategy.updates(candidates)
            if updates is not None:
                drawn["updates"] = torch.from_numpy(updates)
            entities, _ = candidates.entities(batch["gold_rows"].cpu(), selection.columns)
            drawn["entities"] = self.entity_inputs(entities.numpy())
        # After the strategy, which may have dropped candidates.
        found = {name: getattr(candidates, name) for name in ("rows", "mask", "scores", "gold_scores", "dropped")}
        drawn["warmup"] = strategy is self.sampler.warmup_strategy
        return drawn | {"candidates": {name: value for name, value in found.items() if value is not None}}
