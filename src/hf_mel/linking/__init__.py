"""Linking: mentions in, entities out."""

import importlib
from typing import TYPE_CHECKING


# Loaded on first use: importing the package registers the pipeline, which must not load all of this.
_LAZY = {
    "batch": ["link_file"],
    "calibration": ["Calibration"],
    "explaining": ["Explanation", "explain"],
    "fit_calibration": ["calibrate"],
    "index": ["EntityIndex", "IndexedEntity", "get_backend"],
    "linked_mention": ["LinkedEntity", "LinkedMention", "MentionQuery"],
    "linker": ["Linker"],
    "prediction_sets": ["ConformalScores"],
    "prior": ["prior_calibration"],
    "rerank": ["CrossEncoderReranker", "ModelReranker", "Reranker"],
    "spans": ["Span", "find_mentions"],
}
_PLACE_OF = {name: place for place, names in _LAZY.items() for name in names}

if TYPE_CHECKING:
    from .batch import link_file
    from .calibration import Calibration
    from .explaining import Explanation, explain
    from .fit_calibration import calibrate
    from .index import EntityIndex, IndexedEntity, get_backend
    from .linked_mention import LinkedEntity, LinkedMention, MentionQuery
    from .linker import Linker
    from .prediction_sets import ConformalScores
    from .prior import prior_calibration
    from .rerank import CrossEncoderReranker, ModelReranker, Reranker
    from .spans import Span, find_mentions

__all__ = sorted(_PLACE_OF)


def __getattr__(name: str):
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PLACE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
