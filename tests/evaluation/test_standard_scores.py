import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hf_mel.evaluation import standard_scores
from hf_mel.evaluation.standard_scores import chance


def test_by_hand():
    """Others 0.5, 0.4, 0.3: mean 0.4, deviation sqrt(0.02 / 3). By chance: normal quantiles at 3.625, 2.625, ... of 4.25."""
    quantiles = norm.ppf(np.array([3.625, 2.625, 1.625, 0.625]) / 4.25)
    by_chance = (quantiles[0] - quantiles[1:].mean()) / quantiles[1:].std()
    found = standard_scores([[0.9, 0.5, 0.4, 0.3]], 4, 64)
    np.testing.assert_allclose(found[0], np.array([0.5, 0.1, 0.0, -0.1]) / np.sqrt(0.02 / 3) / by_chance, atol=1e-12)


@pytest.mark.parametrize(("entities", "candidates"), [(20, 20), (1000, 64), (1000, 10)])
def test_the_best_of_chance_is_near_one(entities, candidates):
    scores = -np.sort(-np.random.default_rng(0).normal(size=(2000, entities)), axis=1)[:, :candidates]
    assert standard_scores(scores, entities, candidates)[:, 0].mean() == pytest.approx(1, abs=0.12)


@given(st.floats(0.01, 1000), st.floats(-100, 100))
@settings(max_examples=50, deadline=None)
def test_unit_and_zero_do_not_matter(unit, zero):
    scores = np.array([[0.9, 0.5, 0.4, 0.3, -0.2], [0.2, 0.19, 0.1, 0.05, 0.0]])
    np.testing.assert_allclose(
        standard_scores(unit * scores + zero, 100, 64), standard_scores(scores, 100, 64), rtol=1e-6, atol=1e-6
    )


def test_filler_and_candidates_found_by_name_change_nothing():
    scores = np.array([[0.9, 0.5, 0.4, 0.3]])
    wide = np.array([[0.9, 0.5, 0.4, 0.3, 0.1, -np.inf]])
    plain = standard_scores(scores, 50, 4)
    np.testing.assert_array_equal(standard_scores(wide, 50, 4)[:, :4], plain)
    found = standard_scores(wide, 50, 4)[0]
    assert found[4] < found[3] and found[5] == -np.inf
    assert standard_scores(wide, 50, 5)[0, 0] != plain[0, 0]


def test_more_entities_make_the_same_lead_worth_less():
    scores = np.array([[0.9, 0.5, 0.4, 0.3]])
    small, large = (standard_scores(scores, number, 4)[0, 0] for number in (10, 10_000))
    assert small > large > 0 and chance(10_000, 4) > chance(10, 4)
    both = standard_scores(np.repeat(scores, 2, axis=0), np.array([10, 10_000]), 4)
    assert both[:, 0].tolist() == [small, large]


@pytest.mark.parametrize("scores", [[0.9, 0.5, 0.4, -np.inf], [0.9, 0.5, 0.5, 0.5], [-np.inf] * 4])
def test_what_has_no_standard_scores(scores):
    found = standard_scores([scores, [0.9, 0.5, 0.4, 0.3]], 10, 64)
    present = np.isfinite(scores)
    assert np.isnan(found[0, present]).all() and np.isneginf(found[0, ~present]).all() and np.isfinite(found[1]).all()


def test_entities_that_share_a_name_do_not_make_the_best_ordinary():
    """The best stays as far from the others however many of the best quarter have a similar score."""
    one = np.array([[9.0, *np.linspace(1, 0, 31)]])
    several = one.copy()
    several[0, 1:5] = [8.9, 8.8, 8.7, 8.6]
    best = [standard_scores(scores, 32, 64)[0, 0] for scores in (one, several)]
    assert best[0] == best[1] > 2
