"""Linking: mentions in, entities out."""

from typing import TYPE_CHECKING

from ..lazy import lazy_exports


_EXPORTS = {
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

if TYPE_CHECKING:  # `as` exports a name from a typed package
    # isort: off
    from .batch import link_file as link_file
    from .calibration import Calibration as Calibration
    from .explaining import Explanation as Explanation, explain as explain
    from .fit_calibration import calibrate as calibrate
    from .index import EntityIndex as EntityIndex, IndexedEntity as IndexedEntity, get_backend as get_backend
    from .linked_mention import (
        LinkedEntity as LinkedEntity,
        LinkedMention as LinkedMention,
        MentionQuery as MentionQuery,
    )
    from .linker import Linker as Linker
    from .prediction_sets import ConformalScores as ConformalScores
    from .prior import prior_calibration as prior_calibration
    from .rerank import (
        CrossEncoderReranker as CrossEncoderReranker,
        ModelReranker as ModelReranker,
        Reranker as Reranker,
    )
    from .spans import Span as Span, find_mentions as find_mentions
    # isort: on
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
