"""Fits the calibration of a linker on labelled mentions and measures it on others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
from datasets import Dataset
from transformers.utils import logging

from ..data import as_mentions, content_fingerprint
from ..data.problems import counted, nearest
from ..evaluation import (
    CoverageCurve,
    ProbabilityModel,
    ReliabilityBins,
    choose_threshold,
    fit_probabilities,
    linking_measures,
    standard_scores,
)
from ..evaluation.probabilities import CRITERIA, MIN_NIL_SLOPE
from ..evaluation.reliability import NIL, NOT_RETRIEVED
from ..evaluation.shrinkage import ModelPrior, fit_towards_prior
from .calibration import Calibration
from .labelled_scores import LabelledScores, hidden_sets, joined, labelled_scores, uniform_number
from .linker import Linker
from .prediction_sets import ConformalScores, candidate_probabilities
from .prior import prior_calibration, prior_of, why_no_prior


logger = logging.get_logger(__name__)

MIN_MENTIONS = 50
MIN_NIL = 20
"""A split with fewer NIL mentions than this gets more by hiding entities; with fewer even then nothing is fitted."""


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


# ---- Fitting and measuring ----


def calibrate(
    linker: Linker,
    mentions: Dataset,
    *,
    nil_share: float = 0.2,
    num_hidden_sets: int = 4,
    seed: int = 0,
    criterion: str = "probability",
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

    With fewer than 50 mentions the fit is drawn towards the prior ([`prior_calibration`]): the fewer there are, the closer to
    it. With none at all it is the prior.

    Prediction sets are made with a second fit, on one half of the mentions, and its probabilities of the right answers of
    the other half.

    Args:
        linker ([`Linker`]):
            The linker: its set-up, model and index are what the calibration holds for.
        mentions (`datasets.Dataset`):
            Mentions with the columns of [`MENTION_FEATURES`]; `entity_id` is null for NIL. 50 and more are fitted alone.
        nil_share (`float`, *optional*, defaults to 0.2):
            Share of the gold entities that is taken out in each set, up to 0.5. Not used for a split with NIL mentions
            enough. With 0 and no NIL mention the probabilities hold where every entity is known, and nothing is NIL.
        num_hidden_sets (`int`, *optional*, defaults to 4):
            Sets, as far as there are so many beside the one that is left. A slow reranker runs once for each.
        seed (`int`, *optional*, defaults to 0):
            Decides which entities are taken out, with their ids alone, and which half a mention belongs to, with its id
            alone: the order of the mentions does not matter.
        criterion (`str`, *optional*, defaults to `"probability"`):
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
        `ValueError`: fewer than 50 mentions, where the prior does not hold for the linker or its index; of 50 and more, fewer than 20
            that are NIL or none whose gold was retrieved; gold ids that the index does not have.

    Example:

    ```py
    linker = Linker(model, processor, "products.index")
    calibration = calibrate(linker, data.mentions["validation"], data="my data")
    calibration.save("products.index")  # where every linker of this index finds it
    ```
    """
    if criterion not in CRITERIA:
        raise ValueError(
            f"unknown criterion {criterion!r}{nearest(criterion, CRITERIA)}; known are {', '.join(CRITERIA)}"
        )
    name_features = linker.model.config.name_features
    if not len(mentions):
        return prior_calibration(linker.setup, name_features)
    prior = prior_of(name_features)
    mentions = as_mentions(mentions, "mentions", needs_gold=True)
    reason = why_no_prior(linker.setup)
    if len(mentions) < MIN_MENTIONS and reason is not None:
        raise ValueError(
            f"{counted(len(mentions), 'mention')}, too few to calibrate with: {reason}; at least {MIN_MENTIONS} are needed"
        )
    hidden = _sets_to_hide(mentions, nil_share, seed, num_hidden_sets)
    by_set = labelled_scores(linker, mentions, hidden, batch_size, progress)
    observed = joined(by_set)
    few = len(mentions) < MIN_MENTIONS
    without_nil = _check_nil(observed, nil_share == 0, few)
    num_candidates = linker.setup["num_candidates"]
    model = _fit(observed, len(mentions), num_candidates, prior if few else None)
    if model.nil_slope <= MIN_NIL_SLOPE * (1 + 1e-6):
        logger.warning("NIL mentions do not score lower than others: the NIL decision is hardly better than chance.")
    found = candidate_probabilities(model, observed.scores, few, observed.num_entities, num_candidates)
    known = _known(found[1], len(mentions), len(linker.index))
    threshold = 0.0 if without_nil else choose_threshold(1 - found[1][known], observed.gold[known], criterion)
    metrics = {}
    if known.any():
        metrics, _, _ = linking_measures(found[0][known], found[1][known], observed.gold[known], threshold)
        metrics = {
            "fitted": {"split": split} | metrics | {"mentions": len(mentions), "observations": len(observed.gold)}
        }
    return Calibration(
        **asdict(model),
        threshold=threshold,
        num_candidates=num_candidates,
        setup=dict(linker.setup),
        fitted_on={"data": data, "split": split}
        | _counts(mentions, observed)
        | _about_hidden(hidden, nil_share, seed)
        | {"entities": len(linker.index), "criterion": criterion, "date": date.today().isoformat()},
        metrics=metrics,
        kind="shrunk" if few else "fitted",
        standardized=few,
        sets=_conformal_scores(by_set, mentions["id"][:], seed, num_candidates, prior if reason is None else None),
    )


def _known(nil: np.ndarray, num_mentions: int, num_entities: int) -> np.ndarray:
    """The observations that have probabilities. A ValueError if none of few mentions has: the index is too small."""
    known = ~np.isnan(nil)
    if num_mentions < MIN_MENTIONS and not known.any():
        raise ValueError(
            f"no probability can be fitted on {num_mentions} mentions: fewer than {MIN_MENTIONS} are drawn towards the prior, "
            f"which does not hold for as few as {num_entities} entities. Label at least {MIN_MENTIONS} mentions"
        )
    return known


def _counts(mentions: Dataset, observed: LabelledScores) -> dict[str, Any]:
    return {
        "data_fingerprint": content_fingerprint(mentions),
        "mentions": len(mentions),
        "observations": len(observed.gold),
        "nil": int((observed.gold == NIL).sum()),
        "not_retrieved": int((observed.gold == NOT_RETRIEVED).sum()),
    }


def _check_nil(observed: LabelledScores, without_nil: bool, few: bool) -> bool:
    """True if nothing is to be NIL: `without_nil` allows that no mention is. A ValueError for too few that are."""
    num_nil = int((observed.gold == NIL).sum())
    without_nil = without_nil and num_nil == 0
    if num_nil < MIN_NIL and not without_nil and not few:
        raise ValueError(
            f"only {num_nil} of {len(observed.gold):,} observations are NIL, and at least {MIN_NIL} are needed: give a higher "
            "`nil_share`, or more mentions"
        )
    if without_nil:
        logger.warning("no mention is NIL: the threshold is 0, and nothing will be.")
    return without_nil


def _fit(
    observed: LabelledScores, num_mentions: int, num_candidates: int, prior: ModelPrior | None
) -> ProbabilityModel:
    """Of few mentions for standard scores, towards the prior: a mention counts once, however often it was observed."""
    if prior is None:
        return fit_probabilities(observed.scores, observed.gold)
    scores = standard_scores(observed.scores, observed.num_entities, num_candidates)
    weights = np.full(len(observed.gold), num_mentions / len(observed.gold))
    return fit_towards_prior(scores, observed.gold, prior, weights)


def _conformal_scores(
    by_set: Sequence[LabelledScores], ids: Sequence[str], seed: int, num_candidates: int, prior: ModelPrior | None
) -> ConformalScores | None:
    """
    Fits on one half of the mentions, with all their observations, and keeps the probabilities of the right answers of the
    other half, each mention with one of the hidden sets: several observations of a mention would not be exchangeable.
    """
    numbers = np.array([uniform_number(each, f"{seed}:half") for each in ids])
    other = numbers >= 0.5
    fitted_on = joined([part.taken(np.flatnonzero(~other)) for part in by_set])
    few = int((~other).sum()) < MIN_MENTIONS
    if other.all() or not other.any() or (few and prior is None):
        logger.warning("there are no prediction sets: half of the mentions are too few to fit with")
        return None
    try:
        model = _fit(fitted_on, int((~other).sum()), num_candidates, prior if few else None)
    except ValueError as error:
        logger.warning(f"there are no prediction sets: of half of the mentions, {error}")
        return None
    whole = joined(by_set)
    place = (numbers[other] * 2 - 1) * len(by_set)  # uniform among the sets, and independent of the half
    held_out = whole.taken(place.astype(np.int64) * len(ids) + np.flatnonzero(other))
    entity, nil = candidate_probabilities(model, held_out.scores, few, held_out.num_entities, num_candidates)
    right = np.where(held_out.gold == NIL, nil, 0.0)
    found = np.flatnonzero(held_out.gold >= 0)
    right[found] = entity[found, held_out.gold[found]]
    truth = np.sort(np.where(np.isnan(right), 1.0, right))
    return ConformalScores(**asdict(model), standardized=few, truth=truth.tolist())


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
    entity, nil = calibration.probabilities(observed.scores, observed.num_entities)
    known = ~np.isnan(nil)
    metrics, curve, bins = linking_measures(entity[known], nil[known], observed.gold[known], calibration.threshold)
    metrics |= _about_sets(calibration, observed)
    return CalibrationReport({"split": split} | metrics | _about_hidden(hidden, nil_share, seed), curve, bins)


ALPHAS = (0.05, 0.1, 0.2)
"""Error rates at which [`measure_calibration`] measures prediction sets."""


def _about_sets(calibration: Calibration, observed: LabelledScores) -> dict[str, Any]:
    """For each error rate that can be guaranteed, how often sets hold the right answer, and how large they are."""
    sets = calibration.sets
    if sets is None:
        return {"prediction_sets": {}}
    found = {}
    entity, nil = sets.p_values(observed.scores, observed.num_entities, calibration.num_candidates)
    entity[np.isneginf(observed.scores)] = 0.0
    best = entity[:, 0] >= nil if entity.shape[1] else np.zeros(len(nil), dtype=bool)
    rows, right = np.arange(len(nil)), observed.gold
    for alpha in ALPHAS:
        if alpha < sets.lowest_alpha - 1e-9:
            continue
        chosen, with_nil = entity > alpha, (nil > alpha) | ~best
        chosen[best, 0] = True  # the most probable answer is always in the set
        covered = np.where(right == NIL, with_nil, (right >= 0) & chosen[rows, np.maximum(right, 0)])
        sizes = chosen.sum(axis=1) + with_nil
        found[str(alpha)] = {
            "coverage": float(covered.mean()),
            "mean_size": float(sizes.mean()),
            "median_size": float(np.median(sizes)),
            "single": float((sizes == 1).mean()),
        }
    return {"prediction_sets": found}


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
