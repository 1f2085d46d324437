"""From rows of mentions and entities to their encodings: what training, evaluation and linking share."""

from ..models.encoded import Encoded, Encodings
from .encode import encode_all, encode_modalities, evaluation_mode, to_device, tower_features, whole
from .inputs import EntityInputs, MentionInputs, SideInputs, length_buckets, read_ahead
from .towers import TOWER_PARTS, tower_config, tower_state


__all__ = [
    "TOWER_PARTS",
    "Encoded",
    "Encodings",
    "EntityInputs",
    "MentionInputs",
    "SideInputs",
    "encode_all",
    "encode_modalities",
    "evaluation_mode",
    "length_buckets",
    "read_ahead",
    "to_device",
    "tower_config",
    "tower_features",
    "tower_state",
    "whole",
]
