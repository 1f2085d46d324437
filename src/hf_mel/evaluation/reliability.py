"""Reliability of probabilities and NIL decisions: calibration error, coverage and accuracy, on plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


NIL = -1
NOT_RETRIEVED = -2
"""Column of a gold candidate that does not exist, or is not among the candidates."""

NUM_BINS = 15
# The smallest positive number with all its digits: a probability that was rounded to 0 has a finite logarithm.
_TINY = np.finfo(np.float64).tiny


def gold_columns(rows: np.ndarray, gold_rows: np.ndarray) -> np.ndarray:
    """
    Returns the column of each mention's gold entity among its candidates.

    Args:
        rows (array of `int` of shape `(num_mentions, num_candidates)`):
            Rows of the candidates; -1 where there are fewer.
        gold_rows (array of `int` of shape `(num_mentions,)`):
            Row of the gold entity; -1 for NIL.

    Returns:
        `np.ndarray` of `int64` of shape `(num_mentions,)`: its column, -1 for NIL, -2 where it was not retrieved.

    Example:

    ```python
    >>> from hf_mel.evaluation import gold_columns

    >>> gold_columns([[7, 3], [4, -1], [5, 6]], [3, -1, 9])
    array([ 1, -1, -2])
    ```
    """
    rows, gold_rows = np.asarray(rows), np.asarray(gold_rows)
    if rows.ndim != 2 or gold_rows.shape != rows.shape[:1]:
        raise ValueError(
            "rows must be (num_mentions, num_candidates) and gold_rows (num_mentions,), "
            f"got {rows.shape} and {gold_rows.shape}"
        )
    hits = (rows == gold_rows[:, None]) & (rows >= 0)
    found = np.where(hits.any(axis=1), hits.argmax(axis=1) if rows.shape[1] else 0, NOT_RETRIEVED)
    return np.where(gold_rows == NIL, NIL, found).astype(np.int64)


# ---- Calibration error ----


@dataclass(frozen=True)
class ReliabilityBins:
    """
    Mentions in bins of similar probability, lowest first; a bin without mentions is left out.

    Args:
        count (`np.ndarray` of `int` of shape `(num_bins,)`): Mentions.
        probability (`np.ndarray` of `float` of shape `(num_bins,)`): Their mean probability.
        accuracy (`np.ndarray` of `float` of shape `(num_bins,)`): Share of them that is right.
        variance (`np.ndarray` of `float` of shape `(num_bins,)`): Mean of `p * (1 - p)` over their probabilities.
    """

    count: np.ndarray
    probability: np.ndarray
    accuracy: np.ndarray
    variance: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two over mentions, in [0, 1]."""
        return float(self.count @ np.abs(self.probability - self.accuracy) / self.count.sum())

    @property
    def noise(self) -> float:
        """
        About the error that perfectly calibrated probabilities would show by chance with these mentions: what the error has
        to be read against. (The mean absolute deviation of a normal distribution with the variance of each bin.)
        """
        return float(np.sqrt(2 / np.pi * self.variance * self.count).sum() / self.count.sum())


def reliability_bins(
    probabilities: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, equal_mass: bool = False
) -> ReliabilityBins:
    """
    Computes the bins of a reliability diagram.

    Args:
        probabilities (array of `float` of shape `(num_mentions,)`):
            Probability of the answer given.
        correct (array of `bool` of shape `(num_mentions,)`):
            Whether it is right.
        num_bins (`int`, *optional*, defaults to 15):
            Bins.
        equal_mass (`bool`, *optional*, defaults to `False`):
            Bins with about the same number of mentions instead of the same width. Equal probabilities share a bin, so
            that the order of the mentions does not matter.

    Returns:
        [`ReliabilityBins`].

    Raises:
        ValueError: no mention, a probability outside [0, 1], `correct` of another shape.

    Example:

    ```python
    >>> from hf_mel.evaluation import reliability_bins

    >>> bins = reliability_bins([0.1, 0.2, 0.9, 0.7], [False, True, True, True], num_bins=2)
    >>> bins.count, bins.probability, bins.accuracy, round(bins.error, 3)
    (array([2, 2]), array([0.15, 0.8 ]), array([0.5, 1. ]), 0.275)
    ```
    """
    probabilities, correct = check_probabilities(probabilities, correct)
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    inner = np.arange(1, num_bins) / num_bins
    if equal_mass:
        # An edge is a probability that occurs, and belongs to the bin below it.
        inner = np.sort(probabilities)[np.ceil(inner * len(probabilities)).astype(int) - 1]
    which = np.searchsorted(inner, probabilities, side="left")
    count = np.bincount(which, minlength=num_bins)
    used = count > 0
    values = (probabilities, correct, probabilities * (1 - probabilities))
    means = (np.bincount(which, weights=each, minlength=num_bins)[used] / count[used] for each in values)
    return ReliabilityBins(count[used], *means)


def calibration_error(
    probabilities: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, equal_mass: bool = False
) -> float:
    """
    Expected calibration error (ECE): how far probabilities are from the share of right answers, over bins.

    Arguments, errors as in [`reliability_bins`].

    Example:

    ```python
    >>> from hf_mel.evaluation import calibration_error

    >>> calibration_error([0.75] * 4, [True, True, True, False]), calibration_error([1.0, 1.0], [True, False])
    (0.0, 0.5)
    ```
    """
    return reliability_bins(probabilities, correct, num_bins, equal_mass).error


# ---- Abstaining ----


@dataclass(frozen=True)
class CoverageCurve:
    """
    Accuracy of the answers if only the most confident are given.

    Args:
        coverage (`np.ndarray` of `float` of shape `(num_mentions,)`): Share of mentions that are answered, ascending to 1.
        accuracy (`np.ndarray` of `float` of shape `(num_mentions,)`): Share of these answers that is right.
        confidence (`np.ndarray` of `float` of shape `(num_mentions,)`): Confidence of the last answer given.
    """

    coverage: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    @property
    def area(self) -> float:
        """Mean accuracy over all coverages, in [0, 1]."""
        return float(self.accuracy.mean())

    def accuracy_at(self, coverage: float) -> float:
        """Accuracy of the most confident answers, as few as cover that share of the mentions, but at least one."""
        return float(self.accuracy[self._place(coverage)])

    def to_dict(self, num_points: int = 100) -> dict[str, list[float]]:
        """Plain lists for JSON, at `num_points` even coverages."""
        places = [self._place(point / num_points) for point in range(1, num_points + 1)]
        names = ("coverage", "accuracy", "confidence")
        return {name: [round(float(value), 6) for value in getattr(self, name)[places]] for name in names}

    def _place(self, coverage: float) -> int:
        if not 0 <= coverage <= 1:
            raise ValueError(f"coverage is a share from 0 to 1, got {coverage}")
        number = len(self.coverage)
        return max(int(np.ceil(coverage * number - 1e-9)), 1) - 1


def coverage_curve(confidence: np.ndarray, correct: np.ndarray) -> CoverageCurve:
    """
    Accuracy against coverage.

    Args:
        confidence (array of `float` of shape `(num_mentions,)`):
            Probability of the answer given.
        correct (array of `bool` of shape `(num_mentions,)`):
            Whether it is right. Of answers with equal confidence each counts with the mean of them, so that the order of
            the mentions does not matter.

    Returns:
        [`CoverageCurve`].

    Example:

    ```python
    >>> from hf_mel.evaluation import coverage_curve

    >>> curve = coverage_curve([0.2, 0.9, 0.6, 0.6], [False, True, True, False])
    >>> curve.accuracy, curve.accuracy_at(0.5)
    (array([1.        , 0.75      , 0.66666667, 0.5       ]), 0.75)
    ```
    """
    confidence, correct = check_probabilities(confidence, correct)
    levels, which, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=correct) / counts
    number = np.arange(1, len(confidence) + 1)
    accuracy = np.cumsum(np.repeat(means, counts)) / number
    return CoverageCurve(number / len(confidence), np.minimum(accuracy, 1.0), np.repeat(-levels, counts))


# ---- NIL ----


def nil_metrics(predicted: np.ndarray, nil: np.ndarray) -> dict[str, float | int | None]:
    """
    Precision, recall and F1 of the NIL decision.

    Args:
        predicted (array of `bool` of shape `(num_mentions,)`):
            Whether the answer is NIL.
        nil (array of `bool` of shape `(num_mentions,)`):
            Whether that is right.

    Returns:
        `dict`: `nil`, `nil_predicted` (counts), `nil_precision`, `nil_recall` and `nil_f1`, `None` where one does not
        exist: no mention was answered NIL, none is NIL, neither.

    Example:

    ```python
    >>> from hf_mel.evaluation import nil_metrics

    >>> nil_metrics([True, True, False], [True, False, False])
    {'nil': 1, 'nil_predicted': 2, 'nil_precision': 0.5, 'nil_recall': 1.0, 'nil_f1': 0.6666666666666666}
    ```
    """
    predicted, nil = np.asarray(predicted, dtype=bool), np.asarray(nil, dtype=bool)
    right, num_predicted, num_nil = int((predicted & nil).sum()), int(predicted.sum()), int(nil.sum())
    return {
        "nil": num_nil,
        "nil_predicted": num_predicted,
        "nil_precision": right / num_predicted if num_predicted else None,
        "nil_recall": right / num_nil if num_nil else None,
        "nil_f1": 2 * right / (num_predicted + num_nil) if num_predicted + num_nil else None,
    }


# ---- All of it ----

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def linking_measures(
    entity: np.ndarray, nil: np.ndarray, gold: np.ndarray, threshold: float
) -> tuple[dict, CoverageCurve, ReliabilityBins]:
    """
    Measures the quality of probabilities and a threshold on labelled mentions.

    The answer to a mention is NIL if the probability that one of its candidates is right, 1 less that of NIL, is below the
    threshold, else the best candidate; its confidence is the probability of NIL, or of the candidate. Where the gold was not retrieved, both answers are wrong.

    Args:
        entity (array of `float` of shape `(num_mentions, num_candidates)`):
            Probabilities of the candidates, best first.
        nil (array of `float` of shape `(num_mentions,)`):
            Probability of NIL.
        gold (array of `int` of shape `(num_mentions,)`):
            Column of the gold candidate; -1 for NIL, -2 for a gold that was not retrieved.
        threshold (`float`):
            Decides NIL.

    Returns:
        `tuple` of a `dict`, the [`CoverageCurve`] and the [`ReliabilityBins`] of the answers. The `dict` has the counts
        `mentions` and `not_retrieved`, those and the shares of [`nil_metrics`]; `accuracy`; `ece` of the answers with 15
        bins of equal width, `ece_equal_mass`, and `ece_noise`, what chance alone would give; the same three as
        `best_ece`, ... of the best candidate, whatever the answer; `brier`, the mean squared difference of the confidence
        and 1 or 0; `nll`, minus the mean logarithm of the probability of what is true (none of the candidates, where the
        gold was not retrieved); `coverage_area`; and `accuracy_at` coverages from 0.5 to 1.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import linking_measures

    >>> entity, nil = np.array([[0.8, 0.1], [0.3, 0.2]]), np.array([0.1, 0.5])
    >>> metrics, curve, bins = linking_measures(entity, nil, np.array([0, -1]), threshold=0.6)
    >>> metrics["accuracy"], metrics["nil_f1"], round(metrics["ece"], 2), round(metrics["brier"], 3)
    (1.0, 1.0, 0.35, 0.145)
    ```
    """
    entity, nil, gold = np.asarray(entity, dtype=np.float64), np.asarray(nil, dtype=np.float64), np.asarray(gold)
    best = entity.max(axis=1, initial=0.0)
    predicted = 1 - nil < threshold
    right = np.where(predicted, gold == NIL, gold == 0)
    confidence = np.where(predicted, nil, best)
    curve = coverage_curve(confidence, right)
    bins = reliability_bins(confidence, right)
    truth, found = nil.copy(), np.flatnonzero(gold >= 0)
    truth[found] = entity[found, gold[found]]
    best_bins = reliability_bins(best, gold == 0)
    metrics = {
        "mentions": len(gold),
        "not_retrieved": int((gold == NOT_RETRIEVED).sum()),
        **nil_metrics(predicted, gold == NIL),
        "accuracy": float(right.mean()),
        "ece": bins.error,
        "ece_equal_mass": calibration_error(confidence, right, equal_mass=True),
        "ece_noise": bins.noise,
        "best_ece": best_bins.error,
        "best_ece_equal_mass": calibration_error(best, gold == 0, equal_mass=True),
        "best_ece_noise": best_bins.noise,
        "brier": float(np.mean((confidence - right) ** 2)),
        "nll": float(-np.log(np.maximum(truth, _TINY)).mean()),
        "coverage_area": curve.area,
        "accuracy_at": {str(coverage): curve.accuracy_at(coverage) for coverage in COVERAGES},
    }
    return metrics, curve, bins


def check_probabilities(
    probabilities: np.ndarray | Sequence[float], correct: np.ndarray | Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, float64 and bool; a ValueError says what is wrong with them."""
    probabilities, correct = np.asarray(probabilities, dtype=np.float64), np.asarray(correct)
    if probabilities.ndim != 1 or not len(probabilities):
        raise ValueError(f"needs the probability of at least one mention, in one dimension; got {probabilities.shape}")
    if correct.shape != probabilities.shape or correct.dtype != bool:
        raise ValueError(
            f"correct must be a boolean for each of {len(probabilities)} mentions, got {correct.dtype} {correct.shape}"
        )
    wrong = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
    if len(wrong):
        raise ValueError(f"the probability at position {wrong[0]} is {probabilities[wrong[0]]}, which is none")
    return probabilities, correct
