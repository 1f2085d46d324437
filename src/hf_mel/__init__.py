"""Multimodal entity linking on the Hugging Face stack."""

from typing import TYPE_CHECKING

from .compat.registration import register_lazily
from .lazy import lazy_exports
from .version import __version__ as __version__


# Neither torch nor transformers is imported here, and transformers still knows the models and the pipeline.
register_lazily()

_EXPORTS = {
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
    "models": [
        "BagOfTokensConfig",
        "BagOfTokensModel",
        "GHMFCConfig",
        "GHMFCModel",
        "M3ELConfig",
        "M3ELModel",
        "MatchingModel",
        "MELOVConfig",
        "MELOVModel",
        "MELProcessor",
        "MIMICConfig",
        "MIMICModel",
        "PGMELConfig",
        "PGMELGenerator",
        "PGMELGeneratorConfig",
        "PGMELModel",
        "PGMELProcessor",
        "SingleStreamConfig",
        "SingleStreamModel",
        "TowerFeatures",
        "UnitsModel",
        "UnitsOutput",
        "VectorModel",
        "VectorOutput",
        "register_fusion",
    ],
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

if TYPE_CHECKING:  # `as` exports a name from a typed package
    # isort: off
    from .data import (
        BENCHMARKS as BENCHMARKS,
        ENTITY_FEATURES as ENTITY_FEATURES,
        MENTION_FEATURES as MENTION_FEATURES,
        FetchLimits as FetchLimits,
        KnowledgeBase as KnowledgeBase,
        MELData as MELData,
        build_benchmark as build_benchmark,
        build_dataset as build_dataset,
        load_benchmark as load_benchmark,
        load_data as load_data,
        load_emojimel as load_emojimel,
        load_layout as load_layout,
        load_mentions as load_mentions,
        make_miniature as make_miniature,
        make_miniature_tokenizer as make_miniature_tokenizer,
        register_datasets as register_datasets,
    )
    from .doctor import Diagnosis as Diagnosis, Finding as Finding, diagnose as diagnose
    from .evaluation import rank_gold as rank_gold, ranking_metrics as ranking_metrics
    from .linking import (
        Calibration as Calibration,
        CrossEncoderReranker as CrossEncoderReranker,
        EntityIndex as EntityIndex,
        LinkedEntity as LinkedEntity,
        LinkedMention as LinkedMention,
        Linker as Linker,
        MentionQuery as MentionQuery,
        ModelReranker as ModelReranker,
        Span as Span,
        calibrate as calibrate,
        explain as explain,
        link_file as link_file,
    )
    from .models import (
        BagOfTokensConfig as BagOfTokensConfig,
        BagOfTokensModel as BagOfTokensModel,
        GHMFCConfig as GHMFCConfig,
        GHMFCModel as GHMFCModel,
        M3ELConfig as M3ELConfig,
        M3ELModel as M3ELModel,
        MatchingModel as MatchingModel,
        MELOVConfig as MELOVConfig,
        MELOVModel as MELOVModel,
        MELProcessor as MELProcessor,
        MIMICConfig as MIMICConfig,
        MIMICModel as MIMICModel,
        PGMELConfig as PGMELConfig,
        PGMELGenerator as PGMELGenerator,
        PGMELGeneratorConfig as PGMELGeneratorConfig,
        PGMELModel as PGMELModel,
        PGMELProcessor as PGMELProcessor,
        SingleStreamConfig as SingleStreamConfig,
        SingleStreamModel as SingleStreamModel,
        TowerFeatures as TowerFeatures,
        UnitsModel as UnitsModel,
        UnitsOutput as UnitsOutput,
        VectorModel as VectorModel,
        VectorOutput as VectorOutput,
        register_fusion as register_fusion,
    )
    from .negatives import (
        Candidates as Candidates,
        NegativeStrategy as NegativeStrategy,
        PoolBuilder as PoolBuilder,
        get_strategy as get_strategy,
        register_strategy as register_strategy,
    )
    from .policy import register_baseline as register_baseline, register_reward as register_reward
    from .training import (
        FeatureCache as FeatureCache,
        MELTrainer as MELTrainer,
        MELTrainingArguments as MELTrainingArguments,
        PGMELTrainer as PGMELTrainer,
        PGMELTrainingArguments as PGMELTrainingArguments,
    )
    # isort: on
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
    __all__ += ["__version__"]
