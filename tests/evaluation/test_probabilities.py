import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, softmax

from hf_mel.evaluation import ProbabilityModel, choose_threshold, fit_probabilities
from hf_mel.evaluation.probabilities import MIN_NIL_SLOPE


SCORES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(0, 5)), elements=st.floats(-50, 50) | st.just(-math.inf)
)
MODELS = st.builds(ProbabilityModel, st.floats(1e-3, 100), st.floats(-60, 60), st.floats(0.01, 5))


def simulate(model: ProbabilityModel, number: int, width: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores like cosines, best first, and golds drawn with the probabilities of a model."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(0.3, 0.15, (number, width)) + rng.normal(0.1, 0.1, (number, 1)))[:, ::-1]
    entity, nil = model.probabilities(scores)
    edges = np.column_stack([entity, nil]).cumsum(axis=1)
    column = (rng.random((number, 1)) > edges[:, :-1]).sum(axis=1)
    return scores, np.where(column == width, -1, column)


# ---- Probabilities ----


def test_one_softmax_with_a_nil_candidate_by_hand():
    entity, nil = ProbabilityModel(0.5, 0.25).probabilities(np.array([[1.0, 0.5], [0.25, -np.inf]]))
    odds = np.exp([2.0, 1.0, 0.5])
    np.testing.assert_allclose([*entity[0], nil[0]], odds / odds.sum())
    np.testing.assert_allclose([*entity[1], nil[1]], [0.5, 0.0, 0.5])


def test_the_slope_by_hand():
    """Log odds of NIL: slope * (nil_score - evidence) / temperature; the rest is shared as before."""
    scores = np.array([[2.0, 1.0]])
    evidence = 0.5 * math.log(math.exp(4) + math.exp(2))
    entity, nil = ProbabilityModel(0.5, 1.5, 0.25).probabilities(scores)
    assert nil[0] == pytest.approx(expit(0.25 * (1.5 - evidence) / 0.5))
    np.testing.assert_allclose(entity[0], (1 - nil[0]) * softmax([4.0, 2.0]))


def test_a_mention_without_candidates_is_nil():
    for scores in (np.full((2, 3), -np.inf), np.zeros((2, 0))):
        entity, nil = ProbabilityModel(0.1, -5.0, 0.3).probabilities(scores)
        assert nil.tolist() == [1.0, 1.0] and entity.shape == scores.shape and not entity.any()


@given(SCORES, MODELS)
@settings(max_examples=200, deadline=None)
def test_rows_are_probabilities_in_the_order_of_the_scores(scores, model):
    entity, nil = model.probabilities(scores)
    np.testing.assert_allclose(entity.sum(axis=1) + nil, 1.0)
    assert (entity >= 0).all() and (nil >= 0).all() and not entity[np.isneginf(scores)].any()
    for row, found in zip(scores, entity, strict=True):
        order = np.argsort(-row, kind="stable")
        assert (np.diff(found[order]) <= 0).all()


@given(SCORES, MODELS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_mentions_do_not_see_each_other_and_the_order_does_not_matter(scores, model, random):
    entity, nil = model.probabilities(scores)
    mentions, columns = list(range(scores.shape[0])), list(range(scores.shape[1]))
    random.shuffle(mentions)
    random.shuffle(columns)
    moved, moved_nil = model.probabilities(scores[mentions][:, columns])
    np.testing.assert_allclose(moved, entity[mentions][:, columns], rtol=1e-9)
    np.testing.assert_allclose(moved_nil, nil[mentions], rtol=1e-9)


@given(st.floats(-3, 3), st.floats(0.01, 2), MODELS)
@settings(max_examples=100, deadline=None)
def test_a_higher_score_makes_nil_less_probable(score, more, model):
    scores = np.array([[1.0, score], [1.0, score + more]])
    nil = model.probabilities(scores)[1]
    assert nil[1] <= nil[0]


def test_the_margin_by_hand():
    """The best of two candidates has a share of 0.8: the log odds of NIL rise by 2 * -log(0.8)."""
    scores = np.log([[4.0, 1.0]])
    plain, nil = (ProbabilityModel(1.0, 0.3, 0.5, margin).probabilities(scores)[1][0] for margin in (0.0, 2.0))
    assert np.log(nil / (1 - nil)) - np.log(plain / (1 - plain)) == pytest.approx(-2 * np.log(0.8))
    assert ProbabilityModel(1.0, 0.3, 0.5, 2.0).probabilities(np.full((1, 2), -np.inf))[1].tolist() == [1.0]


@given(st.floats(0, 3), st.floats(0.01, 2), MODELS, st.floats(0, 3))
@settings(max_examples=100, deadline=None)
def test_a_better_best_candidate_makes_nil_less_probable(lead, more, model, margin):
    model = ProbabilityModel(model.temperature, model.nil_score, model.nil_slope, margin)
    nil = model.probabilities(np.array([[1.0 + lead, 1.0], [1.0 + lead + more, 1.0]]))[1]
    assert nil[1] <= nil[0]


def test_the_margin_is_found_where_it_made_the_data():
    fitted = fit_probabilities(*simulate(ProbabilityModel(0.1, 0.5, 0.5, 0.8), 20_000))
    assert fitted.nil_margin == pytest.approx(0.8, abs=0.15) and fitted.nil_slope == pytest.approx(0.5, abs=0.07)
    assert fit_probabilities(*simulate(ProbabilityModel(0.1, 0.5, 0.5), 20_000)).nil_margin < 0.1


def test_extremes_of_the_temperature():
    scores = np.array([[0.9, 0.5, 0.1]])
    cold = ProbabilityModel(1e-300, 0.2).probabilities(scores)
    assert cold[0].tolist() == [[1.0, 0.0, 0.0]] and cold[1].tolist() == [0.0]
    assert ProbabilityModel(1e-300, 0.95).probabilities(scores)[1].tolist() == [1.0]
    hot, nil = ProbabilityModel(1e12, 0.2).probabilities(scores)
    np.testing.assert_allclose(np.append(hot, nil), 0.25)
    huge = ProbabilityModel(1e-300, 1e300).probabilities(np.array([[1e300, -1e300]]))
    assert np.isfinite(huge[0]).all() and np.isfinite(huge[1]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_none(bad):
    with pytest.raises(ValueError, match="mention 1 has the score .* for its candidate 0"):
        ProbabilityModel(1.0, 0.0).probabilities(np.array([[1.0, 2.0], [bad, 0.0]]))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0.0, 0.0), "temperature must be a number above 0, got 0.0"),
        ((math.nan, 0.0), "temperature"),
        ((math.inf, 0.0), "temperature"),
        ((1.0, math.nan), "nil_score must be a finite number"),
        ((1.0, 0.0, 0.0), "nil_slope must be a number above 0"),
        ((1.0, 0.0, 1.0, -0.1), "nil_margin must be a number of at least 0"),
    ],
)
def test_parameters_that_cannot_be(numbers, message):
    with pytest.raises(ValueError, match=message):
        ProbabilityModel(*numbers)


# ---- Fitting ----


@pytest.mark.parametrize("truth", [ProbabilityModel(0.05, 0.6, 1.0), ProbabilityModel(0.1, 0.5, 0.3)])
def test_the_parameters_that_made_the_data_are_found(truth):
    fitted = fit_probabilities(*simulate(truth, 20_000))
    assert fitted.temperature == pytest.approx(truth.temperature, rel=0.04)
    assert fitted.nil_slope == pytest.approx(truth.nil_slope, rel=0.06)
    assert fitted.nil_score == pytest.approx(truth.nil_score, abs=0.03)


def test_the_likelihood_is_at_its_maximum():
    """With one more mention whose gold is unknown, spread over the others by its weight."""
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 300)
    found = gold >= 0

    def loss(model):
        entity, nil = model.probabilities(scores)
        among, share = np.log(entity / (1 - nil)[:, None])[found], 1 / (found.sum() + 1)
        gold_part = among[np.arange(len(among)), gold[found]]
        first = -((1 - share) * gold_part + share * among.mean(axis=1)).mean()
        share = 1 / (len(gold) + 1)
        target = (1 - share) * ~found + share / 2
        second = -(target * np.log(nil) + (1 - target) * np.log(1 - nil)).mean()
        return first, second

    best = fit_probabilities(scores, gold)
    values = (best.temperature, best.nil_score, best.nil_slope)
    for factor in (0.99, 1.01):
        # The temperature belongs to the first step; the others are fitted for it.
        assert loss(ProbabilityModel(values[0] * factor, *values[1:]))[0] > loss(best)[0]
        assert loss(ProbabilityModel(values[0], values[1] * factor, values[2]))[1] > loss(best)[1]
        assert loss(ProbabilityModel(*values[:2], values[2] * factor))[1] > loss(best)[1]


def test_the_unit_of_the_scores_does_not_matter():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 500)
    plain, moved = fit_probabilities(scores, gold), fit_probabilities(1000 * scores - 7000, gold)
    assert moved.temperature == pytest.approx(1000 * plain.temperature, rel=1e-6)
    assert moved.nil_score == pytest.approx(1000 * plain.nil_score - 7000, rel=1e-5)
    assert moved.nil_slope == pytest.approx(plain.nil_slope, rel=1e-4)


def test_the_order_of_the_mentions_does_not_matter():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 500)
    order = np.random.default_rng(1).permutation(500)
    plain, moved = fit_probabilities(scores, gold), fit_probabilities(scores[order], gold[order])
    for name in ("temperature", "nil_score", "nil_slope"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-5)


def test_filler_changes_nothing():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 500)
    wide = np.pad(scores, ((0, 0), (0, 3)), constant_values=-np.inf)
    assert fit_probabilities(wide, gold) == fit_probabilities(scores, gold)


def test_a_gold_that_was_not_retrieved_counts_as_none_of_the_candidates():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 500)
    assert fit_probabilities(scores, np.where(gold == -1, -2, gold)) == fit_probabilities(scores, gold)
    fewer = gold.copy()
    fewer[np.flatnonzero(gold == -1)[::2]] = 0
    assert fit_probabilities(scores, fewer).nil_score < fit_probabilities(scores, gold).nil_score


def test_mentions_without_candidates_do_not_disturb():
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 0.3), 500)
    more = np.concatenate([scores, np.full((20, scores.shape[1]), -np.inf)])
    assert fit_probabilities(more, np.append(gold, [-1] * 20)) == fit_probabilities(scores, gold)


def test_separable_data_have_a_finite_answer():
    scores = np.tile([[0.9, 0.1]], (60, 1)) + np.linspace(0, 0.01, 60)[:, None]
    scores[40:] -= 0.5
    model = fit_probabilities(scores, np.array([0] * 40 + [-1] * 20))
    entity, nil = model.probabilities(scores)
    assert (entity[:40, 0] > 0.9).all() and (nil[40:] > 0.9).all() and (entity < 1).all()


def test_scores_that_do_not_tell_nil_are_said_to_do_so():
    """NIL mentions that score higher than others: NIL stays (a little) less probable the higher the score."""
    scores, gold = simulate(ProbabilityModel(0.1, 0.5, 1.0), 400)
    scores[gold == -1] += 1.0
    model = fit_probabilities(scores, gold)
    assert model.nil_slope == pytest.approx(MIN_NIL_SLOPE)
    assert model.probabilities(scores)[1].mean() == pytest.approx((gold == -1).mean(), abs=0.02)


@pytest.mark.parametrize(
    ("scores", "gold", "message"),
    [
        ([[1.0, 0.0]] * 3, [-1, -2, -1], "none of the 3 mentions has its gold among its candidates"),
        ([[1.0, 0.0]] * 3, [0, 1, 0], "each of the 3 mentions has its gold"),
        ([[1.0, 1.0]] * 3, [0, 1, -1], "all scores are equal"),
        ([[1.0, 0.0]] * 3, [1, 1, -1], "do not score higher than the others"),
        ([[1.0], [2.0], [0.0]], [0, 0, -1], "no mention has two candidates with different scores"),
        ([[1.0, 0.0]] * 3, [0, 0, -1], "candidates of all mentions score alike"),
        ([[1.0, 0.0]] * 3, [0, 2, -1], "mention 1 has the gold 2"),
        ([[1.0, -math.inf]] * 3, [0, 1, -1], "mention 1 has the gold 1"),
        ([[1.0, 0.0]] * 3, [0, -3, -1], "mention 1 has the gold -3"),
        ([[1.0, 0.0]] * 3, [0, 1], "an integer for each of 3 mentions"),
        ([[1.0, 0.0]] * 2, [0.0, 1.0], "an integer for each of 2 mentions"),
        ([1.0, 0.0], [0, 1], r"\(num_mentions, num_candidates\)"),
    ],
)
def test_what_cannot_be_fitted(scores, gold, message):
    with pytest.raises(ValueError, match=message):
        fit_probabilities(np.array(scores), np.array(gold))


# ---- Threshold ----


@pytest.mark.parametrize(
    ("criterion", "expected"),
    # Below 0.25: NIL right 1, wrong 0. Below 0.5: 1, 1. Below 0.75: 2, 1. Below 1: 3, 1. The one at 0.9 is a wrong answer.
    [("nil_f1", 0.9), ("nil_balanced", 0.9), ("accuracy", 0.9), ("probability", 0.5)],
)
def test_a_threshold_by_hand(criterion, expected):
    best, gold = [0.2, 0.4, 0.6, 0.8, 1.0], [-1, 0, -1, -1, 0]
    assert choose_threshold(best, gold, criterion) == pytest.approx(expected)


def test_criteria_differ():
    """Two NIL mentions, at the bottom and higher up, among wrong and right answers."""
    best = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    gold = [-1, 3, 3, -1, 0, 0, 0]
    # Below 0.15: F1 2/3, balanced 1/2, +1 right. Below 0.45: F1 4/6, balanced 1 - 2/5, +2 right.
    assert choose_threshold(best, gold, "nil_f1") == pytest.approx(0.15)  # the lowest of the equally good
    assert choose_threshold(best, gold, "nil_balanced") == pytest.approx(0.45)
    assert choose_threshold(best, gold, "accuracy") == pytest.approx(0.45)
    # A wrong answer costs nothing when it is turned into a wrong NIL, but does lower precision.
    assert choose_threshold(best, [-1, 3, 3, 3, 0, -1, 0], "accuracy") == pytest.approx(0.15)
    assert choose_threshold(best, [0, 0, 0, 0, 0, 0, -1], "accuracy") == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 10), st.sampled_from([-2, -1, 0, 1])), min_size=2, max_size=12).filter(
        lambda pairs: len({gold == -1 for _, gold in pairs}) == 2
    ),
    st.sampled_from(["nil_f1", "nil_balanced", "accuracy"]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_no_threshold_is_better(pairs, criterion, random):
    best, gold = np.array([p / 10 for p, _ in pairs]), np.array([g for _, g in pairs])

    def quality(threshold):
        predicted, nil = best < threshold, gold == -1
        if criterion == "nil_f1":
            return 2 * (predicted & nil).sum() / (predicted.sum() + nil.sum())
        if criterion == "nil_balanced":
            return (predicted[nil].mean() + (~predicted)[~nil].mean()) / 2
        return np.where(predicted, nil, gold == 0).mean()

    chosen = choose_threshold(best, gold, criterion)
    tried = {threshold: quality(threshold) for threshold in np.arange(0.05, 1, 0.1)} | {0.0: quality(0.0)}
    assert 0 <= chosen <= 1 and quality(chosen) >= max(tried.values()) - 1e-12
    answered = (best < chosen).sum()
    assert all(value < quality(chosen) for other, value in tried.items() if (best < other).sum() < answered)
    random.shuffle(pairs)
    assert chosen == choose_threshold([p / 10 for p, _ in pairs], [g for _, g in pairs], criterion)


def test_neighbours_without_a_number_between():
    low = 0.3
    high = np.nextafter(low, 1)
    assert low < choose_threshold([low, high], [-1, 0], "nil_f1") <= high


@pytest.mark.parametrize(
    ("best", "gold", "criterion", "message"),
    [
        ([0.5, 0.6], [0, 0], "nil_f1", "none of the 2 mentions are NIL: nil_f1 needs both kinds"),
        ([0.5, 0.6], [-1, -1], "nil_balanced", "all of the 2 mentions are NIL"),
        ([0.5, 0.6], [-1, 0], "f1", "unknown criterion 'f1'"),
        ([], [], "accuracy", "a probability and a gold"),
        ([0.5], [0, -1], "accuracy", "a probability and a gold"),
    ],
)
def test_thresholds_that_cannot_be_chosen(best, gold, criterion, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold(best, gold, criterion)
