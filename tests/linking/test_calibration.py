import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hf_mel.evaluation import ProbabilityModel
from hf_mel.linking import Calibration
from hf_mel.linking.calibration import CALIBRATION_FILE


SETUP = {"model": "a" * 64, "candidates": "dense", "num_candidates": 64, "reranker": None, "exact": True}
FITTED_ON = {"data": "emojimel", "split": "validation", "observations": 1000, "nil": 200, "not_retrieved": 8}


@pytest.fixture
def calibration() -> Calibration:
    return Calibration(0.05, 0.4, 0.35, 64, dict(SETUP), dict(FITTED_ON), {"fitted": {"ece": 0.02}}, nil_slope=0.5)


def test_probabilities_are_those_of_the_model(calibration):
    scores = np.array([[0.5, 0.4, -np.inf], [-np.inf] * 3])
    expected = ProbabilityModel(0.05, 0.4, 0.5).probabilities(scores)
    for left, right in zip(calibration.probabilities(scores), expected, strict=True):
        np.testing.assert_array_equal(left, right)
    plain = replace(calibration, nil_slope=1.0).probabilities(scores)
    assert plain[1][0] != expected[1][0]


# ---- Files ----


def test_saved_and_loaded(calibration, tmp_path):
    path = calibration.save(tmp_path)
    assert path == tmp_path / "calibration.json" and Calibration.load(tmp_path) == calibration
    text = path.read_text()
    assert (
        text.endswith("}\n") and list(json.loads(text)) == sorted(json.loads(text)) and '\n  "nil_score": 0.4,' in text
    )
    assert Calibration.load(str(tmp_path)).save(tmp_path).read_text() == text
    assert [each.name for each in tmp_path.iterdir()] == ["calibration.json"], "nothing unfinished is left"


def test_there_is_none(tmp_path):
    assert Calibration.load(tmp_path) is None
    assert Calibration.load("nobody/no-such-model") is None  # on the Hub, which a test cannot ask
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        Calibration(1.0, 0.0, 0.5, 2).save(tmp_path / "nowhere")


def test_an_old_one_is_replaced_whole(calibration, tmp_path, monkeypatch):
    calibration.save(tmp_path)
    with pytest.raises(ValueError):
        replace(calibration, metrics={"ece": math.nan}).save(tmp_path)
    assert Calibration.load(tmp_path) == calibration


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"temprature": 1}, ["`temprature`: is unknown; did you mean 'temperature'?"]),
        (
            {"temperature": None, "threshold": 2},
            ["`temperature`: must be a finite number", "`threshold`: is a probab"],
        ),
        ({"temperature": -1}, ["`temperature`: must be above 0, got -1"]),
        ({"nil_slope": 0}, ["`nil_slope`: must be above 0"]),
        ({"nil_score": True}, ["`nil_score`: must be a finite number, got True"]),
        ({"nil_score": math.inf}, ["`nil_score`: must be a finite number"]),
        ({"num_candidates": 0}, ["`num_candidates`: must be an integer above 0"]),
        ({"num_candidates": 2.5}, ["`num_candidates`: must be an integer above 0"]),
        ({"setup": None}, ["`setup`: must be a dictionary"]),
    ],
)
def test_a_file_that_is_wrong(change, messages, calibration, tmp_path):
    path = tmp_path / CALIBRATION_FILE
    path.write_text(json.dumps(calibration.to_dict() | change))
    with pytest.raises(ValueError) as refused:
        Calibration.load(tmp_path)
    assert str(path) in str(refused.value) and "hf-mel calibrate" in str(refused.value)
    assert all(message in str(refused.value) for message in messages)


def test_files_that_are_no_calibration(tmp_path):
    path = tmp_path / CALIBRATION_FILE
    path.write_text('{"threshold": 0.5, "num_candidates": 4}')
    with pytest.raises(ValueError, match="2 problems\n  `temperature`: is missing\n  `nil_score`: is missing"):
        Calibration.load(tmp_path)
    for text, message in (("[1]", r"must hold an object, not \[1\]"), ("{", "Expecting property name")):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{path}: {message}"):
            Calibration.load(tmp_path)


# ---- Set-ups ----


def test_the_same_setup_is_accepted(calibration):
    calibration.check(dict(reversed(SETUP.items())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "b" * 64}, "another model (fingerprint aaaaaaaaaaaa instead of bbbbbbbbbbbb)"),
        ({"candidates": "lexical"}, "candidates='dense' instead of 'lexical'"),
        ({"num_candidates": 10}, "num_candidates=64 instead of 10"),
        ({"reranker": "some/cross-encoder"}, "the reranker None instead of 'some/cross-encoder'"),
        ({"exact": False}, "exact: True instead of False"),
        ({"future": 1}, "future=None instead of 1"),
        ({"candidates": "merged", "num_candidates": 8}, "candidates='dense' instead of 'merged'; num_candidates=64"),
    ],
)
def test_another_setup_is_refused(change, message, calibration):
    with pytest.raises(ValueError, match="Its probabilities do not hold here") as refused:
        calibration.check(SETUP | change)
    assert message in str(refused.value)


# ---- Other shares of NIL ----


def odds(share):
    return share / (1 - share)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.6])
def test_bayes_rule(rate, calibration):
    """Odds of NIL change by the odds of the shares: 208 of 1000 then, of which 8 of 800 were not retrieved."""
    scores = np.array([[0.5, 0.4], [0.2, 0.1]])
    adjusted = calibration.with_nil_rate(rate)
    before, after = (each.probabilities(scores)[1] for each in (calibration, adjusted))
    none = rate + (1 - rate) * 0.01
    np.testing.assert_allclose(odds(after) / odds(before), odds(none) / odds(0.208))
    assert adjusted.threshold == calibration.threshold and adjusted.fitted_on["adjusted_to_nil_rate"] == rate
    assert "adjusted_to_nil_rate" not in calibration.fitted_on


def test_the_share_it_was_fitted_with_changes_nothing(calibration):
    assert calibration.with_nil_rate(0.2).nil_score == pytest.approx(calibration.nil_score)


def test_no_nil_and_nothing_missed_stays_finite(calibration):
    adjusted = replace(calibration, fitted_on=FITTED_ON | {"not_retrieved": 0}).with_nil_rate(0)
    assert 0 < adjusted.probabilities(np.array([[0.5, 0.4]]))[1][0] < 0.01


def test_shares_that_cannot_be(calibration):
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="nil_rate is a share"):
            calibration.with_nil_rate(rate)
    with pytest.raises(ValueError, match="has no 'observations'"):
        Calibration(1.0, 0.0, 0.5, 2).with_nil_rate(0.1)
