"""Recall of approximate search, measured with entities of the index when it is built."""

from dataclasses import replace
from typing import Any

import numpy as np
from transformers.utils import logging

from ...data import KnowledgeBase
from ...encoding import Encodings, to_device
from ...models import MatchingModel, MELProcessor
from .backends import get_backend
from .encoder import EncodeSettings, ShardEncoder
from .manifest import Manifest
from .recall import measure_recall, sample_rows
from .search import SearchableIndex


logger = logging.get_logger(__name__)

# Each is compared with all entities by a model whose score is no dot product: a million pairs take up to a minute.
MOST_MENTIONS, FEWEST_MENTIONS, PAIRS = 64, 8, 2_000_000
SEED = 0


def recall_of_build(
    model: MatchingModel,
    processor: MELProcessor,
    knowledge_base: KnowledgeBase,
    index: SearchableIndex,
    full: SearchableIndex | None = None,
) -> dict[str, dict[str, Any]]:
    """
    Measures `manifest.recall` and `manifest.proposals` of an index that was just built.

    Where the score is a dot product, entities stand for mentions as they are stored. Other models encode the two sides
    differently: there up to 64 entities, and fewer the more there are, but at least 8, are encoded once more, as if their name
    and text were a mention and its sentence.

    Args:
        model ([`MatchingModel`]), processor ([`MELProcessor`]), knowledge_base ([`KnowledgeBase`]):
            What the index was built with and from.
        index ([`EntityIndex`]):
            The index.
        full ([`EntityIndex`], *optional*):
            The same in `float32`, if `index` is not.

    Returns:
        `dict`: `recall`, if there is a `full` to compare with, and `proposals`, if proposals are by another product than the
        score: what [`measure_recall`] gives, and for the latter `num_proposals`.
    """
    manifest = index.manifest
    if manifest.vector_name is not None:
        return {} if full is None else {"recall": measure_recall(full, index)}
    own = sample_rows(index, SEED, min(MOST_MENTIONS, max(FEWEST_MENTIONS, PAIRS // len(index))))
    logger.info(f"{index.name}: measuring with {len(own)} entities what proposals find")
    common = {
        "queries": _as_mentions(model, processor, knowledge_base, manifest, own),
        "match": model.match,
        "own": own,
    }
    found = {} if full is None else {"recall": measure_recall(full, index, **common)}
    if manifest.proposal_name is not None:
        backend = get_backend("two_stage", index)
        measured = {"num_proposals": backend.proposals(1), **measure_recall(index, backend, **common)}
        found["proposals"] = {name: value for name, value in measured.items() if name != "bytes_per_entity"}
    return found


def _as_mentions(
    model: MatchingModel,
    processor: MELProcessor,
    knowledge_base: KnowledgeBase,
    manifest: Manifest,
    rows: np.ndarray,
) -> Encodings:
    settings = replace(EncodeSettings.of(manifest), modalities=False, thumbnail_size=0)
    encoder = ShardEncoder(model, processor, knowledge_base, settings, side="mention")
    return to_device(encoder(rows, lambda number: None), model.device)
