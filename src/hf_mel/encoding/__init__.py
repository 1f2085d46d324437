"""From rows of mentions and entities to their encodings: what training, evaluation and linking share."""

from ..models.encodings import Encodings
from .encode import encode_all, encode_modalities, evaluation_mode, fill_mention_bank, to_device
from .inputs import EntityInputs, MentionInputs, SideInputs, length_buckets, read_ahead, unknown_share, warn_of_unknown


__all__ = [
    "Encodings",
    "EntityInputs",
    "MentionInputs",
    "SideInputs",
    "encode_all",
    "encode_modalities",
    "evaluation_mode",
    "fill_mention_bank",
    "length_buckets",
    "read_ahead",
    "to_device",
    "unknown_share",
    "warn_of_unknown",
]
