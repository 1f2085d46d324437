"""Fits probabilities to few labelled scores, close to a prior, on plain arrays."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .probabilities import MIN_NIL_SLOPE, ProbabilityModel, check_gold, check_scores


@dataclass(frozen=True)
class ModelPrior:
    """
    Distributions of the parameters of a [`ProbabilityModel`] on other data: normal and independent.

    Args:
        mean ([`ProbabilityModel`]):
            Their means.
        log_temperature (`float`), nil_score (`float`), log_nil_slope (`float`), nil_margin (`float`):
            Their standard deviations: of the natural logarithm for temperature and slope.
    """

    mean: ProbabilityModel
    log_temperature: float
    nil_score: float
    log_nil_slope: float
    nil_margin: float


def fit_towards_prior(
    scores: np.ndarray, gold: np.ndarray, prior: ModelPrior, weights: np.ndarray | None = None
) -> ProbabilityModel:
    """
    Maximum a posteriori fit of a [`ProbabilityModel`]: the prior where there are no mentions, maximum likelihood where there
    are many.

    Minimizes the negative log likelihood of the mentions plus, for each parameter, half the squared distance from the mean
    of the prior in standard deviations. A gold that was not retrieved counts as NIL, as in [`fit_probabilities`].

    Args:
        scores (array of `float` of shape `(num_mentions, num_candidates)`):
            Standard scores ([`standard_scores`]); `-inf` where there are fewer candidates. Mentions with NaN are left out.
        gold (array of `int` of shape `(num_mentions,)`):
            Column of the gold candidate; -1 for NIL, -2 for a gold that was not retrieved.
        prior ([`ModelPrior`]):
            The prior, in the unit of the scores.
        weights (array of `float` of shape `(num_mentions,)`, *optional*, defaults to 1 for each):
            What each row counts, such as a quarter where each mention was observed four times.

    Returns:
        [`ProbabilityModel`].

    Example: without mentions the fit is the prior.

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import ProbabilityModel
    >>> from hf_mel.evaluation.shrinkage import ModelPrior, fit_towards_prior

    >>> prior = ModelPrior(ProbabilityModel(0.2, 1.3, 0.5, 0.25), 0.5, 0.5, 0.5, 0.5)
    >>> fitted = fit_towards_prior(np.zeros((0, 3)), np.zeros(0, dtype=int), prior)
    >>> round(fitted.temperature, 6), round(fitted.nil_score, 6), round(fitted.nil_slope, 6), round(fitted.nil_margin, 6)
    (0.2, 1.3, 0.5, 0.25)
    ```
    """
    scores = np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(scores).any(axis=1) & np.isfinite(scores).any(axis=1)
    weights = (np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64))[known]
    gold = np.asarray(gold)[known]
    scores = check_scores(scores[known])
    gold = check_gold(gold, scores)
    mean = prior.mean

    def model(offsets: np.ndarray) -> ProbabilityModel:
        return ProbabilityModel(
            mean.temperature * float(np.exp(prior.log_temperature * offsets[0])),
            mean.nil_score + prior.nil_score * float(offsets[1]),
            max(mean.nil_slope * float(np.exp(prior.log_nil_slope * offsets[2])), MIN_NIL_SLOPE),
            max(mean.nil_margin + prior.nil_margin * float(offsets[3]), 0.0),
        )

    def loss(offsets: np.ndarray) -> float:
        penalty = float(offsets @ offsets) / 2
        return penalty + float(weights @ _negative_log_likelihood(model(offsets), scores, gold))

    least = -mean.nil_margin / prior.nil_margin
    bounds = [(-8, 8), (-8, 8), (-8, 8), (max(least, -8), 8)]
    return model(minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=bounds).x)


def _negative_log_likelihood(model: ProbabilityModel, scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Of each mention; of none of the candidates where the gold is no candidate."""
    if not len(scores):
        return np.zeros(0)
    entity, nil = model.probabilities(scores)
    right = nil.copy()
    found = np.flatnonzero(gold >= 0)
    right[found] = entity[found, gold[found]]
    return -np.log(np.maximum(right, 1e-12))
