"""Fits the calibration of a linker on labelled mentions and measures it on others."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from datasets import Dataset
from transformers.utils import logging
from transformers.utils.logging import tqdm

from ..data import as_mentions, content_fingerprint, load_images
from ..data.problems import Problems, nearest
from ..evaluation import (
    CoverageCurve,
    ProbabilityModel,
    ReliabilityBins,
    choose_threshold,
    fit_probabilities,
    gold_columns,
    linking_measures,
)
from ..evaluation.probabilities import CRITERIA, MIN_NIL_SLOPE
from ..evaluation.reliability import NIL, NOT_RETRIEVED
from .calibration import Calibration
from .linked_mention import MentionQuery
from .linker import Linker


logger = logging.get_logger(__name__)

MIN_MENTIONS = 50
MIN_NIL = 20
"""A split with fewer NIL mentions than this gets more by hiding entities; with fewer even then nothing is fitted."""


@dataclass(frozen=True)
class LabelledScores:
    """
    Candidates' scores of labelled mentions, with the place of the gold: all that a calibration is fitted on.

    Args:
        scores (`np.ndarray` of shape `(num_observations, K)`):
            Scores, best first; `-inf` where there are fewer candidates. With several sets of hidden entities, each mention
            is observed with each.
        gold (`np.ndarray` of `int64` of shape `(num_observations,)`):
            Column of the gold candidate; -1 for NIL, -2 for a gold that was not retrieved.
    """

    scores: np.ndarray
    gold: np.ndarray


@dataclass(frozen=True)
class CalibrationReport:
    """
    Quality of a calibration on labelled mentions.

    Args:
        metrics (`dict`): Those of [`linking_measures`], with split, counts and what was hidden.
        curve ([`CoverageCurve`]): Accuracy if only the most confident answers are given.
        bins ([`ReliabilityBins`]): Probability and share of right answers.
    """

    metrics: dict[str, Any]
    curve: CoverageCurve
    bins: ReliabilityBins

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        bins = {name: [float(value) for value in getattr(self.bins, name)] for name in ("probability", "accuracy")}
        return {
            "metrics": self.metrics,
            "coverage_curve": self.curve.to_dict(),
            "reliability": {"count": self.bins.count.tolist(), **bins},
        }


# ---- Hidden entities ----


def hidden_sets(entity_ids: Collection[str], share: float, seed: int, places: Sequence[int]) -> list[frozenset[str]]:
    """
    Entities to be taken out of the knowledge base, so that their mentions become NIL.

    Each id has a number in [0, 1) which depends on it and on the seed alone. Set number `p` holds those whose number lies
    between `p * share` and `(p + 1) * share`: sets do not overlap, and an entity stays in its set whatever others there are.

    Args:
        entity_ids (`Collection[str]`):
            Ids, in any order.
        share (`float`):
            Share of them in each set, from 0 to 0.5.
        seed (`int`):
            Another seed gives other sets.
        places (`Sequence[int]`):
            Which sets, from 0; `(max(places) + 1) * share` may not exceed 1.

    Example:

    ```python
    >>> from hf_mel.linking.fit_calibration import hidden_sets

    >>> sets = hidden_sets([f"Q{number}" for number in range(1000)], share=0.2, seed=0, places=range(5))
    >>> sum(len(each) for each in sets), sets[0] & sets[1], 150 < len(sets[0]) < 250
    (1000, frozenset(), True)
    ```
    """
    if not 0 <= share <= 0.5:
        raise ValueError(f"nil_share must lie between 0 and 0.5, got {share}")
    if min(places, default=0) < 0 or (max(places, default=0) + 1) * share > 1 + 1e-9:
        raise ValueError(
            f"there are no {max(places) + 1} sets with {share:g} of the entities each; hide in fewer sets"
        )
    numbers = {each: _number(each, seed) for each in entity_ids}
    return [
        frozenset(each for each, number in numbers.items() if place * share <= number < (place + 1) * share)
        for place in places
    ]


def _number(entity_id: str, seed: int) -> float:
    """Uniform in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{entity_id}".encode()).digest()[:6], "big") / 2**48


# ---- Scores of labelled mentions ----


def labelled_scores(
    linker: Linker,
    mentions: Dataset,
    hidden: Sequence[Collection[str]] = ((),),
    batch_size: int = 256,
    progress: bool = False,
) -> list[LabelledScores]:
    """
    Retrieves candidates for labelled mentions, once for each set of hidden entities; each mention is encoded once.

    Args:
        linker ([`Linker`]):
            The linker; a calibration that it has is not used.
        mentions (`datasets.Dataset`):
            Has the columns of [`MENTION_FEATURES`]; `entity_id` is null for NIL.
        hidden (`Sequence[Collection[str]]`, *optional*, defaults to one empty set):
            Ids of entities that are taken out: they are no candidates, and their mentions are NIL.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions at a time.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        `list[LabelledScores]`, one for each set.

    Raises:
        `ValueError`: no mention, or gold ids that the index does not have; all are listed.
    """
    mentions = as_mentions(mentions, "mentions", needs_gold=True)
    gold_rows = _gold_rows(linker, mentions)
    allowed, golds = [], []
    for ids in hidden:
        rows = np.array([linker.index.row(each) for each in ids], dtype=np.int64)
        mask = linker.index.alive.copy()
        mask[rows] = False
        allowed.append(mask)
        golds.append(np.where(np.isin(gold_rows, rows), NIL, gold_rows))
    found: list[list[LabelledScores]] = [[] for _ in hidden]
    starts = range(0, len(mentions), batch_size)
    for begin in tqdm(starts, desc="Retrieving", disable=not progress):
        queries = _queries(linker, mentions, range(begin, min(begin + batch_size, len(mentions))))
        encoded = linker.encode_queries(queries)
        for place, mask in enumerate(allowed):
            retrieved = linker.retrieve(queries, mask, encoded=encoded)
            part = golds[place][begin : begin + len(queries)]
            found[place].append(LabelledScores(retrieved.scores, gold_columns(retrieved.rows, part)))
    return [_joined(parts) for parts in found]


def _joined(parts: Sequence[LabelledScores]) -> LabelledScores:
    """All observations in one; a mention with fewer candidates than others is filled with `-inf`."""
    width = max(part.scores.shape[1] for part in parts)
    scores = [
        np.pad(part.scores, ((0, 0), (0, width - part.scores.shape[1])), constant_values=-np.inf) for part in parts
    ]
    return LabelledScores(np.concatenate(scores), np.concatenate([part.gold for part in parts]))


def _queries(linker: Linker, mentions: Dataset, rows: Sequence[int]) -> list[MentionQuery]:
    columns = {name: mentions.select_columns([name])[list(rows)][name] for name in ("mention", "text", "start")}
    pictures = load_images(mentions, rows) if linker.model.sees_pictures else [None] * len(rows)
    return [MentionQuery(*each) for each in zip(*columns.values(), pictures, strict=True)]


def _gold_rows(linker: Linker, mentions: Dataset) -> np.ndarray:
    """Rows of the gold entities, -1 for NIL; a ValueError lists the ids that are no entity of the index."""
    problems = Problems(
        f"mentions for an index of {len(linker.index):,} entities",
        "Add these entities to the index, or say that the mentions are NIL: an `entity_id` of null.",
    )
    rows = []
    for mention, gold in zip(mentions["id"][:], mentions["entity_id"][:], strict=True):
        known = gold is None or gold in linker.index
        if not known:
            problems.add(f"mention {mention!r}", f"gold `entity_id` {gold!r} is not in the index")
        rows.append(linker.index.row(gold) if known and gold is not None else NIL)
    problems.raise_if_any()
    return np.array(rows, dtype=np.int64)


# ---- Fitting and measuring ----


def calibrate(
    linker: Linker,
    mentions: Dataset,
    *,
    nil_share: float = 0.2,
    num_hidden_sets: int = 4,
    seed: int = 0,
    criterion: str = "nil_f1",
    data: str = "",
    split: str = "validation",
    batch_size: int = 256,
    progress: bool = False,
) -> Calibration:
    """
    Fits probabilities and the NIL threshold of a linker on labelled mentions that it was not trained on.

    A split with fewer than 20 NIL mentions gets more: gold entities are taken out of the knowledge base, and their mentions
    become NIL. To use a small split well, this is done with several sets of entities that do not overlap, and every mention is
    observed with each of them. The first set that the seed gives is left for [`measure_calibration`].

    Args:
        linker ([`Linker`]):
            The linker: its set-up, model and index are what the calibration holds for.
        mentions (`datasets.Dataset`):
            At least 50 mentions with the columns of [`MENTION_FEATURES`]; `entity_id` is null for NIL.
        nil_share (`float`, *optional*, defaults to 0.2):
            Share of the gold entities that is taken out in each set, up to 0.5. Not used for a split with NIL mentions
            enough. With 0 and no NIL mention the probabilities hold where every entity is known, and nothing is NIL.
        num_hidden_sets (`int`, *optional*, defaults to 4):
            Sets, as far as there are so many beside the one that is left. A slow reranker runs once for each.
        seed (`int`, *optional*, defaults to 0):
            Decides which entities are taken out, with their ids alone: the order of the mentions does not matter.
        criterion (`str`, *optional*, defaults to `"nil_f1"`):
            What the threshold is chosen by; see [`choose_threshold`].
        data (`str`, *optional*), split (`str`, *optional*, defaults to `"validation"`):
            What the mentions are called in the calibration.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions at a time.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        [`Calibration`], with what was measured on the same mentions in `metrics["fitted"]`.

    Raises:
        `ValueError`: fewer than 50 mentions, fewer than 20 that are NIL, none whose gold was retrieved, gold ids that the
            index does not have.

    Example:

    ```py
    linker = Linker(model, processor, index)
    calibration = calibrate(linker, data.mentions["validation"], data="my data")
    calibration.save(checkpoint)  # where Linker.from_pretrained finds it
    ```
    """
    if criterion not in CRITERIA:
        raise ValueError(
            f"unknown criterion {criterion!r}{nearest(criterion, CRITERIA)}; known are {', '.join(CRITERIA)}"
        )
    mentions = as_mentions(mentions, "mentions", needs_gold=True)
    if len(mentions) < MIN_MENTIONS:
        raise ValueError(f"{len(mentions)} mentions are too few to calibrate with; at least {MIN_MENTIONS} are needed")
    hidden = _sets_to_hide(mentions, nil_share, seed, num_hidden_sets)
    observed = _joined(labelled_scores(linker, mentions, hidden, batch_size, progress))
    model, threshold = _fit(observed, criterion, without_nil=nil_share == 0)
    metrics, _, _ = linking_measures(*model.probabilities(observed.scores), observed.gold, threshold)
    fitted_on = {
        "data": data,
        "split": split,
        "data_fingerprint": content_fingerprint(mentions),
        "mentions": len(mentions),
        "observations": len(observed.gold),
        "nil": int((observed.gold == NIL).sum()),
        "not_retrieved": int((observed.gold == NOT_RETRIEVED).sum()),
        **_about_hidden(hidden, nil_share, seed),
        "entities": len(linker.index),
        "criterion": criterion,
        "date": date.today().isoformat(),
    }
    return Calibration(
        temperature=model.temperature,
        nil_score=model.nil_score,
        nil_slope=model.nil_slope,
        threshold=threshold,
        num_candidates=linker.setup["num_candidates"],
        setup=dict(linker.setup),
        fitted_on=fitted_on,
        metrics={
            "fitted": {"split": split} | metrics | {"mentions": len(mentions), "observations": len(observed.gold)}
        },
    )


def _fit(observed: LabelledScores, criterion: str, without_nil: bool) -> tuple[ProbabilityModel, float]:
    """The model and the threshold; `without_nil` allows that no mention is NIL."""
    num_nil = int((observed.gold == NIL).sum())
    without_nil = without_nil and num_nil == 0
    if num_nil < MIN_NIL and not without_nil:
        raise ValueError(
            f"only {num_nil} of {len(observed.gold):,} observations are NIL, and at least {MIN_NIL} are needed: give a higher "
            "`nil_share`, or more mentions"
        )
    model = fit_probabilities(observed.scores, observed.gold)
    if model.nil_slope <= MIN_NIL_SLOPE * (1 + 1e-6):
        logger.warning("NIL mentions do not score lower than others: the NIL decision is hardly better than chance.")
    if without_nil:
        logger.warning("no mention is NIL: the threshold is 0, and nothing will be.")
        return model, 0.0
    entity, _ = model.probabilities(observed.scores)
    return model, choose_threshold(entity[:, 0], observed.gold, criterion)


def measure_calibration(
    calibration: Calibration,
    linker: Linker,
    mentions: Dataset,
    *,
    nil_share: float = 0.2,
    seed: int = 0,
    split: str = "test",
    batch_size: int = 256,
    progress: bool = False,
) -> CalibrationReport:
    """
    Measures a calibration on labelled mentions that it was not fitted on.

    A split with fewer than 20 NIL mentions gets more, as in [`calibrate`]; no entity is taken out here and there, if the seed
    is the same.

    Args:
        calibration ([`Calibration`]):
            What is measured.
        linker ([`Linker`]):
            Of the same set-up.
        mentions (`datasets.Dataset`):
            Mentions with the columns of [`MENTION_FEATURES`].
        nil_share (`float`, *optional*, defaults to 0.2):
            Share of the gold entities that is taken out; 0 for none.
        seed (`int`, *optional*, defaults to 0), split (`str`, *optional*, defaults to `"test"`), batch_size, progress:
            As in [`calibrate`].

    Returns:
        [`CalibrationReport`].

    Raises:
        `ValueError`: the linker has another set-up, or there are gold ids that the index does not have.
    """
    calibration.check(linker.setup)
    mentions = as_mentions(mentions, "mentions", needs_gold=True)
    hidden = _sets_to_hide(mentions, nil_share, seed, 0)
    (observed,) = labelled_scores(linker, mentions, hidden, batch_size, progress)
    metrics, curve, bins = linking_measures(
        *calibration.probabilities(observed.scores), observed.gold, calibration.threshold
    )
    return CalibrationReport({"split": split} | metrics | _about_hidden(hidden, nil_share, seed), curve, bins)


def _sets_to_hide(mentions: Dataset, share: float, seed: int, count: int) -> list[frozenset[str]]:
    """Sets 1, 2, ... to fit with, or with a `count` of 0 set 0, to measure with; an empty one where nothing is hidden."""
    golds = mentions["entity_id"][:]
    num_nil = sum(gold is None for gold in golds)
    if not 0 <= share <= 0.5:
        raise ValueError(f"nil_share must lie between 0 and 0.5, got {share}")
    if num_nil >= MIN_NIL or share == 0:
        return [frozenset()]
    places = range(1, 1 + max(1, min(count, int(1 / share + 1e-9) - 1))) if count else [0]
    return hidden_sets(sorted({gold for gold in golds if gold is not None}), share, seed, places)


def _about_hidden(hidden: Sequence[frozenset[str]], share: float, seed: int) -> dict[str, Any]:
    number = sum(len(each) for each in hidden)
    sets = len(hidden) if number else 0
    return {"nil_share": share if sets else 0.0, "hidden_sets": sets, "hidden_entities": number, "seed": seed}
