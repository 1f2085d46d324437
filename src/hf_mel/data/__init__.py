"""Benchmarks in one schema: entities, mentions, pictures, and the converters that read released files."""

from .checks import check_mentions
from .fingerprint import content_fingerprint
from .images import image_status, load_images, open_image
from .knowledge_base import KnowledgeBase, UnknownEntityError
from .layouts import LAYOUTS, load_layout
from .mel_data import MELData
from .miniature import make_miniature, make_miniature_tokenizer, miniature_vocabulary
from .schema import ENTITY_FEATURES, IMAGE_STATUS, MENTION_FEATURES, SPLITS


__all__ = [
    "ENTITY_FEATURES",
    "IMAGE_STATUS",
    "KnowledgeBase",
    "LAYOUTS",
    "MELData",
    "MENTION_FEATURES",
    "SPLITS",
    "UnknownEntityError",
    "check_mentions",
    "content_fingerprint",
    "image_status",
    "load_images",
    "load_layout",
    "make_miniature",
    "make_miniature_tokenizer",
    "miniature_vocabulary",
    "open_image",
]
