import numpy as np
import pytest
from scipy.special import expit

from hf_mel.evaluation import ProbabilityModel, fit_probabilities
from hf_mel.evaluation.shrinkage import ModelPrior, fit_towards_prior
from tests.evaluation.test_probabilities import simulate


PRIOR = ModelPrior(ProbabilityModel(0.2, 1.3, 0.5, 0.25), 0.5, 0.3, 0.4, 0.2)
NAMES = ("temperature", "nil_score", "nil_slope", "nil_margin")


def values(model: ProbabilityModel) -> list[float]:
    return [getattr(model, name) for name in NAMES]


def test_no_mention_gives_the_prior():
    assert values(fit_towards_prior(np.zeros((0, 2)), np.zeros(0, dtype=int), PRIOR)) == pytest.approx(
        [0.2, 1.3, 0.5, 0.25]
    )
    unknown = np.array([[np.nan, np.nan], [-np.inf, -np.inf]])
    assert values(fit_towards_prior(unknown, np.array([0, -1]), PRIOR)) == pytest.approx([0.2, 1.3, 0.5, 0.25])


def test_one_mention_by_hand():
    """
    One candidate, which is right: share and temperature say nothing, the log odds of NIL are slope * (nil_score - score) /
    temperature. With all deviations but that of the NIL score near 0, its offset z solves
    z = -P(NIL) * slope * deviation / temperature.
    """
    stiff = ModelPrior(PRIOR.mean, 1e-6, 0.3, 1e-6, 1e-6)
    found = fit_towards_prior(np.array([[1.2]]), np.array([0]), stiff).nil_score
    offset = (found - 1.3) / 0.3
    nil = expit(0.5 * (found - 1.2) / 0.2)
    assert offset == pytest.approx(-nil * 0.5 * 0.3 / 0.2, abs=1e-4) and offset < -0.1


def test_between_prior_and_fit_and_closer_to_the_fit_with_more_mentions():
    truth = ProbabilityModel(0.05, 0.6, 1.0)
    scores, gold = simulate(truth, 4000)
    distances = []
    for number in (5, 50, 4000):
        model = fit_towards_prior(scores[:number], gold[:number], PRIOR)
        distances.append(abs(np.log(model.temperature / truth.temperature)))
    assert distances[0] > distances[1] > distances[2] and distances[2] < 0.1
    alone = fit_probabilities(scores, gold)
    assert fit_towards_prior(scores, gold, PRIOR).temperature == pytest.approx(alone.temperature, rel=0.05)


def test_a_row_with_half_the_weight_counts_half():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 30)
    twice = fit_towards_prior(np.repeat(scores, 2, axis=0), np.repeat(gold, 2), PRIOR, np.full(60, 0.5))
    assert values(twice) == pytest.approx(values(fit_towards_prior(scores, gold, PRIOR)), rel=1e-4)
    assert values(fit_towards_prior(scores, gold, PRIOR)) != pytest.approx(values(PRIOR.mean), rel=0.02)


def test_mentions_of_one_kind_have_a_fit():
    for gold in (0, -1, -2):
        model = fit_towards_prior(np.array([[1.5, 0.2, 0.1]] * 9), np.full(9, gold), PRIOR)
        assert np.isfinite(values(model)).all()
        assert (model.nil_score > 1.3) == (gold < 0)
