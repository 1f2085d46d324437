"""Losses of the discriminator: plain functions of scores `s`. The distance of the papers is `d = 1 - s`."""

from typing import Any

import torch
from torch.nn import functional as F

from .models import Encodings, MatchingModel
from .models.encodings import ALONE, whole


def triplet_loss(
    positive: torch.Tensor, negatives: torch.Tensor, margin: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Hinge `[margin + d(m, e+) - d(m, e-)]_+` on the scores of gold entities `(batch_size,)` and negatives
    `(batch_size, num_negatives)`: the mean over the negatives that `mask` keeps, of shape `(batch_size,)`.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.losses import triplet_loss

    >>> triplet_loss(torch.tensor([0.9]), torch.tensor([[0.8, 0.1]]), margin=0.3)
    tensor([0.1000])
    ```
    """
    hinge = (margin - positive.unsqueeze(-1) + negatives).clamp(min=0)
    return masked_mean(hinge, mask)


def in_batch_contrast(scores: torch.Tensor, same_entity: torch.Tensor, softmax_temperature: float) -> torch.Tensor:
    """
    InfoNCE of each mention over the gold entities of the batch, of shape `(num_mentions,)`.

    Args:
        scores (`torch.Tensor` of shape `(num_mentions, num_mentions)`):
            Score of each mention (row) with the gold entity of each mention (column).
        same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
            `True` where row and column have the same gold entity, which is left out of the denominator.
        softmax_temperature (`float`): Divides the scores.
    """
    labels = torch.arange(len(scores), device=scores.device)
    own = labels == labels.unsqueeze(1)
    logits = (scores / softmax_temperature).masked_fill(same_entity & ~own, -torch.inf)
    return F.cross_entropy(logits.float(), labels, reduction="none")


def contrastive_losses(
    model: MatchingModel,
    mentions: Encodings,
    entities: Encodings,
    same_entity: torch.Tensor,
    args: Any,
    pair_features: torch.Tensor | None = None,
) -> dict[str, tuple[float, torch.Tensor]]:
    """
    InfoNCE of the scores, of the scores of each unit and of each modality alone, and the losses that the model itself adds.

    Args:
        model ([`MatchingModel`]): Scores the pairs.
        mentions, entities ([`Encoded`]):
            Encodings of `num_mentions` mentions and of the gold entity of each.
        same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
            `True` where row and column have the same gold entity.
        args ([`MELTrainingArguments`]): Weights and temperature.
        pair_features (`torch.Tensor` of shape `(num_mentions, num_mentions, num_features)`, *optional*):
            Features of each mention (row) with the gold entity of each mention (column), which count in the scores.

    Returns:
        `dict`: by name the weight and the loss of each mention, of shape `(num_mentions,)`.
    """

    def contrast(scores: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
        return in_batch_contrast(scores, left_out, args.contrast_temperature)

    found, both = {}, (whole(mentions), whole(entities))
    if args.unit_weight:
        scores, units = model.match_with_units(*both)
        found |= {f"{name}_unit": (args.unit_weight, contrast(each, same_entity)) for name, each in units.items()}
        scores = model.with_features(scores, pair_features)
    elif args.contrast_weight:
        scores = model.score(*both, pair_features)
    if args.contrast_weight:
        found["contrast"] = args.contrast_weight, contrast(scores, same_entity)
    for modality in ("text", "image") if args.modality_weight and ALONE in mentions else ():
        one, other = mentions[ALONE], entities[ALONE]
        left_out, own = same_entity, torch.ones_like(same_entity[0])
        if modality == "image":
            pictures = one["has_image"][:, None] & other["has_image"]
            left_out, own = same_entity | ~pictures, pictures.diagonal()
        each = contrast(model.match(one[modality], other[modality]), left_out)
        found[modality] = args.modality_weight, torch.where(own, each, 0.0)
    if model.has_extra_losses:
        extra = model.extra_losses(*both, same_entity)
        found |= {name: (1.0, each) for name, each in extra.items()}
    return found


def masked_mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean along the last dimension of the values whose mask is `True`, or of all; 0 where there is none."""
    if mask is None:
        return values.mean(dim=-1) if values.shape[-1] else values.sum(dim=-1)
    return values.masked_fill(~mask, 0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
