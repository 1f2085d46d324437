"""Each modality matched alone, beside the fused match: an encoding that travels with the whole one."""

from collections.abc import Iterator

import torch

from ..encoding import Encoded
from ..models import MatchingModel, TowerFeatures


MODALITIES = ("text", "image")
_PRESENT = "present"


def encode_modalities(model: MatchingModel, side: str, features: TowerFeatures) -> Encoded:
    """
    What `model.encode` makes of the features of one side, and what it makes of text and of image alone, under names that
    begin with `text.` and `image.`. `image.present` says which rows have an image.

    A model without a vision tower has one modality, which is the whole: nothing is added.
    """
    encoded = dict(model.encode(side, features))
    if features.image_features is None:
        return encoded
    nothing = torch.zeros_like(features.has_image)
    alone = {
        "text": TowerFeatures(features.text_features, features.image_features, nothing),
        "image": TowerFeatures(torch.zeros_like(features.text_features), features.image_features, features.has_image),
    }
    for modality, part in alone.items():
        encoded |= {f"{modality}.{name}": value for name, value in model.encode(side, part).items()}
    encoded[f"image.{_PRESENT}"] = features.has_image
    return encoded


def whole(encoded: Encoded) -> Encoded:
    """The encodings that `model.encode` itself gave."""
    return {name: value for name, value in encoded.items() if "." not in name}


def alone(mentions: Encoded, entities: Encoded) -> Iterator[tuple[str, Encoded, Encoded, torch.Tensor]]:
    """
    The modalities that [`encode_modalities`] added: name, mentions, entities, and where both have it, of shape
    `(num_mentions, num_entities)`.
    """
    shape = tuple(len(next(iter(side.values()))) for side in (mentions, entities))
    for modality in MODALITIES:
        sides = [_part(side, modality) for side in (mentions, entities)]
        if not sides[0]:
            continue
        has = [part.pop(_PRESENT, None) for part in sides]
        device = next(iter(sides[0].values())).device
        both = torch.ones(shape, dtype=torch.bool, device=device) if has[0] is None else has[0][:, None] & has[1]
        yield modality, *sides, both


def _part(encoded: Encoded, modality: str) -> Encoded:
    prefix = f"{modality}."
    return {name.removeprefix(prefix): value for name, value in encoded.items() if name.startswith(prefix)}
