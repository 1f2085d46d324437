"""Fits probabilities of candidates and the NIL threshold to labelled scores, on plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit

from .reliability import NIL, NOT_RETRIEVED


CRITERIA = ("probability", "nil_f1", "nil_balanced", "accuracy")
"""Criteria by which a threshold may be chosen."""

# The least weight of the evidence: NIL never becomes more probable because the candidates score higher.
MIN_NIL_SLOPE = 0.01


@dataclass(frozen=True)
class ProbabilityModel:
    """
    Turns the scores of a mention's candidates into probabilities.

    Among the candidates it is a softmax of `score / temperature`. That none of them is right has the log odds
    `nil_slope * (nil_score - evidence) / temperature - nil_margin * log(share)`, where the evidence is a smooth maximum of
    the scores, `temperature * logsumexp(scores / temperature)`, and the share is that of the best candidate in the softmax.
    With `nil_slope=1` and `nil_margin=0` this is one softmax over the candidates and a NIL candidate that scores
    `nil_score`; a lower slope is less sure of it, and with a margin NIL is more probable where several candidates score
    alike. A higher score of the best candidate always makes NIL less probable, and the order of the candidates never changes.

    Args:
        temperature (`float`):
            In the unit of the scores, above 0.
        nil_score (`float`):
            The evidence at which NIL is as probable as all candidates together.
        nil_slope (`float`, *optional*, defaults to 1.0):
            How fast NIL becomes less probable as the evidence rises, above 0.
        nil_margin (`float`, *optional*, defaults to 0.0):
            How fast NIL becomes less probable as the best candidate leaves the others behind, at least 0.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import ProbabilityModel

    >>> entity, nil = ProbabilityModel(temperature=0.5, nil_score=0.0).probabilities(np.log([[2.0, 1.0]]) / 2)
    >>> entity.round(3), nil.round(3)
    (array([[0.5 , 0.25]]), array([0.25]))
    ```
    """

    temperature: float
    nil_score: float
    nil_slope: float = 1.0
    nil_margin: float = 0.0

    def __post_init__(self):
        for name in ("temperature", "nil_slope"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be a number above 0, got {getattr(self, name)}")
        if not np.isfinite(self.nil_score):
            raise ValueError(f"nil_score must be a finite number, got {self.nil_score}")
        if not 0 <= self.nil_margin < np.inf:
            raise ValueError(f"nil_margin must be a number of at least 0, got {self.nil_margin}")

    def probabilities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Probabilities of the candidates and of NIL, which sum to 1 for each mention.

        Args:
            scores (array of `float` of shape `(num_mentions, num_candidates)`):
                Scores; `-inf` where there are fewer candidates. A mention without any is NIL with probability 1.

        Returns:
            `tuple[np.ndarray, np.ndarray]` of float64: `(num_mentions, num_candidates)` and `(num_mentions,)`.

        Raises:
            ValueError: a score that is NaN or `inf`.
        """
        best, surplus, shares = _softmax(check_scores(scores), self.temperature)
        with np.errstate(over="ignore"):  # a mention far from NIL has a probability of 0 or 1
            nil_logit = self.nil_slope * ((self.nil_score - best) / self.temperature - surplus)
        nil_logit += self.nil_margin * np.where(np.isfinite(best), surplus, 0.0)  # minus the log of the best share
        return expit(-nil_logit)[:, None] * shares, expit(nil_logit)


def fit_probabilities(scores: np.ndarray, gold: np.ndarray) -> ProbabilityModel:
    """
    Maximum likelihood, in two convex steps: the temperature on the mentions whose gold is a candidate, then NIL score, slope
    and margin on all (logistic regression on the evidence and the share of the best candidate).

    A gold that was not retrieved counts as NIL here: what is fitted is the probability that *none of the candidates* is
    right, so that a candidate's probability is that of being the gold among all mentions, not only among those whose gold
    was found. To keep the answer finite where scores separate the classes, one mention of unknown gold is added to the
    sample: its weight is one in the number of mentions.

    Args:
        scores (array of `float` of shape `(num_mentions, num_candidates)`):
            Scores; `-inf` where there are fewer candidates.
        gold (array of `int` of shape `(num_mentions,)`):
            Column of the gold candidate; -1 for NIL, -2 for a gold that was not retrieved.

    Returns:
        [`ProbabilityModel`].

    Raises:
        ValueError: only mentions with, or only mentions without, a gold among the candidates; scores that are all equal;
            scores that are no higher for gold candidates than for others.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import fit_probabilities

    >>> rng = np.random.default_rng(0)
    >>> scores = np.sort(rng.normal(size=(2000, 5)))[:, ::-1]
    >>> odds = np.exp(np.column_stack([scores / 0.5, np.full(2000, 2.0)]))
    >>> gold = (rng.random((2000, 1)) > (odds / odds.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    >>> model = fit_probabilities(scores, np.where(gold == 5, -1, gold))
    >>> round(model.temperature, 1), round(model.nil_score, 1), round(model.nil_slope, 1)
    (0.5, 1.0, 0.9)
    ```
    """
    scores = check_scores(scores)
    gold = check_gold(gold, scores)
    found = gold >= 0
    if not found.any() or found.all():
        what = "none" if not found.any() else "each"
        raise ValueError(
            f"{what} of the {len(gold):,} mentions has its gold among its candidates: there is nothing to tell NIL by"
        )
    finite = scores[np.isfinite(scores)]
    unit, centre = finite.std(), finite.mean()
    if not unit > 1e-9 * np.abs(finite).max():
        raise ValueError("all scores are equal: they do not tell which candidate is right")
    standard = (scores - centre) / unit  # so that the solvers meet numbers around 1, whatever the model's unit
    inverse = _fit_inverse_temperature(standard[found], gold[found])
    best, surplus, _ = _softmax(standard, 1 / inverse)
    evidence = best * inverse + surplus
    some = np.isfinite(evidence)  # a mention without candidates is NIL whatever the parameters
    offset, slope, margin = _fit_nil(evidence[some], surplus[some], ~found[some])
    return ProbabilityModel(float(unit / inverse), float(centre + unit * offset / (slope * inverse)), slope, margin)


def _fit_inverse_temperature(scores: np.ndarray, gold: np.ndarray) -> float:
    """Finds the zero of the derivative of the negative log likelihood, which rises with the inverse temperature."""
    present = np.isfinite(scores)
    known = np.where(present, scores, 0.0)
    unknown_gold = known.sum(axis=1) / present.sum(axis=1)
    share = 1 / (len(gold) + 1)
    target = (1 - share) * known[np.arange(len(gold)), gold] + share * unknown_gold

    def derivative(inverse: float) -> float:
        # The mean score under the softmax less that of the target; the former is that at 1 of scores times `inverse`.
        shares = np.exp((scores - scores.max(axis=1, keepdims=True)) * inverse) if inverse else present.astype(float)
        return float(((shares * known).sum(axis=1) / shares.sum(axis=1) - target).mean())

    if not (scores.max(axis=1) > unknown_gold + 1e-9).any():
        raise ValueError("no mention has two candidates with different scores: nothing to fit a temperature on")
    if derivative(0.0) >= 0:
        raise ValueError("the gold candidates do not score higher than the others: there is no temperature above 0")
    high = 1.0
    while derivative(high) < 0:  # ends: scores of the best candidates are above those of the smoothed target
        high *= 2
    return brentq(derivative, 0.0, high, xtol=1e-14, rtol=1e-13)


def _fit_nil(evidence: np.ndarray, surplus: np.ndarray, none: np.ndarray) -> tuple[float, float, float]:
    """Logistic regression: the log odds of `none` are `offset - slope * evidence + margin * surplus`."""
    if not evidence.std() > 1e-9:
        raise ValueError("the candidates of all mentions score alike: they do not tell NIL from the others")
    share = 1 / (len(none) + 1)
    target = (1 - share) * none + share / 2
    features = np.column_stack([-evidence, surplus])
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    standard = (features - centre) / spread

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logit = parameters[0] + standard @ parameters[1:]
        difference = expit(logit) - target
        value = np.logaddexp(0, logit) - target * logit
        return value.mean(), np.append(difference.mean(), difference @ standard / len(none))

    bounds = [(None, None), (MIN_NIL_SLOPE * spread[0], None), (0.0, None if features[:, 1].std() > 1e-9 else 0.0)]
    start = [np.log(target.mean() / (1 - target.mean())), max(1.0, bounds[1][0]), 0.0]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    slope, margin = found.x[1:] / spread
    return float(found.x[0] - np.dot([slope, margin], centre)), float(slope), float(margin)


def choose_threshold(
    known: np.ndarray | Sequence[float], gold: np.ndarray | Sequence[int], criterion: str = "probability"
) -> float:
    """
    Chooses the threshold that decides NIL: a mention is NIL if the probability that its entity is one of the candidates is
    below it.

    Args:
        known (array of `float` of shape `(num_mentions,)`):
            Probability that the entity is one of the candidates: 1 less that of NIL.
        gold (array of `int` of shape `(num_mentions,)`):
            0 where the best candidate is right; -1 for NIL; anything else is an error whatever the answer.
        criterion (`str`, *optional*, defaults to `"probability"`):
            `"probability"`: always 0.5, so that a mention is NIL where that is more probable than not. The others are
            chosen on the mentions given. `"nil_f1"`: F1 of NIL. `"nil_balanced"`: mean of the recalls of NIL and of the
            others. `"accuracy"`: share of right answers, entity or NIL.

            Where scores say little of NIL, the highest F1 is reached by answering NIL nearly always, and where the best
            candidates are seldom right, so is the highest accuracy.

    Returns:
        `float` in [0, 1], between two probabilities that occur; of equally good ones the lowest, which answers NIL least
        often.

    Raises:
        ValueError: an unknown criterion, or one that needs mentions of both kinds and there is only one.

    Example:

    ```python
    >>> from hf_mel.evaluation import choose_threshold

    >>> choose_threshold([0.25, 0.5, 1.0, 0.75], [-1, -1, 0, 0], "nil_f1")
    0.625
    ```
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; choose one of {', '.join(CRITERIA)}")
    known, gold = np.asarray(known, dtype=np.float64), np.asarray(gold)
    if known.ndim != 1 or known.shape != gold.shape or not len(known):
        raise ValueError(f"needs a probability and a gold for each mention, got {known.shape} and {gold.shape}")
    if criterion == "probability":
        return 0.5
    nil = gold == NIL
    if criterion != "accuracy" and (nil.all() or not nil.any()):
        raise ValueError(
            f"{'all' if nil.all() else 'none'} of the {len(nil):,} mentions are NIL: {criterion} needs both kinds"
        )
    # Threshold number i answers NIL to all mentions below level i.
    levels, which = np.unique(known, return_inverse=True)

    def below(values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(np.bincount(which, weights=values, minlength=len(levels)))])

    nil_below, others_below = below(nil), below(~nil)
    if criterion == "nil_f1":
        quality = 2 * nil_below / (nil_below + others_below + nil.sum())
    elif criterion == "nil_balanced":
        quality = nil_below * (~nil).sum() - others_below * nil.sum()  # in whole numbers, so that ties are ties
    else:
        quality = nil_below - below(gold == 0)
    # A probability of exactly 1 is below no threshold.
    place = int(quality[: len(levels) + int(levels[-1] < 1)].argmax())
    low, high = np.concatenate([[0.0], levels]), np.concatenate([levels, [1.0]])
    # Between two neighbours, or the upper of them where there is no number between; below all is 0, which is never NIL.
    return 0.0 if place == 0 else float(np.clip((low[place] + high[place]) / 2, np.nextafter(low[place], 1), 1))


# ---- Parts ----


def _softmax(scores: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    The softmax of `scores / temperature`, zeros for a mention without candidates; before it what `logsumexp(scores /
    temperature)` is made of: the best score (`-inf` without candidates), and how much the others add to it.
    """
    best = scores.max(axis=1, initial=-np.inf)
    some = np.isfinite(best)
    with np.errstate(over="ignore"):
        weights = np.exp((scores - np.where(some, best, 0.0)[:, None]) / temperature)
    total = np.where(some, weights.sum(axis=1), 1.0)
    return best, np.log(total), weights / total[:, None]


def check_scores(scores: np.ndarray) -> np.ndarray:
    """`scores` as float64 `(num_mentions, num_candidates)`; a ValueError names the first that is NaN or `inf`."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores must be (num_mentions, num_candidates), got {scores.shape}")
    wrong = np.argwhere(np.isnan(scores) | (scores == np.inf))
    if len(wrong):
        mention, column = (int(number) for number in wrong[0])
        raise ValueError(f"mention {mention} has the score {scores[mention, column]} for its candidate {column}")
    return scores


def check_gold(gold: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """`gold` as int64, one for each mention; a ValueError names the first that is no candidate."""
    gold = np.asarray(gold)
    if gold.shape != scores.shape[:1] or not np.issubdtype(gold.dtype, np.integer):
        raise ValueError(
            f"gold must be an integer for each of {len(scores):,} mentions, got {gold.dtype} {gold.shape}"
        )
    known = np.isin(gold, (NIL, NOT_RETRIEVED))
    mention = np.flatnonzero((gold >= 0) & (gold < scores.shape[1]))
    known[mention] = np.isfinite(scores[mention, gold[mention]])
    wrong = np.flatnonzero(~known)
    if len(wrong):
        raise ValueError(
            f"mention {wrong[0]} has the gold {gold[wrong[0]]}, which is neither the column of a candidate nor "
            f"{NIL} (NIL) nor {NOT_RETRIEVED} (not retrieved)"
        )
    return gold.astype(np.int64)
