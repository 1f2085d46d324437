"""The doctor on released files. `HF_MEL_DATA` names a folder with `wikimel/` and `richpediamel_sample/`."""

import os
import time
from pathlib import Path

import pytest

from hf_mel.data import load_layout
from hf_mel.doctor import diagnose


ROOT = os.environ.get("HF_MEL_DATA")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not ROOT, reason="HF_MEL_DATA does not name a folder with the released benchmark files"),
]


def leakage(diagnosis, earlier="train", later="test"):
    return next(pair for pair in diagnosis.leakage if (pair["earlier"], pair["later"]) == (earlier, later))


def explanations(diagnosis):
    return {row["name"]: row["explanation"] for row in diagnosis.published}


def test_wikimel_ghmfc():
    data = load_layout("ghmfc", Path(ROOT) / "wikimel" / "ghmfc", validate=False)
    begin = time.perf_counter()
    diagnosis = diagnose(data)
    assert time.perf_counter() - begin < 60
    statistics = diagnosis.statistics
    assert (statistics["mentions"], statistics["captions"]) == (25_846, 22_136)
    assert (statistics["sentences"], statistics["entities"]) == (22_070, 18_880)
    assert diagnosis.finding("mentions_not_in_text").count == 740
    folder = diagnosis.finding("incomplete_picture_folders")
    assert (
        folder.count == 1 and sum(folder.details.values()) == 25_777 and diagnosis.finding("missing_pictures") is None
    )
    for kind in ("unknown_gold", "nil", "offset_mismatches", "duplicate_mention_ids", "unreadable_pictures"):
        assert diagnosis.finding(kind) is None
    assert diagnosis.finding("repeated_mentions").count == 71
    assert diagnosis.finding("contradictory_mentions").count == 24
    assert diagnosis.finding("quoting_escapes").count == 14
    found, expected = leakage(diagnosis)["captions"], leakage(diagnosis)["expected_if_dealt_by_mention"]
    assert (found["shared"], found["distinct"]) == (24, 4_409)
    assert 0.19 < expected["captions_share"] < 0.20 < expected["mentions_share"] < 0.21
    reasons = explanations(diagnosis)
    assert set(reasons.values()) == {None} and {"train", "test", "entities"} <= reasons.keys()
    assert diagnosis.finding("statistics_unexplained") is diagnosis.finding("statistics_differ") is None
    assert sum(diagnosis.ambiguity["same_name"].values()) == 25_846
    recall = diagnosis.candidates["recall"]["all"]
    assert recall["linked"] == 25_846 and 0.96 < recall["recall@10"] < 0.98 and recall["recall@100"] > 0.99


def test_wikimel_dealt_out_by_mention():
    """The sizes that are published, and the leakage that comes with them."""
    folder = Path(ROOT) / "wikimel" / "melbench"
    diagnosis = diagnose(load_layout("melbench", folder, split_by="mention", validate=False))
    assert [counts["mentions"] for counts in diagnosis.statistics["splits"].values()] == [18_092, 2_585, 5_169]
    assert diagnosis.statistics["captions"] == 22_136
    pair = leakage(diagnosis)
    expected = pair["expected_if_dealt_by_mention"]
    assert pair["captions"]["share"] == pytest.approx(expected["captions_share"], abs=0.01)
    assert pair["captions"]["mentions_share"] == pytest.approx(expected["mentions_share"], abs=0.01)
    assert 0.19 < pair["captions"]["share"] < 0.205
    assert set(explanations(diagnosis).values()) == {None}


@pytest.mark.parametrize(
    ("layout", "folder", "captions"),
    [
        ("ghmfc", "richpediamel/ghmfc", None),
        ("ghmfc", "richpediamel/ghmfc", "richpediamel/melbench/Richpedia-MEL.json"),
        ("melbench", "richpediamel/melbench", None),
        ("kgmel", "wikidiverse/kgmel", None),
    ],
)
def test_complete_releases_are_as_expected(layout, folder, captions):
    captions = captions and Path(ROOT) / captions
    data = load_layout(layout, Path(ROOT) / folder, captions=captions, validate=False)
    diagnosis = diagnose(data, pictures=False)
    assert diagnosis.finding("statistics_unexplained") is None
    reasons = set(explanations(diagnosis).values()) - {None}
    left_out = sum(split["left_out"] for split in data.report["splits"].values())
    assert (left_out, reasons) == ((0, set()) if layout == "kgmel" else (1, {"the reader left out 1 mention"}))


def test_richpediamel_sample():
    data = load_layout("ghmfc", Path(ROOT) / "richpediamel_sample" / "ghmfc", validate=False)
    diagnosis = diagnose(data)
    assert diagnosis.statistics["mentions"] == 389
    assert diagnosis.pictures["mentions"]["ok"] == 9
    assert leakage(diagnosis)["entities"]["shared"] == 0
