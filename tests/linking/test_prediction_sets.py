"""Prediction sets: what linkers, their answers and the command make of conformal scores."""

import json
from dataclasses import replace

import numpy as np
import pytest

from hf_mel import LinkedEntity, LinkedMention, Linker
from hf_mel.linking import Calibration, ConformalScores, calibrate
from hf_mel.linking.choose_calibration import check_prediction_set
from hf_mel.linking.fit_calibration import measure_calibration
from tests.linking.test_fit_calibration import ToyLinker, mentions_of
from tests.training.common import tiny_data, tiny_linker, tiny_processor


TRUTH = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]  # nine: p-values are tenths


def scores(truth=TRUTH, **numbers) -> ConformalScores:
    numbers = {
        "temperature": 0.5,
        "nil_score": 0.1,
        "nil_slope": 1.0,
        "nil_margin": 0.0,
        "standardized": False,
    } | numbers
    return ConformalScores(truth=list(truth), **numbers)


@pytest.fixture(scope="module")
def plain() -> Linker:
    return Linker(tiny_linker(False), tiny_processor(False), tiny_data().entities, calibration=None)


def with_sets(plain: Linker, sets: ConformalScores | None) -> Linker:
    calibration = Calibration(0.5, 0.1, 0.5, 64, plain.setup, sets=sets)
    return Linker(plain.model, plain.processor, plain.index, calibration=calibration)


# ---- Sets of one mention ----


def linked(**changes) -> LinkedMention:
    candidates = tuple(
        LinkedEntity(name, name, "", score=1.0, p_value=value)
        for name, value in (("Q1", 0.5), ("Q2", 0.3), ("Q3", 0.3))
    )
    values = {"candidates": candidates, "calibration": "fitted", "nil_p_value": 0.4, "unlisted_p_value": 0.1} | changes
    return LinkedMention("Vale", "Vale.", **values)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.1, ("Q1", None, "Q2", "Q3")), (0.3, ("Q1", None)), (0.4, ("Q1",)), (0.5, ("Q1",)), (0.9, ("Q1",))],
)
def test_the_answers_above_alpha_and_always_the_first(alpha, expected):
    assert linked().prediction_set(alpha) == expected
    assert linked(alpha=alpha).to_dict()["prediction_set"] == list(expected)


def test_nil_may_be_the_first():
    assert linked(nil_p_value=0.8).prediction_set(0.9) == (None,)
    assert linked(nil_p_value=0.5).prediction_set(0.9) == ("Q1",), "of equally probable ones the candidate"


@pytest.mark.parametrize(
    ("changes", "alpha", "message"),
    [
        ({}, 0.05, "not among the 3 candidates shown .* p-values up to 0.1.* prediction_set=0.05"),
        ({}, None, "`alpha` is missing"),
        ({}, 1.0, "no rate of errors"),
        ({}, True, "no rate of errors"),
        (
            {"nil_p_value": None, "calibration": "prior"},
            0.1,
            "fitted on labelled mentions for this index, and this one is 'prior'",
        ),
    ],
)
def test_sets_that_there_are_not(changes, alpha, message):
    with pytest.raises(ValueError, match=message):
        linked(**changes).prediction_set(alpha)


def test_the_set_survives_json():
    one = linked(alpha=0.3)
    again = LinkedMention.from_dict(json.loads(one.to_json()))
    assert again == one and again.prediction_set() == ("Q1", None) and linked().to_dict()["prediction_set"] is None


# ---- Of a linker ----


def test_p_values_of_a_linker_by_hand(plain):
    linker = with_sets(plain, scores())
    found = linker.link("Vale", "Vale came.", top_k=20)
    weights = np.exp(np.append([each.score for each in found.candidates], 0.1) / 0.5)
    expected = [(1 + sum(value <= each for value in TRUTH)) / 10 for each in weights / weights.sum()]
    assert [each.p_value for each in found.candidates] == pytest.approx(expected[:-1])
    assert found.nil_p_value == pytest.approx(expected[-1]) and found.unlisted_p_value == pytest.approx(0.1)
    few = linker.link("Vale", "Vale came.", top_k=1)
    assert few.unlisted_p_value == pytest.approx(max(0.1, expected[1]))


def test_all_of_the_set_is_returned(plain):
    linker = with_sets(plain, scores([0.001] * 4 + [0.9] * 5))
    full = linker.link("Vale", "Vale came.", top_k=20)
    assert sum(each.p_value > 0.2 for each in full.candidates) > 2, "else this shows nothing"
    found = linker.link("Vale", "Vale came.", top_k=2, prediction_set=0.2)
    assert found.prediction_set() == found.prediction_set(0.2) == full.prediction_set(0.2)
    assert len(found.candidates) == max(2, len([each for each in found.prediction_set() if each is not None]))
    several = linker.link(["Vale", "a"], ["Vale came.", "a b"], top_k=2, prediction_set=0.2)
    assert several[0].prediction_set() == found.prediction_set()


def test_no_p_values_where_candidates_are_left_out(plain):
    linker = with_sets(plain, scores())
    found = linker.link("Vale", "Vale came.", types=["person"])
    assert found.best.p_value is found.nil_p_value is found.unlisted_p_value is None and found.probability is not None


@pytest.mark.parametrize(
    ("sets", "alpha", "options", "message"),
    [
        (None, 0.1, {}, "this one is 'fitted'; fit one with `hf-mel calibrate`"),
        (
            scores(),
            0.05,
            {},
            "computed from 9 labelled mentions, half of those given, and an error rate of 0.05 needs 19",
        ),
        (scores([0.0, 0.0, *TRUTH[2:]]), 0.2, {}, "entity of 2 of 9 labelled mentions was not among .* than 0.3"),
        (scores(), 0.2, {"types": ["person"]}, "not guaranteed where `types` or `entity_ids`"),
        (scores(), 0, {}, "prediction_set=0 is no rate"),
    ],
)
def test_what_a_linker_refuses(plain, sets, alpha, options, message):
    with pytest.raises(ValueError, match=message):
        with_sets(plain, sets).link("Vale", "Vale came.", prediction_set=alpha, **options)


def test_without_a_calibration():
    with pytest.raises(ValueError, match="there is no calibration"):
        check_prediction_set(None, 0.1)


def test_the_border_itself_can_be_guaranteed():
    scores().check_alpha(0.1)
    scores([0.0, *TRUTH[1:]]).check_alpha(0.2)


@pytest.mark.parametrize("truth", [[], [1.5], [-0.1], ["a"], None])
def test_scores_that_are_none(truth):
    with pytest.raises(ValueError, match="truth"):
        ConformalScores(0.5, 0.1, 1.0, 0.0, False, truth)


# ---- Coverage ----


@pytest.mark.parametrize("number", [40, 300])
def test_the_error_rate_holds_on_exchangeable_mentions(number):
    """Mean coverage over calibrations: at least 1 - alpha, and without not much more, but for candidates not retrieved."""
    linker = ToyLinker(num_candidates=118)
    found = {"0.1": [], "0.2": []}
    for draw in range(12):
        calibration = calibrate(linker, mentions_of(linker, number, first=10_000 * draw), seed=draw)
        assert calibration.kind == ("shrunk" if number < 50 else "fitted")
        test = mentions_of(linker, 400, first=10_000 * draw + 5_000)
        sets = measure_calibration(calibration, linker, test, seed=draw).metrics["prediction_sets"]
        for alpha in found:
            found[alpha].append(sets[alpha]["coverage"])
    for alpha, covered in found.items():
        spread = np.std(covered, ddof=1) / np.sqrt(len(covered))
        assert np.mean(covered) > 1 - float(alpha) - 3 * spread
        assert np.mean(covered) < 1 - float(alpha) + 2 * 2 / number + 3 * spread + 0.01


def test_each_mention_is_held_out_once_whatever_the_order(caplog):
    linker = ToyLinker(num_candidates=60)
    mentions = mentions_of(linker, 200)
    sets = calibrate(linker, mentions).sets
    assert 70 < len(sets.truth) < 130 and sets.truth == sorted(sets.truth) and not sets.standardized
    moved = calibrate(linker, mentions.select(np.random.default_rng(0).permutation(200))).sets
    np.testing.assert_allclose(moved.truth, sets.truth, rtol=1e-4)
    assert sets.temperature != calibrate(linker, mentions).temperature, "fitted on the other half"
    missed = sum(value == 0 for value in sets.truth)
    assert 0 < missed and sets.lowest_alpha == pytest.approx((1 + missed) / (len(sets.truth) + 1))


def test_sets_are_left_behind_where_they_do_not_hold():
    calibration = calibrate(ToyLinker(num_candidates=60), mentions_of(ToyLinker(), 200))
    assert calibration.with_nil_rate(0.1).sets is None
    other = calibration.setup | {"knowledge_base": "b" * 64}
    assert calibration.transferred(other).sets is None and calibration.transferred(calibration.setup) == calibration
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
    with pytest.raises(ValueError, match="`sets`"):
        Calibration.from_dict(calibration.to_dict() | {"sets": {"temperature": 1.0}})
    with pytest.raises(ValueError, match="`sets`"):
        replace(calibration, sets=[0.5])
