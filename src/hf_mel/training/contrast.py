"""Contrastive losses over the gold entities of a batch, those of all processes included."""

import torch

from .. import losses
from ..encoding import Encoded
from ..models import MatchingModel
from .arguments import MELTrainingArguments
from .processes import Processes


def contrastive_losses(
    model: MatchingModel,
    mentions: Encoded,
    entities: Encoded,
    same_entity: torch.Tensor,
    args: MELTrainingArguments,
) -> dict[str, tuple[float, torch.Tensor]]:
    """
    InfoNCE of the scores, of the scores of each unit and of each modality alone, and the losses which the model itself adds.

    Args:
        model ([`MatchingModel`]):
            Scores the pairs.
        mentions, entities ([`Encoded`]):
            Encodings of `num_mentions` mentions and of the gold entity of each.
        same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
            Where row and column have the same gold entity.
        args ([`MELTrainingArguments`]):
            Weights and temperature.

    Returns:
        `dict`: by name the weight and the loss of each mention, of shape `(num_mentions,)`.
    """

    def contrast(scores: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
        return losses.in_batch_contrast(scores, left_out, args.contrast_temperature)

    found = {}
    if args.contrast_weight or args.unit_weight:
        scores, units = model.match_with_units(mentions.whole, entities.whole)
        if args.contrast_weight:
            found["contrast"] = args.contrast_weight, contrast(scores, same_entity)
        if args.unit_weight:
            found |= {f"{name}_unit": (args.unit_weight, contrast(each, same_entity)) for name, each in units.items()}
    for modality in mentions.alone if args.modality_weight else ():
        left_out, own = same_entity, torch.ones_like(same_entity[0])
        if modality == "image":
            both = mentions.has_image[:, None] & entities.has_image
            left_out, own = same_entity | ~both, both.diagonal()
        each = contrast(model.match(mentions.alone[modality], entities.alone[modality]), left_out)
        found[modality] = args.modality_weight, torch.where(own, each, 0.0)
    extra = model.extra_losses(mentions.whole, entities.whole, same_entity)
    return found | {name: (1.0, each) for name, each in extra.items()}


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of the own rows is the sum over what all processes did with them."""

    @staticmethod
    def forward(ctx, value: torch.Tensor, processes: Processes) -> torch.Tensor:
        ctx.processes, ctx.count = processes, len(value)
        return processes.gather(value)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        begin = ctx.processes.index * ctx.count
        return ctx.processes.sum(gradient)[begin : begin + ctx.count], None


def gather_with_gradient(encoded: Encoded, processes: Processes) -> Encoded:
    """Encodings of all processes, in their order; every process must have as many rows."""
    if processes.count == 1:
        return encoded
    return encoded.map(lambda value: _Gather.apply(value, processes) if value.requires_grad else processes.gather(value))
