"""Multimodal entity linking on the Hugging Face stack."""

import importlib
from typing import TYPE_CHECKING

from .linking.pipeline import register_pipeline
from .models import (
    BagOfTokensConfig,
    BagOfTokensModel,
    GHMFCConfig,
    GHMFCModel,
    M3ELConfig,
    M3ELModel,
    MatchingModel,
    MELOVConfig,
    MELOVModel,
    MELProcessor,
    MIMICConfig,
    MIMICModel,
    PGMELConfig,
    PGMELGenerator,
    PGMELGeneratorConfig,
    PGMELModel,
    PGMELProcessor,
    SingleStreamConfig,
    SingleStreamModel,
    TowerFeatures,
    UnitsModel,
    UnitsOutput,
    VectorModel,
    VectorOutput,
    register_fusion,
)
from .version import __version__


register_pipeline()

# Models and pipeline are imported here because transformers can only know them by registration; the rest loads on first
# use.
_LAZY = {
    "data": [
        "BENCHMARKS",
        "ENTITY_FEATURES",
        "MENTION_FEATURES",
        "FetchLimits",
        "KnowledgeBase",
        "MELData",
        "build_benchmark",
        "build_dataset",
        "load_benchmark",
        "load_data",
        "load_emojimel",
        "load_layout",
        "load_mentions",
        "make_miniature",
        "make_miniature_tokenizer",
        "register_datasets",
    ],
    "doctor": ["Diagnosis", "Finding", "diagnose"],
    "evaluation": ["rank_gold", "ranking_metrics"],
    "negatives": ["Candidates", "NegativeStrategy", "PoolBuilder", "get_strategy", "register_strategy"],
    "policy": ["register_baseline", "register_reward"],
    "linking": [
        "Calibration",
        "CrossEncoderReranker",
        "EntityIndex",
        "LinkedEntity",
        "LinkedMention",
        "Linker",
        "MentionQuery",
        "ModelReranker",
        "Span",
        "calibrate",
        "explain",
        "link_file",
    ],
    "training": [
        "FeatureCache",
        "MELTrainer",
        "MELTrainingArguments",
        "PGMELTrainer",
        "PGMELTrainingArguments",
    ],
}
_ROOM_OF = {name: room for room, names in _LAZY.items() for name in names}

if TYPE_CHECKING:
    from .data import (
        BENCHMARKS,
        ENTITY_FEATURES,
        MENTION_FEATURES,
        FetchLimits,
        KnowledgeBase,
        MELData,
        build_benchmark,
        build_dataset,
        load_benchmark,
        load_data,
        load_emojimel,
        load_layout,
        load_mentions,
        make_miniature,
        make_miniature_tokenizer,
        register_datasets,
    )
    from .doctor import Diagnosis, Finding, diagnose
    from .evaluation import rank_gold, ranking_metrics
    from .linking import (
        Calibration,
        CrossEncoderReranker,
        EntityIndex,
        LinkedEntity,
        LinkedMention,
        Linker,
        MentionQuery,
        ModelReranker,
        Span,
        calibrate,
        explain,
        link_file,
    )
    from .negatives import Candidates, NegativeStrategy, PoolBuilder, get_strategy, register_strategy
    from .policy import register_baseline, register_reward
    from .training import FeatureCache, MELTrainer, MELTrainingArguments, PGMELTrainer, PGMELTrainingArguments

__all__ = [
    "BagOfTokensConfig",
    "BagOfTokensModel",
    "GHMFCConfig",
    "GHMFCModel",
    "M3ELConfig",
    "M3ELModel",
    "MELOVConfig",
    "MELOVModel",
    "PGMELProcessor",
    "MIMICConfig",
    "MIMICModel",
    "MatchingModel",
    "PGMELConfig",
    "PGMELGenerator",
    "PGMELGeneratorConfig",
    "PGMELModel",
    "MELProcessor",
    "SingleStreamConfig",
    "SingleStreamModel",
    "TowerFeatures",
    "UnitsModel",
    "UnitsOutput",
    "VectorModel",
    "VectorOutput",
    "__version__",
    "register_fusion",
    *sorted(_ROOM_OF),
]


def __getattr__(name: str):
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value  # so that the next access skips this function
    return value


def __dir__():
    return __all__
