"""The layout `merlin`: Parquet and JSON lines of five languages, and what `load_dataset` returns."""

import json

import pytest
from datasets import Dataset, DatasetDict, load_dataset

from hf_mel.cli import data_check
from hf_mel.cli.data_build import run
from hf_mel.data import build_dataset, load_data, load_layout, load_merlin, merlin_rows
from hf_mel.doctor import diagnose

from .further_fixtures import MERLIN, MERLIN_COLUMNS, merlin_tables, write_lines, write_merlin


KEYS = ("id", "mention", "text", "start", "end", "entity_id", "entity_name", "language")
MENTIONS = [
    ("hi-0", "बर्लिन", "बर्लिन में बर्फ़", 0, 6, "Q64", "Berlin", "hi"),
    ("hi-1", "पोलैंड", "पोलैंड और बर्लिन", 0, 6, "Q36", "Poland", "hi"),
    ("vi-0", "Hà Nội", "Hà Nội đón bão", 0, 6, "Q1858", "Hanoi", "vi"),
    ("vi-1", "Một người lạ", "Một người lạ ở Hà Nội", 0, 12, None, None, "vi"),
    ("vi-2", "Berlin", "Berlin và Hà Nội", 0, 6, "Q64", "Berlin, Germany", "vi"),
]


def texts(data):
    assert list(data.mentions) == ["train"]
    return [tuple(row[key] for key in KEYS) for row in data.mentions["train"].remove_columns("image")]


@pytest.mark.parametrize(
    ("form", "statuses"),
    [("parquet", ["ok", "ok", "ok", "ok", "none"]), ("jsonl", ["ok", "missing_file", "ok", "missing_file", "none"])],
)
def test_every_record(tmp_path, form, statuses):
    data = load_layout("auto", write_merlin(tmp_path / "raw", form), check_images=True)
    assert texts(data) == MENTIONS and data.mentions["train"]["image_status"][:] == statuses
    assert data.entities.ids == ["Q64", "Q36", "Q1858"] and data.entities.names() == ["Berlin", "Poland", "Hanoi"]
    assert data.entities.aliases()[0] == ["Berlin, Germany"]
    report = data.report
    assert (report["benchmark"], report["languages"], report["knowledge_base"]) == (
        "merlin",
        "hi, vi",
        "gold entities",
    )
    assert json.loads(json.dumps(report)) == report


def test_the_output_of_load_dataset(tmp_path):
    tables = merlin_tables(tmp_path)
    of_folder = load_layout("merlin", write_merlin(tmp_path / "raw"))
    for given in (tables, {name: DatasetDict({"train": table}) for name, table in tables.items()}):
        data = load_merlin(given, check_images=True)
        assert texts(data) == MENTIONS and data.report["splits"]["train"]["images"] == {"none": 1, "ok": 4}
        assert data.mentions["train"][2]["image"].tobytes() == of_folder.mentions["train"][2]["image"].tobytes()
    from_hub = {"vi": load_dataset(str(tmp_path / "raw" / "vi"))}
    assert texts(load_merlin(from_hub, pictures=False)) == MENTIONS[2:]
    build_dataset(merlin_rows(tables), tmp_path / "merlin", name="merlin")
    assert texts(load_data(tmp_path / "merlin")) == MENTIONS


def test_one_language_and_a_split_for_evaluation(tmp_path):
    raw = write_merlin(tmp_path / "raw")
    data = load_layout("auto", raw / "vi")
    assert texts(data) == MENTIONS[2:] and data.entities.ids == ["Q1858", "Q64"]
    assert data.report["part_of_release"] == "1 of 5 languages (vi)"
    (raw / "vi" / "train-00000-of-00001.parquet").rename(raw / "vi" / "test-00000-of-00001.parquet")
    assert {split: len(table) for split, table in load_layout("auto", raw).mentions.items()} == {"train": 2, "test": 3}


def test_build_and_check(tmp_path, capsys):
    raw, out = write_merlin(tmp_path / "raw"), tmp_path / "merlin"
    run(["merlin", "--raw", str(raw), "--out", str(out)])
    assert texts(load_data(out)) == MENTIONS
    card = (out / "README.md").read_text()
    assert (
        "with the split train" in card
        and "| mentions, train | 5 | 7,159 |" in card
        and "ramamoorthy2026merlin" in card
    )
    capsys.readouterr()
    assert data_check.run([str(out)]) == 0
    assert "5 here, 7,159 expected: only 2 of 5 languages (hi, vi) were read" in capsys.readouterr().out


def test_bad_records_are_left_out_and_named(tmp_path, capsys):
    raw = tmp_path / "raw"
    good = [dict(zip(MERLIN_COLUMNS, row, strict=True)) for row in MERLIN["hi"]]
    bad = [
        {**good[0], "Wikidata ID": 64},
        {key: value for key, value in good[0].items() if key != "Entity Name"},
        {**good[0], "Image Name": "../secret.jpg"},
        {**good[0], "Image Name": 5},
        "{",
        {**good[0], "Entity Name": "\n\n"},
    ]
    write_lines(raw / "hi.jsonl", [good[0], *bad, {**good[1], "English Wikipedia Title": None}])
    data = load_layout("auto", raw)
    assert [row[0] for row in texts(data)] == ["hi-0", "hi-7"]
    reasons = [entry["reason"] for entry in data.report["records_left_out"]]
    expected = ["`Wikidata ID` is 64", "`Entity Name` is missing", "not the name of a file", "not the name of a file",
                "is no JSON", "which is no text"]  # fmt: skip
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True))
    assert data.report["splits"]["train"]["left_out"] == 6
    assert data.report["records_left_out"][0]["record"] == "hi, hi.jsonl, line 2"
    # Without a title, the name of an entity is its id, not the mention, which would give the answer away.
    assert data.entities.names() == ["Berlin", "Q36"] and data.report["entities_named_by_their_id"] == 1
    assert diagnose(data).finding("records_left_out").count == 6
    with pytest.raises(ValueError, match="6 problems"):
        run(["merlin", "--raw", str(raw), "--out", str(tmp_path / "out"), "--strict"])


def test_what_is_no_merlin(tmp_path):
    with pytest.raises(FileNotFoundError, match="layout 'merlin' needs files that are not there"):
        load_layout("merlin", tmp_path)
    raw = write_merlin(tmp_path / "raw")
    (raw / "hi" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(ValueError, match="hi/train-00000-of-00001.parquet is no whole Parquet file"):
        load_layout("merlin", raw)
    with pytest.raises(ValueError, match="`tables` is empty"):
        load_merlin({})
    with pytest.raises(ValueError, match=r"tables\['hi'\], split 'train': no column 'Entity Name', 'Wikidata ID'"):
        load_merlin({"hi": Dataset.from_dict({"Article Title": ["a"]})})
    with pytest.raises(ValueError, match=r"tables\['hi'\] is a list, not a Dataset"):
        load_merlin({"hi": [{}]})
