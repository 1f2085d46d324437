"""Benchmarks in one schema: entities, mentions, pictures; readers of released files and of own tables; builds."""

from .benchmarks import BENCHMARKS, Benchmark
from .building import build_benchmark, build_dataset
from .checks import check_mentions
from .corpus_tokenizer import train_tokenizer
from .emojimel import load_emojimel
from .fingerprint import content_fingerprint
from .images import image_status, load_images, open_image
from .knowledge_base import KnowledgeBase, UnknownEntityError
from .layouts import LAYOUTS, RawBenchmark, load_layout
from .load import EMBEDDED, load_benchmark, load_data
from .mel_data import MELData
from .mention_dataset import as_eval_mentions, as_mentions
from .miniature import make_miniature, make_miniature_tokenizer, miniature_vocabulary
from .open_kb import open_knowledge_base
from .own.mentions import load_mentions
from .own.urls import FetchLimits
from .registered import register_datasets
from .schema import ENTITY_FEATURES, IMAGE_STATUS, MENTION_FEATURES, SPLITS


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "EMBEDDED",
    "ENTITY_FEATURES",
    "FetchLimits",
    "IMAGE_STATUS",
    "KnowledgeBase",
    "LAYOUTS",
    "MELData",
    "MENTION_FEATURES",
    "RawBenchmark",
    "SPLITS",
    "UnknownEntityError",
    "as_eval_mentions",
    "as_mentions",
    "build_benchmark",
    "build_dataset",
    "check_mentions",
    "content_fingerprint",
    "image_status",
    "load_benchmark",
    "load_data",
    "load_emojimel",
    "load_images",
    "load_layout",
    "load_mentions",
    "make_miniature",
    "make_miniature_tokenizer",
    "miniature_vocabulary",
    "open_image",
    "open_knowledge_base",
    "register_datasets",
    "train_tokenizer",
]
