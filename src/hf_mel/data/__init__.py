"""Benchmarks in one schema: entities, mentions, pictures; readers of released files and of own tables; builds."""

from typing import TYPE_CHECKING

from ..lazy import lazy_exports


_EXPORTS = {
    "benchmarks": ["BENCHMARKS", "Benchmark"],
    "building": ["build_benchmark", "build_dataset"],
    "checks": ["check_mentions"],
    "corpus_tokenizer": ["train_tokenizer"],
    "emojimel": ["load_emojimel"],
    "fingerprint": ["content_fingerprint"],
    "images": ["image_status", "load_images", "open_image"],
    "knowledge_base": ["KnowledgeBase", "UnknownEntityError"],
    "layouts": ["LAYOUTS", "RawBenchmark", "load_layout", "load_merlin", "merlin_rows"],
    "load": ["EMBEDDED", "load_benchmark", "load_data"],
    "mel_data": ["MELData"],
    "mention_dataset": ["as_eval_mentions", "as_mentions"],
    "miniature": ["make_miniature", "make_miniature_tokenizer", "miniature_vocabulary"],
    "open_kb": ["open_knowledge_base"],
    "own.mentions": ["load_mentions"],
    "own.urls": ["FetchLimits"],
    "registered": ["register_datasets"],
    "releases": ["RELEASES", "Release"],
    "schema": ["ENTITY_FEATURES", "IMAGE_STATUS", "MENTION_FEATURES", "SPLITS"],
    "wikidata": ["build_from_wikidata"],
}

if TYPE_CHECKING:  # `as` exports a name from a typed package
    # isort: off
    from .benchmarks import BENCHMARKS as BENCHMARKS, Benchmark as Benchmark
    from .building import build_benchmark as build_benchmark, build_dataset as build_dataset
    from .checks import check_mentions as check_mentions
    from .corpus_tokenizer import train_tokenizer as train_tokenizer
    from .emojimel import load_emojimel as load_emojimel
    from .fingerprint import content_fingerprint as content_fingerprint
    from .images import image_status as image_status, load_images as load_images, open_image as open_image
    from .knowledge_base import KnowledgeBase as KnowledgeBase, UnknownEntityError as UnknownEntityError
    from .layouts import (
        LAYOUTS as LAYOUTS,
        RawBenchmark as RawBenchmark,
        load_layout as load_layout,
        load_merlin as load_merlin,
        merlin_rows as merlin_rows,
    )
    from .load import EMBEDDED as EMBEDDED, load_benchmark as load_benchmark, load_data as load_data
    from .mel_data import MELData as MELData
    from .mention_dataset import as_eval_mentions as as_eval_mentions, as_mentions as as_mentions
    from .miniature import (
        make_miniature as make_miniature,
        make_miniature_tokenizer as make_miniature_tokenizer,
        miniature_vocabulary as miniature_vocabulary,
    )
    from .open_kb import open_knowledge_base as open_knowledge_base
    from .own.mentions import load_mentions as load_mentions
    from .own.urls import FetchLimits as FetchLimits
    from .registered import register_datasets as register_datasets
    from .releases import RELEASES as RELEASES, Release as Release
    from .schema import (
        ENTITY_FEATURES as ENTITY_FEATURES,
        IMAGE_STATUS as IMAGE_STATUS,
        MENTION_FEATURES as MENTION_FEATURES,
        SPLITS as SPLITS,
    )
    from .wikidata import build_from_wikidata as build_from_wikidata
    # isort: on
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
