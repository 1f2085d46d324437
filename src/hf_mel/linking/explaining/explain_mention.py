"""Computes the numbers of an explanation, by linking the mention again under other conditions."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...data import KnowledgeBase
from ...data.thumbnails import small_jpeg
from ..linked_mention import LinkedEntity, LinkedMention, MentionQuery
from ..linker import Linker
from ..queries import as_queries
from .explanation import Explanation
from .explanation_parts import ExplainedCandidate, Gold, WithoutPicture
from .occlusion import word_effects
from .reasons import Facts, reasons


_FIRST_SEARCH, _LAST_SEARCH = 1_024, 1_000_000


def explain(
    linker: Linker,
    query: MentionQuery,
    top_k: int = 5,
    knowledge_base: KnowledgeBase | None = None,
    *,
    gold: str | None = None,
    threshold: float | None = None,
    score_threshold: float | None = None,
    types: Sequence[str] | None = None,
    entity_ids: Sequence[str] | None = None,
    max_words: int = 48,
) -> Explanation:
    """
    Links a mention and says why it was linked so. The numbers are those of [`~Linker.link_queries`]; in addition the
    mention is linked without its picture, and without single words of its text.

    Args:
        linker ([`Linker`]):
            What links it.
        query ([`MentionQuery`]):
            The mention.
        top_k (`int`, *optional*, defaults to 5):
            Candidates to show.
        knowledge_base ([`KnowledgeBase`], *optional*):
            Where pictures of entities are taken from that the index holds no thumbnail of.
        gold (`str`, *optional*):
            Id of the entity that should win: its rank and scores are explained too.
        threshold, score_threshold, types, entity_ids (*optional*):
            Those of [`~Linker.link_queries`].
        max_words (`int`, *optional*, defaults to 48):
            Words that are left out, one at a time, those nearest to the mention. 0: none.

    Returns:
        [`Explanation`]

    Raises:
        `ValueError`: as in [`~Linker.link_queries`].
        `UnknownEntityError`: a `gold` that the index does not hold.

    Example:

    ```python
    >>> from hf_mel import Linker, PGMELConfig, PGMELModel, MELProcessor, make_miniature, make_miniature_tokenizer
    >>> from hf_mel.linking import MentionQuery, explain

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> linker = Linker(PGMELModel(PGMELConfig(text_config=tower)), processor, kb)
    >>> explanation = explain(linker, MentionQuery("painter", "A painter was here."), top_k=3)
    >>> len(explanation.candidates), explanation.words_tried
    (3, 3)
    >>> explanation.to_html().startswith("<!DOCTYPE html>")
    True
    ```
    """
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    (query,) = as_queries([query], "query")
    gold_row = None if gold is None else linker.index.row(gold)
    restriction = {"types": types, "entity_ids": entity_ids}
    options = restriction | {"threshold": threshold, "score_threshold": score_threshold}
    (all_linked,) = linker.link_queries([query], top_k=max(top_k, linker.setup["num_candidates"]), **options)
    linked = dataclasses.replace(all_linked, candidates=all_linked.candidates[:top_k])
    album = _Album(linker, knowledge_base)
    found_gold = None
    if gold is not None:
        found_gold = _find_gold(linker, query, all_linked, gold, gold_row, restriction, album)
    rival = _rival(all_linked, found_gold)
    words, words_tried = [], 0
    if rival is not None and max_words > 0:
        words, words_tried = word_effects(linker, query, all_linked.best.entity_id, rival, max_words, options)
    prior = linker.calibration is not None and linker.calibration.kind == "prior"
    if threshold is None and linker.calibration is not None and not (prior and score_threshold is not None):
        threshold = linker.calibration.threshold
    explanation = Explanation(
        linked=linked,
        candidates=tuple(
            ExplainedCandidate(rank, entity, album.of(entity.entity_id))
            for rank, entity in enumerate(linked.candidates, start=1)
        ),
        num_candidates=len(all_linked.candidates),
        threshold=threshold,
        score_threshold=score_threshold,
        words=tuple(words),
        words_tried=words_tried,
        rival_id=rival,
        without_picture=_without_picture(linker, query, all_linked, options),
        gold=found_gold,
        picture=None if query.image is None else small_jpeg(query.image),
    )
    facts = Facts(explanation, all_linked, album.aliases(all_linked), linker.reranker is not None)
    return dataclasses.replace(explanation, reasons=tuple(reasons(facts)))


class _Album:
    """Thumbnails and names of entities."""

    def __init__(self, linker: Linker, knowledge_base: KnowledgeBase | None):
        self.index = linker.index
        self.knowledge_base = knowledge_base

    def of(self, entity_id: str) -> bytes | None:
        (entity,) = self.index.entities([self.index.row(entity_id)])
        if entity.thumbnail is not None or self.knowledge_base is None or entity_id not in self.knowledge_base:
            return entity.thumbnail
        (image,) = self.knowledge_base.images([self.knowledge_base.row(entity_id)])
        return None if image is None else small_jpeg(image)

    def aliases(self, linked: LinkedMention) -> list[list[str]]:
        """Name and aliases of each candidate."""
        entities = self.index.entities([self.index.row(candidate.entity_id) for candidate in linked.candidates])
        return [[entity.name, *entity.aliases] for entity in entities]


def _rival(linked: LinkedMention, gold: Gold | None) -> str | None:
    """Returns the candidate with which the winner is compared word by word."""
    if linked.best is None:
        return None
    if gold is not None and gold.allowed and gold.candidate.entity.entity_id != linked.best.entity_id:
        return gold.candidate.entity.entity_id
    return linked.candidates[1].entity_id if len(linked.candidates) > 1 else None


def _without_picture(
    linker: Linker, query: MentionQuery, linked: LinkedMention, options: dict
) -> WithoutPicture | None:
    if not linked.has_image or linked.best is None:
        return None
    (answer,) = linker.link_queries(
        [dataclasses.replace(query, image=None)], top_k=linker.setup["num_candidates"], **options
    )
    scores = {candidate.entity_id: candidate.score for candidate in answer.candidates}
    return WithoutPicture(answer.entity_id, answer.name, answer.best, answer.margin, scores.get(linked.best.entity_id))


# ---- The gold entity ----


def _find_gold(
    linker: Linker, query: MentionQuery, linked: LinkedMention, gold: str, row: int, restriction: dict, album: _Album
) -> Gold:
    for rank, candidate in enumerate(linked.candidates, start=1):
        if candidate.entity_id == gold:
            behind = linked.best.score - candidate.score
            shown = ExplainedCandidate(rank, candidate, album.of(gold))
            return Gold(shown, True, True, len(linked.candidates), behind)
    allowed = linker.index.alive
    if any(value is not None for value in restriction.values()):
        allowed = linker.index.rows_of(types=restriction["types"], ids=restriction["entity_ids"])
    entity, behind, rank = _scored_alone(linker, query, gold, row), None, None
    if allowed[row]:
        rank = _rank_by_model(linker, query, row, allowed)
        if linked.best is not None:
            behind = linked.best.score - entity.score
    shown = ExplainedCandidate(rank, entity, album.of(gold))
    return Gold(shown, False, bool(allowed[row]), int(allowed.sum()), behind)


def _scored_alone(linker: Linker, query: MentionQuery, entity_id: str, row: int) -> LinkedEntity:
    """The entity with its scores. A probability among one candidate would say nothing."""
    (answer,) = linker.link_queries([query], top_k=1, entity_ids=[entity_id])
    if answer.best is not None:
        return dataclasses.replace(answer.best, probability=None)
    # It was looked up by its name, and has none that resembles the mention.
    (entity,) = linker.index.entities([row])
    only = np.zeros(linker.index.num_rows, dtype=bool)
    only[row] = True
    found = linker.finder.find_exact([query], linker.encode_queries([query]), 1, only)
    score = float(found.scores[0, 0])
    return LinkedEntity(entity.id, entity.name, entity.text, score, retrieval_score=score, types=tuple(entity.types))


def _rank_by_model(linker: Linker, query: MentionQuery, row: int, allowed: np.ndarray) -> int | None:
    """Its place among all allowed entities by the model's score, `None` if it is beyond the first million."""
    encoded, entities = linker.encode_queries([query]), int(allowed.sum())
    k = min(_FIRST_SEARCH, entities)
    while True:
        places = np.flatnonzero(linker.finder.find_exact([query], encoded, k, allowed).rows[0] == row)
        if len(places):
            return int(places[0]) + 1
        if k >= min(entities, _LAST_SEARCH):
            return None
        k = min(k * 16, entities, _LAST_SEARCH)
