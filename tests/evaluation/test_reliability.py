import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.evaluation import (
    ProbabilityModel,
    calibration_error,
    coverage_curve,
    gold_columns,
    linking_measures,
    nil_metrics,
    reliability_bins,
)


ANSWERS = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=30)


def columns(answers) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in answers]), np.array([c for _, c in answers])


# ---- Gold columns ----


def test_gold_columns_by_hand():
    rows = [[4, 9, 2], [1, 0, -1], [3, 5, 6], [7, -1, -1], [-1, -1, -1]]
    assert gold_columns(rows, [2, 0, 1, -1, 8]).tolist() == [2, 1, -2, -1, -2]
    assert gold_columns(np.zeros((2, 0), dtype=int), np.array([3, -1])).tolist() == [-2, -1]


def test_nil_is_not_the_filler():
    assert gold_columns([[3, -1]], [-1]).tolist() == [-1]


def test_gold_columns_of_wrong_shapes():
    with pytest.raises(ValueError, match=r"got \(2, 1\) and \(3,\)"):
        gold_columns([[1], [2]], [1, 2, 3])


# ---- Calibration error ----


def test_bins_by_hand():
    """An edge belongs to the bin below it."""
    bins = reliability_bins([0.0, 0.5, 0.51, 0.9, 1.0], np.array([0, 1, 1, 0, 1], dtype=bool), num_bins=2)
    assert bins.count.tolist() == [2, 3]
    np.testing.assert_allclose(bins.probability, [0.25, (0.51 + 0.9 + 1) / 3])
    np.testing.assert_allclose(bins.accuracy, [0.5, 2 / 3])
    np.testing.assert_allclose(bins.variance, [0.125, (0.51 * 0.49 + 0.9 * 0.1) / 3])
    assert bins.error == pytest.approx(2 / 5 * 0.25 + 3 / 5 * abs(2.41 / 3 - 2 / 3))
    assert bins.noise == pytest.approx(math.sqrt(2 / math.pi) * (math.sqrt(0.25) + math.sqrt(0.3399)) / 5)


def test_bins_of_equal_mass_by_hand():
    p, correct = [0.1, 0.11, 0.12, 0.13, 0.9, 0.91], np.array([0, 0, 1, 0, 1, 1], dtype=bool)
    bins = reliability_bins(p, correct, num_bins=3, equal_mass=True)
    assert bins.count.tolist() == [2, 2, 2]
    np.testing.assert_allclose(bins.accuracy, [0, 0.5, 1])
    assert reliability_bins(p, correct, num_bins=3).count.tolist() == [4, 2]


def test_fifteen_bins_by_default():
    p = (np.arange(15) + 0.5) / 15
    assert reliability_bins(p, p > 0.5).count.tolist() == [1] * 15
    assert len(reliability_bins(np.arange(300) / 300, np.ones(300, dtype=bool), equal_mass=True).count) == 15


@pytest.mark.parametrize("equal_mass", [False, True])
def test_calibrated_probabilities_have_a_small_error(equal_mass):
    rng = np.random.default_rng(0)
    p = rng.beta(2, 1, 50_000)
    correct = rng.random(50_000) < p
    assert calibration_error(p, correct, equal_mass=equal_mass) < 0.01
    # Overconfident by 0.1 wherever there is room.
    assert calibration_error(np.minimum(p + 0.1, 1), correct, equal_mass=equal_mass) == pytest.approx(0.095, abs=0.01)


@pytest.mark.parametrize("equal_mass", [False, True])
def test_the_noise_is_the_error_of_calibrated_probabilities(equal_mass):
    rng = np.random.default_rng(0)
    p = rng.beta(2, 2, 600)
    errors = [calibration_error(p, rng.random(600) < p, equal_mass=equal_mass) for _ in range(300)]
    noise = reliability_bins(p, p > 0.5, equal_mass=equal_mass).noise
    assert np.mean(errors) == pytest.approx(noise, rel=0.05) and noise > 0.02


@given(ANSWERS, st.integers(1, 8), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_bins_hold_everything_in_whatever_order(answers, num_bins, equal_mass, random):
    bins = reliability_bins(*columns(answers), num_bins, equal_mass)
    assert bins.count.sum() == len(answers) and (bins.count > 0).all()
    p, correct = columns(answers)
    assert bins.count @ bins.accuracy == pytest.approx(correct.sum())
    assert bins.count @ bins.probability == pytest.approx(p.sum())
    assert abs(p.mean() - correct.mean()) - 1e-9 <= bins.error <= 1  # bins can only add to the error of the mean
    random.shuffle(answers)
    assert reliability_bins(*columns(answers), num_bins, equal_mass).error == pytest.approx(bins.error)


@pytest.mark.parametrize(
    ("p", "correct", "message"),
    [
        ([], np.zeros(0, dtype=bool), "at least one mention"),
        ([[0.5]], [[True]], "one dimension"),
        ([0.5, 1.01], [True, False], "position 1 is 1.01"),
        ([0.5, math.nan], [True, False], "position 1 is nan"),
        ([-0.1], [True], "position 0"),
        ([0.5], [1], "a boolean for each of 1 mentions"),
        ([0.5], [True, False], "a boolean for each of 1 mentions"),
    ],
)
def test_what_is_no_probability(p, correct, message):
    for function in (reliability_bins, coverage_curve):
        with pytest.raises(ValueError, match=message):
            function(p, correct)
    with pytest.raises(ValueError, match="num_bins must be at least 1"):
        calibration_error([0.5], [True], num_bins=0)


# ---- Coverage ----


def test_a_coverage_curve_by_hand():
    curve = coverage_curve([0.3, 0.9, 0.5, 0.7, 0.5], [False, True, False, False, True])
    np.testing.assert_allclose(curve.coverage, [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(curve.confidence, [0.9, 0.7, 0.5, 0.5, 0.3])
    # The two at 0.5 count half each.
    np.testing.assert_allclose(curve.accuracy, [1, 1 / 2, 1.5 / 3, 2 / 4, 2 / 5])
    assert curve.area == pytest.approx((1 + 0.5 + 0.5 + 0.5 + 0.4) / 5)
    assert [curve.accuracy_at(c) for c in (0, 0.2, 0.21, 1)] == pytest.approx([1, 1, 0.5, 0.4])
    assert 0.07 * 100 > 7 and coverage_curve(np.linspace(1, 0, 100), np.arange(100) < 7).accuracy_at(0.07) == 1.0
    with pytest.raises(ValueError, match="a share from 0 to 1, got 50"):
        curve.accuracy_at(50)


def test_a_curve_as_a_dictionary():
    curve = coverage_curve(np.linspace(0, 1, 1000), np.linspace(0, 1, 1000) > 0.5)
    points = curve.to_dict(num_points=10)
    assert points["coverage"] == pytest.approx(np.arange(1, 11) / 10)
    assert points["accuracy"] == pytest.approx([curve.accuracy_at(c) for c in points["coverage"]], abs=1e-6)
    assert points["confidence"][-1] == 0.0
    json.dumps(points, allow_nan=False)
    assert coverage_curve([0.5], [True]).to_dict(num_points=4)["accuracy"] == [1.0] * 4


@given(ANSWERS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_curve_ends_at_the_accuracy_and_does_not_depend_on_the_order(answers, random):
    p, correct = columns(answers)
    curve = coverage_curve(p, correct)
    assert curve.accuracy[-1] == pytest.approx(correct.mean()) and len(curve.accuracy) == len(answers)
    assert ((curve.accuracy >= 0) & (curve.accuracy <= 1)).all() and (np.diff(curve.confidence) <= 0).all()
    random.shuffle(answers)
    np.testing.assert_allclose(coverage_curve(*columns(answers)).accuracy, curve.accuracy)


# ---- NIL ----


def test_nil_metrics_by_hand():
    predicted, nil = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0]
    assert nil_metrics(predicted, nil) == {
        "nil": 4,
        "nil_predicted": 3,
        "nil_precision": pytest.approx(2 / 3),
        "nil_recall": 0.5,
        "nil_f1": pytest.approx(4 / 7),
    }


@pytest.mark.parametrize(
    ("predicted", "nil", "expected"),
    [([0, 0], [0, 0], (None, None, None)), ([1, 0], [0, 0], (0.0, None, 0.0)), ([0, 0], [1, 0], (None, 0.0, 0.0))],
)
def test_nil_metrics_that_do_not_exist(predicted, nil, expected):
    metrics = nil_metrics(predicted, nil)
    assert (metrics["nil_precision"], metrics["nil_recall"], metrics["nil_f1"]) == expected


# ---- All of it ----

ENTITY = np.array([[0.8, 0.1], [0.6, 0.3], [0.2, 0.1], [0.3, 0.2], [0.5, 0.1]])
NIL = np.array([0.1, 0.1, 0.7, 0.5, 0.4])


def test_measures_by_hand():
    """A right answer, a wrong one, a right NIL, a NIL whose gold was not retrieved, an entity that should be NIL."""
    metrics, curve, bins = linking_measures(ENTITY, NIL, np.array([0, 1, -1, -2, -1]), threshold=0.55)
    assert {name: metrics[name] for name in ("mentions", "not_retrieved", "nil", "nil_predicted")} == {
        "mentions": 5,
        "not_retrieved": 1,
        "nil": 2,
        "nil_predicted": 2,
    }
    assert (metrics["nil_precision"], metrics["nil_recall"], metrics["nil_f1"]) == (0.5, 0.5, 0.5)
    assert metrics["accuracy"] == 0.4
    # Confidences 0.8 right, 0.6 wrong, 0.7 right, 0.5 wrong, 0.5 wrong; bins of a fifteenth: the last two share one.
    assert metrics["ece"] == pytest.approx((0.2 + 0.6 + 0.3 + 2 * 0.5) / 5)
    assert metrics["brier"] == pytest.approx((0.04 + 0.36 + 0.09 + 0.25 + 0.25) / 5)
    assert metrics["nll"] == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.5, 0.4]).mean())
    # The best candidates: 0.8 right, and 0.6, 0.2, 0.3, 0.5 wrong.
    assert metrics["best_ece"] == pytest.approx((0.2 + 0.6 + 0.2 + 0.3 + 0.5) / 5)
    np.testing.assert_allclose(curve.accuracy, [1, 1, 2 / 3, 2 / 4, 2 / 5])
    assert metrics["coverage_area"] == pytest.approx((1 + 1 + 2 / 3 + 0.5 + 0.4) / 5)
    assert list(metrics["accuracy_at"]) == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    assert metrics["accuracy_at"]["0.6"] == pytest.approx(2 / 3) and metrics["accuracy_at"]["1.0"] == 0.4
    assert bins.error == metrics["ece"] and bins.noise == metrics["ece_noise"]
    json.dumps(metrics, allow_nan=False)


def test_a_threshold_of_0_is_never_nil_and_one_of_1_is_nearly_always():
    gold = np.array([0, 1, -1, -2, -1])
    assert linking_measures(ENTITY, NIL, gold, threshold=0.0)[0]["nil_predicted"] == 0
    assert linking_measures(ENTITY, NIL, gold, threshold=1.0)[0]["nil_predicted"] == 5
    assert linking_measures(ENTITY, NIL, gold, threshold=0.5)[0]["nil_predicted"] == 1  # 0.5 itself is not below it


def test_a_probability_that_was_rounded_to_0():
    metrics = linking_measures(np.array([[1.0, 0.0]]), np.array([0.0]), np.array([1]), 0.5)[0]
    assert 700 < metrics["nll"] < 710


def test_mentions_without_candidates():
    metrics = linking_measures(np.zeros((3, 0)), np.ones(3), np.array([-1, -1, -2]), 0.5)[0]
    assert metrics["nil_predicted"] == 3 and metrics["accuracy"] == pytest.approx(2 / 3)
    json.dumps(metrics, allow_nan=False)


def test_the_model_that_made_the_golds_is_calibrated():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(0.3, 0.2, (20_000, 6)))[:, ::-1]
    entity, nil = ProbabilityModel(0.08, 0.7, 0.5).probabilities(scores)
    column = (rng.random((20_000, 1)) > np.column_stack([entity, nil]).cumsum(axis=1)[:, :-1]).sum(axis=1)
    gold = np.where(column == 6, -1, column)
    metrics = linking_measures(entity, nil, gold, 0.4)[0]
    for name in ("ece", "ece_equal_mass", "best_ece", "best_ece_equal_mass"):
        assert metrics[name] < 0.015
    other = linking_measures(*ProbabilityModel(0.04, 0.7, 0.5).probabilities(scores), gold, 0.4)[0]
    assert other["best_ece"] > 0.03
