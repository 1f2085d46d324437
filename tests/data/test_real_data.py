"""The converters on released files. `HF_MEL_DATA` names a folder with `wikimel/` and `richpediamel_sample/`."""

import os
from pathlib import Path

import pytest

from hf_mel.data import load_layout


ROOT = os.environ.get("HF_MEL_DATA")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not ROOT, reason="HF_MEL_DATA does not name a folder with the released benchmark files"),
]


def counted(report, name):
    return tuple(split[name] for split in report["splits"].values())


def test_wikimel_ghmfc():
    data = load_layout("ghmfc", Path(ROOT) / "wikimel" / "ghmfc", check_images=True)
    report = data.report
    assert counted(report, "mentions") == (18_088, 2_627, 5_131)
    assert counted(report, "captions") == (15_511, 2_213, 4_412)
    assert counted(report, "unknown_captions") == (1_580, 230, 471)
    assert sum(counted(report, "not_in_sentence")) == 740
    assert counted(report, "offset_mismatch") == (0, 0, 0)
    assert counted(report, "nil") == (0, 0, 0)
    assert sum(table["start"][:].count(None) for table in data.mentions.values()) == 740
    assert report["captions_in_no_split"] == 0
    assert len(data.entities) == 18_880 and data.entities.text_field == "attributes"
    assert all(data.entities.texts())
    assert len(set(data.entities.identity.tolist())) == 18_880
    pictures = {row["id"].split("-")[0] for table in data.mentions.values() for row in
                table.filter(lambda status: status == "ok", input_columns="image_status", keep_in_memory=True)
                .select_columns(["id"])}  # fmt: skip
    assert len(pictures) == 38  # of the 45 photographs; the release has no caption for the others


def test_wikimel_melbench():
    report = load_layout("melbench", Path(ROOT) / "wikimel" / "melbench").report
    assert sum(counted(report, "mentions")) == 25_846
    assert sum(counted(report, "captions")) == 22_136
    assert report["entities"] == 17_391
    assert report["test_sentences_in_train"] == 0


def test_richpediamel_sample():
    data = load_layout("ghmfc", Path(ROOT) / "richpediamel_sample" / "ghmfc", check_images=True)
    assert counted(data.report, "mentions") == (277, 31, 81)
    assert data.report["validation_carved_from_train"] == 31
    assert len(data.entities) == 1_260
    assert sum(split["images"]["ok"] for split in data.report["splits"].values()) == 9
    assert data.report["test_entities_unseen"] == 81
    row = data.mentions["test"][data.mentions["test"]["id"][:].index("Q42-0")]
    assert (row["mention"], row["start"], row["end"]) == ("Adams", 13, 18)
