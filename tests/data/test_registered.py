"""`load_dataset("wikimel", data_dir=RAW)` after `register_datasets()`."""

import os
import pickle
import shutil

import pytest
from datasets import get_dataset_config_names, load, load_dataset, load_dataset_builder, packaged_modules

from hf_mel.compat import datasets as compat
from hf_mel.data import load_layout
from hf_mel.data.registered import register_datasets
from tests.data.layouts.fixtures import write_mimic, write_pictures, write_wikidiverse


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Registered for one test only."""
    monkeypatch.setattr(load, "PackagedDatasetModuleFactory", load.PackagedDatasetModuleFactory)
    monkeypatch.setattr(compat, "_REGISTERED", {})
    before = dict(packaged_modules._PACKAGED_DATASETS_MODULES)
    yield register_datasets()
    packaged_modules._PACKAGED_DATASETS_MODULES.clear()
    packaged_modules._PACKAGED_DATASETS_MODULES.update(before)


@pytest.fixture
def raw(tmp_path):
    return write_mimic(tmp_path / "raw" / "WikiMEL", extra=120)


def rows_of(table) -> list[dict]:
    """Records with the pixels of their pictures."""
    return [{**row, "image": row["image"] and row["image"].convert("RGB").tobytes()} for row in table]


def test_both_configs_are_what_the_layout_reads(raw):
    expected = load_layout("mimic", raw, check_images=True)
    mentions = load_dataset("wikimel", data_dir=str(raw))
    assert list(mentions) == ["train", "validation", "test"]
    for split, table in mentions.items():
        assert table.features == expected.mentions[split].features
        assert rows_of(table) == rows_of(expected.mentions[split])
    entities = load_dataset("wikimel", "entities", data_dir=str(raw), split="train")
    assert rows_of(entities) == rows_of(expected.entities.dataset)
    assert sum(row["image"] is not None for row in entities) > 100


def test_columns_that_only_some_layouts_have(tmp_path):
    raw = write_wikidiverse(tmp_path / "raw")
    for streaming in (True, False):  # a stream of what nothing is known of yet
        first = next(iter(load_dataset("wikidiverse", data_dir=str(raw), split="train", streaming=streaming)))
        assert isinstance(first["candidates"], list) and first["candidates"]


def test_streaming_gives_the_same(raw):
    for config in ("mentions", "entities"):
        stream = load_dataset("wikimel", config, data_dir=str(raw), split="train", streaming=True)
        streamed = rows_of(stream)  # before anything is in the cache
        table = load_dataset("wikimel", config, data_dir=str(raw), split="train")
        assert stream.features == table.features
        assert streamed == rows_of(table)


def test_several_processes_give_the_same(raw, tmp_path):
    one = load_dataset("wikimel", "entities", data_dir=str(raw), split="train")
    two = load_dataset(
        "wikimel", "entities", data_dir=str(raw), split="train", num_proc=2, cache_dir=str(tmp_path / "other")
    )
    assert rows_of(one) == rows_of(two)


def test_options_reach_the_layout(raw, tmp_path):
    shutil.move(raw / "mention_image", tmp_path / "elsewhere")
    without = load_dataset("wikimel", data_dir=str(raw), split="train")
    assert set(without["image_status"]) == {"missing_file", "none"}
    found = load_dataset(
        "wikimel", data_dir=str(raw), split="train", images=str(tmp_path / "elsewhere"), layout="mimic"
    )
    assert found["image_status"].count("ok") > 100
    with pytest.raises(ValueError, match="unknown layout 'mimik'; did you mean 'mimic'"):
        load_dataset("wikimel", data_dir=str(raw), layout="mimik")


# ---- The cache ----


def counted(monkeypatch) -> list:
    """A list that grows each time the released files are read."""
    from hf_mel.data.registered import sources

    calls, read = [], sources.read_layout
    monkeypatch.setattr(sources, "read_layout", lambda *args, **options: (calls.append(1), read(*args, **options))[1])
    return calls


def test_a_second_call_reads_nothing(raw, monkeypatch):
    calls = counted(monkeypatch)
    first = load_dataset("wikimel", data_dir=str(raw), split="train")
    assert len(calls) == 1
    second = load_dataset("wikimel", data_dir=str(raw), split="train")
    assert len(calls) == 1
    assert second.cache_files == first.cache_files


@pytest.mark.parametrize("change", ["captions", "entities", "touched", "new picture", "picture gone"])
def test_changed_files_are_converted_again(raw, monkeypatch, change):
    calls = counted(monkeypatch)
    load_dataset("wikimel", "entities", data_dir=str(raw))
    if change == "captions":
        with open(raw / "WIKIMEL_train.json", "a") as file:
            file.write(" ")
    elif change == "entities":
        text = (raw / "kb_entity.json").read_text()
        (raw / "kb_entity.json").write_text(text.replace("Slenaken", "Slenaken am See"))
    elif change == "touched":
        os.utime(raw / "kb_entity.json", ns=(1, 1))
    elif change == "new picture":
        write_pictures(raw / "kb_image", "Q99989_0.jpg")
    else:
        (raw / "kb_image" / "Q345_0.jpg").unlink()
    table = load_dataset("wikimel", "entities", data_dir=str(raw), split="train")
    assert len(calls) == 2
    by_id = {row["id"]: row for row in table}
    assert by_id["Q99989"]["name"] == ("Slenaken am See" if change == "entities" else "Slenaken")
    assert by_id["Q99989"]["image_status"] == ("ok" if change == "new picture" else "missing_file")
    assert by_id["Q345"]["image_status"] == ("missing_file" if change == "picture gone" else "ok")


def test_no_folder_is_searched(raw, monkeypatch):
    """What costs 20 seconds with 20,000 pictures: looking for files to load, in the folder or in the working directory."""
    import datasets.data_files as data_files

    def refused(*args, **kwargs):
        raise AssertionError(f"looked for files: {args}")

    for name in ("resolve_pattern", "get_data_patterns"):
        monkeypatch.setattr(data_files, name, refused)
    monkeypatch.setattr(load, "get_data_patterns", refused)
    for _ in range(2):
        assert len(load_dataset("wikimel", data_dir=str(raw), split="test")) == 2


def test_pictures_are_not_looked_at_when_the_result_is_cached(raw, monkeypatch):
    from pathlib import Path

    load_dataset("wikimel", data_dir=str(raw))
    seen, stat = [], Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **kwargs: (seen.append(self.name), stat(self, **kwargs))[1])
    load_dataset("wikimel", data_dir=str(raw))
    assert "WIKIMEL_train.json" in seen
    assert not [name for name in seen if name.endswith(".jpg")]


# ---- Names and errors ----


def test_names(registered, raw):
    assert registered == ["wikimel", "richpediamel", "wikidiverse", "merlin", "melart", "emojimel"]
    assert get_dataset_config_names("wikimel") == ["mentions", "entities"]
    assert register_datasets() == registered, "twice is once"
    with pytest.raises(ValueError, match="'pictures' not found. Available: .*mentions.*entities"):
        load_dataset("wikimel", "pictures", data_dir=str(raw))


def test_a_missing_folder_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'wikimel' is read from its released files.*data_dir=.*\"\./wikimel\""):
        load_dataset("wikimel")
    with pytest.raises(FileNotFoundError, match="no folder .*absent"):
        load_dataset("wikimel", data_dir=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="pass `data_dir`, not `data_files`"):
        load_dataset("wikimel", data_files=["kb_entity.json"])


def test_other_names_are_left_alone(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert load_dataset("csv", data_files=str(tmp_path / "rows.csv"), split="train")[0] == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="has a builder 'csv' already"):
        compat.register_builder("csv", "hf_mel.data.registered.builder", "")


def test_emojimel_needs_no_folder(tmp_path):
    from hf_mel.data.emojimel import load_emojimel

    expected = load_emojimel()
    mentions = load_dataset("emojimel", split="test")
    assert mentions.features == expected.mentions["test"].features
    assert mentions["id"][:] == expected.mentions["test"]["id"][:]
    assert mentions[0]["image"].tobytes() == expected.mentions["test"][0]["image"].tobytes()
    assert len(load_dataset("emojimel", "entities", split="train")) == len(expected.entities)
    with pytest.raises(ValueError, match="part of the package"):
        load_dataset("emojimel", data_dir=str(tmp_path))


def test_the_builder_can_be_pickled(raw):
    builder = load_dataset_builder("wikimel", "entities", data_dir=str(raw))
    builder.download_and_prepare()
    assert builder._source is not None
    again = pickle.loads(pickle.dumps(builder))
    assert again._source is None
    assert len(again.as_dataset(split="train")) == 125
