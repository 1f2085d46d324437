"""The converters on released files. `HF_MEL_DATA` names a folder with `wikimel/` and `richpediamel_sample/`."""

import os
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset

from hf_mel.data import build_benchmark, load_benchmark, load_data, load_layout


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
    assert sum(counted(report, "not_in_text")) == 740
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


# ---- WikiMEL as Parquet ----


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder `wikimel` and the report of its build."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        report = build_benchmark("wikimel", Path(ROOT) / "wikimel" / "ghmfc", folder / "wikimel")
    return folder / "wikimel", report


def test_build_of_wikimel(built):
    _, report = built
    assert report["origin"] == {"layout": "ghmfc"}
    assert counted(report, "mentions") == (18_088, 2_627, 5_131) and sum(counted(report, "mentions")) == 25_846
    assert report["entities"] == 18_880 and report["sentences"] == 22_070
    assert sum(counted(report, "not_in_text")) == 740
    assert sum(images["ok"] for images in counted(report, "images")) == 69
    assert len(report["pictures"]) == 22_136 - 38
    assert {entry["status"] for entry in report["pictures"]} == {"missing_file"}
    assert str(ROOT) not in str(report)


def test_load_dataset_on_wikimel(built, monkeypatch):
    folder, report = built
    monkeypatch.chdir(folder.parent)
    mentions = load_dataset("wikimel")
    assert mentions.num_rows == {"train": 18_088, "validation": 2_627, "test": 5_131}
    assert sum(table["start"][:].count(None) for table in mentions.values()) == 740
    entities = load_dataset(str(folder), "entities", split="train")
    assert entities.num_rows == 18_880 and set(mentions["test"]["entity_id"][:]) <= set(entities["id"][:])
    row = mentions["test"]["image_status"][:].index("ok")
    picture = mentions["test"][row]["image"]
    assert min(picture.size) > 100 and picture.convert("RGB").getextrema() != ((0, 0),) * 3
    stream = load_dataset(str(folder), "mentions", split="validation", streaming=True)
    assert next(iter(stream))["id"] == mentions["validation"][0]["id"]
    projected = load_dataset(str(folder), split="test", columns=["id", "entity_id"])
    assert projected[0] == {name: mentions["test"][name][0] for name in ("id", "entity_id")}


def test_a_built_wikimel_is_the_released_one(built):
    folder, report = built
    released = load_benchmark("wikimel", raw_dir=Path(ROOT) / "wikimel" / "ghmfc", check_images=True)
    for data in (load_benchmark("wikimel", path=folder), load_data(folder)):
        assert data.report == report
        assert data.entities.fingerprint == released.entities.fingerprint
        for split, table in released.mentions.items():
            for name in set(table.column_names) - {"image"}:
                assert data.mentions[split][name][:] == table[name][:]


def test_another_benchmark_is_not_taken_for_it():
    with pytest.raises(ValueError, match="benchmark='richpediamel': .*holds wikimel"):
        load_benchmark("richpediamel", raw_dir=Path(ROOT) / "wikimel" / "ghmfc")
    with pytest.raises(ValueError, match="benchmark='wikimel': .*holds richpediamel"):
        load_benchmark("wikimel", raw_dir=Path(ROOT) / "richpediamel_sample" / "ghmfc")


def test_wikidiverse_sample():
    data = load_benchmark("wikidiverse", raw_dir=Path(ROOT) / "wikidiverse_sample" / "kgmel")
    assert data.report["layout"] == "kgmel" and data.report["benchmark"] == "wikidiverse"
    assert len(data.entities) == data.report["entities"] > 100
