"""In-batch contrast over the whole optimizer batch, however it is cut into micro-batches and processes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from .. import losses
from ..encoding import TOWER_PARTS, Encoded, alone, whole
from ..models import MatchingModel
from .arguments import PGMELTrainingArguments
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

    @property
    def num_parts(self) -> int:
        """How many micro-batches, over all processes, make up the optimizer batch."""
        return len(self.batches) * self.processes.count

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


class ContrastTerms(nn.Module):
    """
    What is contrasted: the scores, those of each unit, those of each modality alone, and what the model itself adds.

    Args:
        discriminator ([`MatchingModel`]): Scores the pairs.
        args ([`PGMELTrainingArguments`]): Weights and temperature.
    """

    def __init__(self, discriminator: MatchingModel, args: PGMELTrainingArguments):
        super().__init__()
        self.discriminator, self.args = discriminator, args

    def forward(
        self, mentions: Encoded, entities: Encoded, same_entity: torch.Tensor
    ) -> list[tuple[str, float, torch.Tensor]]:
        """Name, weight and the losses of all mentions, of shape `(num_mentions,)`."""
        args, both_whole, terms = self.args, (whole(mentions), whole(entities)), []
        if args.contrast_weight or args.unit_weight:
            scores, units = self.discriminator.match_with_units(*both_whole)
            weighted = [("contrast", args.contrast_weight, scores)]
            weighted += [(f"{name}_unit", args.unit_weight, each) for name, each in units.items()]
            terms += [(name, weight, self._contrast(each, same_entity)) for name, weight, each in weighted if weight]
        if args.modality_weight:
            for modality, *sides, both in alone(mentions, entities):
                each = self._contrast(self.discriminator.match(*sides), same_entity | ~both)
                terms.append((modality, args.modality_weight, torch.where(both.diagonal(), each, 0.0)))
        own = self.discriminator.extra_losses(*both_whole, same_entity)
        return terms + [(name, 1.0, each) for name, each in own.items()]

    def _contrast(self, scores: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
        return losses.in_batch_contrast(scores, left_out, self.args.contrast_temperature)

    def of_a_part(self, num_parts: int, *inputs) -> list[tuple[str, float, torch.Tensor]]:
        """
        As `forward`, in one of the parts of an optimizer batch, each of which computes the losses of all mentions. Of an
        encoding the gradient flows in the part alone in which it is live, but what `match` has of parameters is live in all
        of them: there each part gives its share.
        """
        if num_parts == 1:
            return self(*inputs)
        shared = {
            name: value.detach() + (value - value.detach()) / num_parts  # to the last bit the same value
            for name, value in self.named_parameters()
            if value.requires_grad and name.split(".")[1] not in TOWER_PARTS
        }
        return functional_call(self, shared, inputs)


def _detached(encoded: Encoded) -> Encoded:
    return {name: value.detach() for name, value in encoded.items()}


def _concatenated(parts: list[Encoded]) -> Encoded:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
