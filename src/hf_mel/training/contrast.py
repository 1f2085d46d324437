"""In-batch contrast over the whole optimizer batch, however it is cut into micro-batches and processes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..encoding import Encoded
from .processes import Processes


EncodeBatch = Callable[[dict], tuple[Encoded, Encoded]]


@dataclass
class ContrastBank:
    """
    Encodings of every mention and gold entity of the optimizer batch, without gradient, among which the rows of this
    micro-batch are replaced by live ones. Each micro-batch computes the loss of all mentions with its own rows
    attached: the gradients of all add up to the gradient of the large batch (Gao et al. 2021, gradient caching).

    Args:
        mentions, entities (`dict[str, torch.Tensor]`):
            What `encode` returned, with one row for each mention of the optimizer batch.
        gold_rows (`torch.LongTensor` of shape `(num_mentions,)`):
            Entity row of each gold entity.
        offset (`int`):
            First row of this micro-batch.
    """

    mentions: Encoded
    entities: Encoded
    gold_rows: torch.Tensor
    offset: int

    def with_live(self, mentions: Encoded, entities: Encoded) -> tuple[Encoded, Encoded]:
        """The bank with the rows of this micro-batch attached to the graph."""
        return self._spliced(self.mentions, mentions), self._spliced(self.entities, entities)

    def _spliced(self, bank: Encoded, live: Encoded) -> Encoded:
        end = self.offset + len(next(iter(live.values())))
        return {k: torch.cat([v[: self.offset], live[k].to(v.dtype), v[end:]]) for k, v in bank.items()}


class OptimizerBatch:
    """
    The micro-batches of one optimizer step in this process.

    Args:
        batches (`list[dict]`): What the collator returned.
        processes ([`Processes`]): Who else works on the step.
        encode ([`EncodeBatch`]): Encodes mentions and gold entities of a micro-batch, without gradient.
    """

    def __init__(self, batches: list[dict], processes: Processes, encode: EncodeBatch):
        self.batches = batches
        self.processes = processes
        self.encode = encode
        self.micro_step = 0
        self.rewards: list[torch.Tensor] = []  # sum and number of the rewards of each micro-batch
        self._whole: ContrastBank | None = None

    def bank(self, mentions: Encoded, entities: Encoded, gold_rows: torch.Tensor) -> ContrastBank | None:
        """The bank for the micro-batch whose live encodings are given; `None` where it is the whole optimizer batch."""
        if len(self.batches) == 1 and self.processes.count == 1:
            return None
        if len(self.batches) == 1:  # nothing has to be encoded twice
            return self._gathered(_detached(mentions), _detached(entities), gold_rows)
        if self._whole is None:
            encoded = [self.encode(batch) for batch in self.batches]
            golds = torch.cat([batch["gold_rows"] for batch in self.batches]).to(gold_rows.device)
            self._whole = self._gathered(*(_concatenated([both[side] for both in encoded]) for side in (0, 1)), golds)
        before = sum(len(batch["mentions"]) for batch in self.batches[: self.micro_step])
        whole = self._whole
        return ContrastBank(whole.mentions, whole.entities, whole.gold_rows, whole.offset + before)

    def _gathered(self, mentions: Encoded, entities: Encoded, gold_rows: torch.Tensor) -> ContrastBank:
        gather = self.processes.gather
        both = ({name: gather(value) for name, value in side.items()} for side in (mentions, entities))
        return ContrastBank(*both, gather(gold_rows), offset=self.processes.index * len(gold_rows))


def _detached(encoded: Encoded) -> Encoded:
    return {name: value.detach() for name, value in encoded.items()}


def _concatenated(parts: list[Encoded]) -> Encoded:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
