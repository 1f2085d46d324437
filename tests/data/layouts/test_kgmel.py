import json
import os
from pathlib import Path

import pytest

from hf_mel.data import load_layout
from hf_mel.data.layouts import read_layout

from .fixtures import KGMEL_SPLITS, kgmel_captions, write_json, write_kgmel, write_pictures
from .test_mimic import KEYS, rows


DOOHAN = "Doohan of Star Trek in a Star Trek movie."
FILM = "Star Trek (film)"
MENTIONS = {
    "train": [
        ("train-0-0", "Doohan", DOOHAN, 0, 6, "mention_0.jpg", "ok", "Q318412", "James Doohan"),
        ("train-0-1", "Star Trek", DOOHAN, 10, 19, "mention_0.jpg", "ok", "Q213081", FILM),
        ("train-0-2", "Star Trek", DOOHAN, 25, 34, "mention_0.jpg", "ok", "Q213081", FILM),
        ("train-2-0", "Mr X", "Mr X of Prague", 0, 4, None, "none", None, None),
        ("train-2-1", "Prague", "Mr X of Prague", 8, 14, None, "none", "Q1085", "Prague"),
        ("train-1-0", "Czech", "A Czech cyclist", 2, 7, "mention_2.jpg", "ok", "Q213", "Czech Republic"),
    ],
    # Caption 1 is in two splits, so every id begins with its split.
    "validation": [
        ("validation-1-0", "Czech", "A Czech cyclist", 2, 7, "mention_2.jpg", "ok", "Q213", "Czech Republic")
    ],
    "test": [
        ("test-40-0", "Prague", "Prague at night", 0, 6, None, "missing_file", "Q1085", "City of Prague"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("benchmark", ["wikidiverse", "wikimel", "richpediamel"])
def test_every_record(tmp_path, benchmark, caplog):
    data = load_layout("kgmel", write_kgmel(tmp_path, benchmark), check_images=True)
    for split, expected in MENTIONS.items():
        assert [tuple(row[key] for key in KEYS) for row in rows(data.mentions[split])] == expected
    # Gold entities; that of the caption in no split is among them, as it is in the release.
    assert data.entities.ids == ["Q318412", "Q213081", "Q213", "Q1085", "Q14960"]
    assert data.entities.names() == ["James Doohan", FILM, "Czech Republic", "Prague", "Brno"]
    assert data.entities.aliases()[3] == ["City of Prague"]
    assert "ids_split_mappings.json: captions 1 are in several splits, and are read into each" in caplog.text
    assert data.report["benchmark"] == benchmark


def test_report(tmp_path):
    report = load_layout("auto", write_kgmel(tmp_path)).report
    assert json.loads(json.dumps(report)) == report
    expected = {
        "layout": "kgmel",
        "split_rule": "ids_split_mappings.json",
        "ids_repeated_within_splits": 0,
        "ids_repeated_between_splits": 1,
        "captions_in_several_splits": 1,
        "captions_in_no_split": 1,
        "knowledge_base": "gold entities",
        "entities": 5,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["splits"]["validation"] == {
        "mentions": 1, "nil": 0, "not_in_text": 0, "offset_mismatch": 0, "captions": 1, "listed_captions": 2,
        "unknown_captions": 1, "left_out": 0, "images": {"ok": 1},
    }  # fmt: skip


def test_ids_stay_short_where_they_are_unique(tmp_path):
    write_kgmel(tmp_path, pictures=False)
    write_json(tmp_path, ids_split_mappings={"WikiDiverse": {**KGMEL_SPLITS, "val": [41]}})
    data = load_layout("kgmel", tmp_path)
    assert data.mentions["validation"]["id"][:] == ["41-0"] and data.mentions["test"]["id"][:] == ["40-0"]


def test_a_knowledge_base_beside_the_captions(tmp_path):
    data = load_layout("kgmel", write_kgmel(tmp_path, kb=True))
    assert data.report["knowledge_base"] == "kb_entity.json" and data.report["qid2id"] == "not there"
    assert data.entities.texts([0]) == ["about James Doohan"]
    raw = read_layout("kgmel", tmp_path)[1]
    assert [path.name for path in raw.files] == ["WikiDiverse.json", "ids_split_mappings.json", "kb_entity.json"]


def test_the_folders_of_the_release(tmp_path):
    """The mapping in a folder of its own, the pictures in one for each benchmark."""
    write_kgmel(tmp_path, pictures=False)
    (tmp_path / "mapping").mkdir()
    (tmp_path / "ids_split_mappings.json").rename(tmp_path / "mapping" / "ids_split_mappings.json")
    write_pictures(tmp_path / "image" / "WikiDiverse", "mention_0.jpg", "mention_2.jpg", "mention_41.jpg")
    data = load_layout("auto", tmp_path, strict_images=True)
    assert data.report["splits"]["test"]["images"] == {"ok": 1}
    elsewhere = os.fspath(tmp_path / "image" / "WikiDiverse")
    assert load_layout("kgmel", tmp_path, images=elsewhere).report["splits"]["test"]["images"] == {"ok": 1}


def test_missing_pictures_are_said_aloud(tmp_path, caplog):
    data = load_layout("kgmel", write_kgmel(tmp_path, pictures=False))
    [message] = [record.message for record in caplog.records if record.levelname == "ERROR"]
    place = f"the folder of pictures {tmp_path / 'mention_image'} is empty or not there"
    assert f"{place}, records without their picture: 6" in message
    assert {entry["file"] for entry in data.report["pictures"]} == {str(tmp_path / "mention_image")}


def test_a_dirty_folder_of_pictures(tmp_path):
    write_kgmel(tmp_path)
    (tmp_path / "mention_image" / "mention_2.jpg").write_bytes(b"")
    data = load_layout("kgmel", tmp_path, check_images=True)
    assert data.report["splits"]["train"]["images"] == {"none": 2, "ok": 3, "unreadable": 1}
    reasons = {Path(entry["file"]).name: entry["reason"] for entry in data.report["pictures"]}
    assert reasons["mention_2.jpg"].endswith("is empty") and reasons["mention_41.jpg"].endswith("is not there")


def test_which_benchmark(tmp_path):
    write_kgmel(tmp_path, pictures=False)
    captions = (tmp_path / "WikiDiverse.json").read_text()
    (tmp_path / "WikiMEL.json").write_text(captions)
    with pytest.raises(ValueError, match="holds wikidiverse, wikimel: choose one by `benchmark=`"):
        load_layout("auto", tmp_path)
    assert load_layout("auto", tmp_path, benchmark="wikidiverse").report["benchmark"] == "wikidiverse"
    with pytest.raises(ValueError, match="benchmark='richpediamel': .* holds wikidiverse, wikimel"):
        load_layout("kgmel", tmp_path, benchmark="richpediamel")
    write_json(tmp_path, ids_split_mappings={"WikiDiverse": KGMEL_SPLITS})
    with pytest.raises(ValueError, match="has splits of wikidiverse, none of wikimel"):
        load_layout("kgmel", tmp_path, benchmark="wikimel")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"WikiMEL\.json, .*ids_split_mappings\.json\. .* with the captions"):
        load_layout("kgmel", tmp_path / "empty", benchmark="wikimel")


# ---- Bad input ----


def test_malformed_captions_are_all_listed(tmp_path):
    write_kgmel(tmp_path, pictures=False)
    good = kgmel_captions()[1]
    bad = [
        good, good, {**good, "id": True}, {**good, "id": 3, "answer": []}, {**good, "id": 4, "mention": [""]},
        {**good, "id": 5, "imgPath": "/etc/passwd"}, {key: good[key] for key in good if key != "entity"},
        {**good, "id": 6, "entity": "Prague"}, {**good, "id": 7, "sentence": None},
    ]  # fmt: skip
    write_json(tmp_path, WikiDiverse=bad)
    with pytest.raises(ValueError) as raised:
        load_layout("kgmel", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'WikiDiverse.json'}: 6 problems")
    for line in (
        "record 2: `id` 1 is that of another record too",
        "record 3: `id` is True, neither a number nor a string",
        "record 4: 1 `mention`, 1 `entity`, 0 `answer` do not match",
        "record 6: `imgPath` is '/etc/passwd', not the name of a file",
        "record 7: `entity` is missing",
        "record 8: `entity` is 'Prague', not a list of strings",
    ):
        assert line in message


def test_malformed_mappings(tmp_path):
    write_kgmel(tmp_path, pictures=False)

    def problems(splits):
        write_json(tmp_path, ids_split_mappings={"WikiDiverse": splits})
        with pytest.raises(ValueError) as raised:
            load_layout("kgmel", tmp_path)
        return str(raised.value)

    message = problems({"train": [0, 0], "val": "1", "dev": [1], "validation": [2], "rest": []})
    assert "ids_split_mappings.json: 4 problems" in message
    assert "wikidiverse, split 'train': names caption 0 2 times" in message
    assert "wikidiverse, split 'val': is not a list of ids" in message
    assert "wikidiverse, split 'validation': is there under another name too" in message
    assert "wikidiverse, split 'rest': is unknown" in message
    assert "wikidiverse: has no split for test" in problems({"train": [0], "val": [1]})
    assert "wikidiverse is [0], not an object of ids by split" in problems([0])
    assert "split 'test': has no mention" in problems({"train": [0], "val": [1], "test": [99]})


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("HF_MEL_DATA"), reason="HF_MEL_DATA does not name a folder with released files")
def test_the_real_sample():
    data = load_layout("auto", Path(os.environ["HF_MEL_DATA"]) / "wikidiverse_sample" / "kgmel", check_images=True)
    report = data.report
    assert (report["layout"], report["benchmark"]) == ("kgmel", "wikidiverse")
    # 603 mentions in 300 captions; those of three captions are read into two or three splits.
    assert {split: len(table) for split, table in data.mentions.items()} == {
        "train": 590,
        "validation": 10,
        "test": 11,
    }
    assert {split: counts["captions"] for split, counts in report["splits"].items()} == {
        "train": 293, "validation": 5, "test": 6
    }  # fmt: skip
    assert (report["captions_in_several_splits"], report["captions_in_no_split"]) == (3, 0)
    assert report["ids_repeated_between_splits"] == 611 - 603
    assert report["knowledge_base"] == "gold entities" and len(data.entities) == 513
    assert sum(table["start"][:].count(None) for table in data.mentions.values()) == 0
    assert sum(counts["nil"] for counts in report["splits"].values()) == 0
    row = data.mentions["train"][data.mentions["train"]["id"][:].index("train-4-3")]
    assert (row["mention"], row["start"], row["entity_id"], row["image_status"]) == (
        "Star Trek", 84, "Q213081", "missing_file"
    )  # fmt: skip
