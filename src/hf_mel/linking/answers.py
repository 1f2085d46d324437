"""From candidates with scores to answers: probabilities, the NIL decision, and what speaks for each candidate."""

from collections.abc import Sequence

import numpy as np

from ..encoding import Encodings
from ..models.encodings import ALONE
from .calibration import Calibration
from .candidates import CandidateFinder, Retrieved, matched_alias
from .index import EntityIndex, IndexedEntity
from .linked_mention import LinkedEntity, LinkedMention, MentionQuery


def answers(
    queries: Sequence[MentionQuery],
    found: Retrieved,
    finder: CandidateFinder,
    calibration: Calibration | None,
    top_k: int,
    *,
    threshold: float | None,
    score_threshold: float | None,
    alpha: float | None = None,
    restricted: bool = False,
    among: np.ndarray | None = None,
) -> list[LinkedMention]:
    """
    Answers to queries, in their order.

    Args:
        queries (`Sequence[MentionQuery]`), found ([`Retrieved`]):
            The mentions and their candidates.
        finder ([`CandidateFinder`]):
            What found them.
        calibration ([`Calibration`], *optional*):
            Makes probabilities of all candidates, of which the best `top_k` are returned.
        threshold (`float`, *optional*), score_threshold (`float`, *optional*):
            Those of [`Linker.link_queries`].
        alpha (`float`, *optional*):
            Error rate of the prediction set that is asked for: all its entities are returned, also past `top_k`.
        restricted (`bool`, *optional*, defaults to `False`):
            Whether only some entities may be candidates: prediction sets do not hold then.
        among (`np.ndarray` of shape `(num_mentions, L)`, *optional*):
            Then for a standardized calibration: scores of the candidates among all entities.
    """
    probabilities, nil, counts = None, np.full(len(queries), np.nan), np.full(len(queries), top_k)
    if calibration is not None:
        probabilities, nil = calibration.probabilities(found.scores, len(finder.index), among)
    sets = None if restricted else _p_values(found, calibration, len(finder.index))
    if sets is not None and alpha is not None:
        counts = np.maximum(counts, (sets[0] > alpha).sum(axis=1))
    width = int(counts.max())
    shown = found.rows[:, :width]
    columns = _columns(found, shown, finder)
    by_name = {"probability": probabilities, "p_value": None if sets is None else sets[0]}
    columns |= {name: each[:, :width] for name, each in by_name.items() if each is not None}
    entities = _entities(finder.index, shown)
    gates, sees = _gates(found), finder.model.sees_pictures
    linked = []
    for number, query in enumerate(queries):
        candidates = tuple(
            _candidate(query, entities[row], {name: _number(each[number, place]) for name, each in columns.items()})
            for place, row in enumerate(shown[number, : counts[number]].tolist())
            if row >= 0
        )
        is_nil = _is_nil(candidates, nil[number], threshold, score_threshold)
        chosen = candidates[0] if candidates and not is_nil else None
        linked.append(
            LinkedMention(
                mention=query.mention,
                text=query.text,
                start=query.place,
                end=query.end,
                id=query.id,
                entity_id=None if chosen is None else chosen.entity_id,
                name=None if chosen is None else chosen.name,
                is_nil=is_nil,
                probability=candidates[0].probability if candidates else None,
                nil_probability=_number(nil[number]),
                margin=_margin(found.scores[number]),
                has_image=sees and query.image is not None,
                image_weight=None if gates is None else float(gates[number]),
                candidates=candidates,
                calibration=None if calibration is None or np.isnan(nil[number]) else calibration.kind,
                nil_p_value=None if sets is None else float(sets[1][number]),
                unlisted_p_value=None if sets is None else _unlisted(calibration, sets[0][number], len(candidates)),
                alpha=alpha,
            )
        )
    return linked


def _entities(index: EntityIndex, rows: np.ndarray) -> dict[int, IndexedEntity]:
    present = np.unique(rows[rows >= 0])
    return dict(zip(present.tolist(), index.entities(present), strict=True))


def _p_values(found: Retrieved, calibration: Calibration | None, num_entities: int):
    if calibration is None or calibration.sets is None:
        return None
    return calibration.sets.p_values(found.scores, num_entities, calibration.num_candidates)


def _gates(found: Retrieved) -> np.ndarray | None:
    gates = found.encoded.get("image_weight")
    return None if gates is None else gates.float().cpu().numpy()


def _unlisted(calibration: Calibration, p_values: np.ndarray, shown: int) -> float:
    """The highest p-value of the entities that are not shown: the next candidate, or one that was not retrieved."""
    return float(max(calibration.sets.lowest_alpha, *p_values[shown : shown + 1].tolist(), 0.0))


def _columns(found: Retrieved, shown: np.ndarray, finder: CandidateFinder) -> dict[str, np.ndarray]:
    """Numbers of the candidates that are returned, NaN where there is none."""
    width = shown.shape[1]
    columns = {"score": found.scores[:, :width], "retrieval_score": found.retrieval_scores[:, :width]}
    if found.lexical_scores is not None:
        columns["lexical_score"] = found.lexical_scores[:, :width]
    if found.name_scores is not None:
        columns["name_score"] = found.name_scores[:, :width]
    present = np.unique(shown[shown >= 0])
    if not len(present):
        return columns
    stored = finder.index.encodings(present)
    position = np.searchsorted(present, np.where(shown < 0, present[0], shown))
    if "image_weight" in stored:
        columns["image_weight"] = stored["image_weight"].numpy()[position]
    if not finder.model.sees_pictures:
        columns["text_score"] = columns["retrieval_score"] - columns.get("name_score", np.float32(0))
    elif ALONE in stored:
        columns["text_score"] = finder.score_encodings(found.encoded, shown, "text")
        with_picture = stored[ALONE]["has_image"].numpy()[position]
        columns["image_score"] = _image_scores(found.encoded, shown, finder, with_picture)
    return columns


def _image_scores(
    encoded: Encodings, shown: np.ndarray, finder: CandidateFinder, with_picture: np.ndarray
) -> np.ndarray:
    """Scores of the pictures alone, NaN where one of the two sides has none."""
    both = encoded[ALONE]["has_image"].cpu().numpy()[:, None] & with_picture
    return np.where(both, finder.score_encodings(encoded, shown, "image"), np.nan)


def _candidate(query: MentionQuery, entity: IndexedEntity, values: dict[str, float | None]) -> LinkedEntity:
    return LinkedEntity(
        entity_id=entity.id,
        name=entity.name,
        text=entity.text,
        matched_alias=matched_alias(query.mention, [entity.name, *entity.aliases]),
        types=tuple(entity.types),
        **values,
    )


def _is_nil(
    candidates: Sequence[LinkedEntity], nil: float, threshold: float | None, score_threshold: float | None
) -> bool | None:
    """The decision; `None` if there is nothing to decide by. Without any candidate nothing can fit."""
    if not candidates:
        return True
    tests = []
    if threshold is not None and not np.isnan(nil):
        tests.append(1 - nil < threshold)
    if score_threshold is not None:
        tests.append(candidates[0].score < score_threshold)
    return bool(any(tests)) if tests else None


def _number(value: np.floating) -> float | None:
    """A plain number; `None` for NaN, which stands where there is none."""
    return None if np.isnan(value) else float(value)


def _margin(scores: np.ndarray) -> float | None:
    return float(scores[0] - scores[1]) if len(scores) > 1 and np.isfinite(scores[1]) else None
