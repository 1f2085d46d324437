"""Raw files -> Parquet -> `load_dataset`: nothing is lost, and the bytes do not depend on how it was done."""

import json
import os
import pickle
import signal

import pyarrow.parquet as pq
import pytest
from datasets import Features, List, Value, load_dataset

from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES, load_layout
from hf_mel.data.building import build, build_benchmark, build_dataset
from hf_mel.data.building.pool import Workers, _end_with_parent
from hf_mel.data.building.writing import convert
from hf_mel.data.images import undecoded
from hf_mel.data.tables import PictureRule
from tests.data.building.common import contents, small_raw
from tests.data.layouts.fixtures import write_ghmfc, write_kgmel, write_melbench, write_mimic, write_wikidiverse


# ---- Round trips ----


RELEASES = {
    "mimic-wikimel": ("wikimel", lambda folder: write_mimic(folder, "wikimel", ids="per_split")),
    "mimic-wikimel-other-names": ("wikimel", lambda folder: write_mimic(folder, "wikimel", usual=False)),
    "mimic-richpediamel": ("richpediamel", lambda folder: write_mimic(folder, "richpediamel")),
    "mimic-richpediamel-other-names": (
        "richpediamel",
        lambda folder: write_mimic(folder, "richpediamel", usual=False),
    ),
    "mimic-wikidiverse": ("wikidiverse", lambda folder: write_mimic(folder, "wikidiverse", ids="per_caption")),
    "mimic-wikidiverse-other-names": ("wikidiverse", lambda folder: write_mimic(folder, "wikidiverse", usual=False)),
    "wikidiverse": ("wikidiverse", write_wikidiverse),
    "kgmel": ("wikidiverse", lambda folder: write_kgmel(folder, kb=True)),
    "ghmfc": ("wikimel", write_ghmfc),
    "melbench": ("wikimel", write_melbench),
}


def records(table) -> list[dict]:
    """Rows with the encoded bytes of their pictures, wherever these lie."""
    rows = []
    for row in undecoded(table):
        image = row["image"]
        if image is not None:
            with open(image["path"], "rb") if image["bytes"] is None else open(os.devnull, "rb") as file:
                image = image["bytes"] or file.read()
        rows.append({**row, "image": image})
    return rows


@pytest.mark.parametrize("release", RELEASES)
def test_round_trip(release, tmp_path):
    name, write = RELEASES[release]
    raw = write(tmp_path / "raw")
    expected = load_layout("auto", raw, benchmark=name, check_images=True)
    report = build_benchmark(name, raw, tmp_path / name)
    mentions = load_dataset(str(tmp_path / name))
    entities = load_dataset(str(tmp_path / name), "entities")
    assert list(mentions) == list(expected.mentions) and list(entities) == ["train"]
    for split, table in mentions.items():
        assert table.features == expected.mentions[split].features
        assert records(table) == records(expected.mentions[split])
    assert entities["train"].features == ENTITY_FEATURES
    assert records(entities["train"]) == records(expected.entities.dataset)
    pictures = [row["image"] for row in records(mentions["train"])]
    assert any(pictures), "the comparison above saw pictures"
    for key in ("entities", "entity_images", "text_field", "splits"):
        assert report[key] == expected.report[key]
    assert report["origin"]["layout"] == expected.report["layout"] == release.split("-")[0]


def test_what_the_quirks_become(tmp_path):
    """The same by hand: quoting, NIL, no picture, a missing file, two spans of one word."""
    build_benchmark("wikimel", write_mimic(tmp_path / "raw"), tmp_path / "wikimel")
    train = load_dataset(str(tmp_path / "wikimel"), split="train")
    assert train["mention"][:] == ["Madonna", "Madonna", "Slenaken", "Beyoncé", "this man", "Beyoncé Knowles"]
    assert train["entity_id"][:] == ["Q1744", "Q345", "Q99989", "Q36153", None, "Q36153"]
    assert train["image_status"][:] == ["ok", "ok", "ok", "none", "ok", "ok"]
    assert train[0]["image"].size == (8, 6)
    assert train["start"][5] is None
    test = load_dataset(str(tmp_path / "wikimel"), split="test")
    assert test["image_status"][:] == ["ok", "missing_file"] and test[1]["image"] is None


def test_further_columns_are_kept(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=5, train=3)
    raw.extra_features = Features({"kind": Value("string"), "glyphs": List(Value("string"))})
    raw.mentions["train"][0] |= {"kind": "text", "glyphs": ["a", "b"]}
    build_dataset(raw, tmp_path / "out", name="mine")
    train = load_dataset(str(tmp_path / "out"), split="train")
    assert train.features == Features({**MENTION_FEATURES, **raw.extra_features})
    assert train["glyphs"][:] == [["a", "b"], [], []] and train["kind"][:] == ["text", None, None]


# ---- Files ----


def test_names_shards_and_row_groups(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=450)
    report = build_dataset(raw, tmp_path / "out", name="mine", max_shard_bytes=100_000)
    files = sorted(contents(tmp_path / "out"))
    assert files == [
        "README.md",
        "build_report.json",
        *(f"entities/train-0000{number}-of-00003.parquet" for number in range(3)),
        "mentions/test-00000-of-00001.parquet",
        "mentions/train-00000-of-00002.parquet",
        "mentions/train-00001-of-00002.parquet",
        "mentions/validation-00000-of-00001.parquet",
    ]
    first = pq.ParquetFile(tmp_path / "out" / "entities" / "train-00000-of-00003.parquet")
    assert [first.metadata.row_group(number).num_rows for number in range(first.num_row_groups)] == [100, 100]
    assert [(entry["file"], entry["rows"]) for entry in report["files"]][-3:] == [
        ("entities/train-00000-of-00003.parquet", 200),
        ("entities/train-00001-of-00003.parquet", 200),
        ("entities/train-00002-of-00003.parquet", 50),
    ]
    assert sum(entry["bytes"] for entry in report["files"]) == sum(
        len(data) for name, data in contents(tmp_path / "out").items() if name.endswith(".parquet")
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert len(load_dataset(str(tmp_path / "out"), "entities", split="train")) == 450


def test_any_number_of_processes_gives_the_same_bytes(tmp_path):
    results = []
    for num_proc in (1, 4):
        raw = small_raw(tmp_path / "raw", entities=420)
        build_dataset(raw, tmp_path / f"out{num_proc}", name="mine", num_proc=num_proc, max_shard_bytes=100_000)
        results.append(contents(tmp_path / f"out{num_proc}"))
    assert results[0] == results[1]
    assert len(results[0]) > 6


def test_what_the_processes_get_can_be_pickled():
    """Where processes are started afresh, as on macOS and Windows, function, rows and rule travel like this."""
    rows = [{"id": "a", "mention": "x", "text": "x", "image": None}]
    task = (convert, rows, MENTION_FEATURES, PictureRule(embed=True))
    assert pickle.loads(pickle.dumps(_end_with_parent)) is _end_with_parent
    function, *arguments = pickle.loads(pickle.dumps(task))
    table, size, log, digest = function(*arguments)
    here = convert(*task[1:])
    assert table == here[0] and (size, digest) == (here[1], here[3]) and log.by_status == {"none": 1}


def _killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_process_is_told():
    with Workers(2) as workers, pytest.raises(RuntimeError, match="one of 2 processes was killed.*`num_proc`"):
        list(workers.map(_killed, ((number,) for number in range(20))))


@pytest.mark.parametrize("num_proc", [1, 2])
def test_few_rows_are_drawn_ahead(num_proc):
    """Memory stays flat only if nobody runs ahead of the writer."""
    drawn = 0

    def tasks():
        nonlocal drawn
        for number in range(100):
            drawn += 1
            yield (number,)

    with Workers(num_proc) as workers:
        for taken, result in enumerate(workers.map(abs, tasks()), start=1):
            assert result == taken - 1
            assert drawn <= taken + 2 * num_proc


def test_large_pictures_can_be_scaled_down(tmp_path):
    from tests.data.building.common import picture

    raw = small_raw(tmp_path / "raw", entities=3, train=2)
    picture(tmp_path / "raw" / "images" / "e0.jpg", size=(300, 100))
    report = build_dataset(raw, tmp_path / "out", name="mine", max_image_side=60)
    entities = load_dataset(str(tmp_path / "out"), "entities", split="train")
    assert [entities[row]["image"].size for row in range(2)] == [(60, 20), (8, 6)]
    assert report["build_options"]["max_image_side"] == 60
    assert "scaled down" in (tmp_path / "out" / "README.md").read_text()


# ---- The report ----


def test_report(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=60, train=5)
    (tmp_path / "raw" / "images" / "m1.jpg").write_bytes(b"<html>")
    raw.mentions["test"][0]["entity_id"] = None
    report = build_dataset(
        raw, tmp_path / "out", name="mine", raw_dir=tmp_path / "raw", origin={"layout": "own", "options": {"seed": 3}}
    )
    stored = (tmp_path / "out" / "build_report.json").read_text()
    assert json.loads(stored) == report
    assert str(tmp_path) not in stored and str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()
    assert report["splits"]["train"] == {
        "mentions": 5, "nil": 0, "not_in_text": 0, "offset_mismatch": 0, "images": {"ok": 4, "unreadable": 1}
    }  # fmt: skip
    assert report["splits"]["test"]["nil"] == 1
    assert report["entities"] == 60 and report["entity_images"] == {"missing_file": 2, "ok": 58}
    assert report["sentences"] == 12 and report["test_entities_unseen"] == 0
    assert report["pictures"][0] == {
        "table": "mentions", "split": "train", "file": "images/m1.jpg", "record": "train-1", "status": "unreadable",
        "reason": "images/m1.jpg is a web page, not a picture", "records": 1,
    }  # fmt: skip
    assert [(entry["table"], entry["record"], entry["status"]) for entry in report["pictures"][3:]] == [
        ("entities", "Q7", "missing_file"),
        ("entities", "Q57", "missing_file"),
    ]


def test_pictures_elsewhere_are_named_without_the_folders_of_the_machine(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=9, train=2)
    report = build_dataset(raw, tmp_path / "out", name="mine", raw_dir=tmp_path / "other")
    assert report["pictures"][0]["file"] == "images/e7.jpg"
    assert report["pictures"][0]["reason"] == "images/e7.jpg is not there"


# ---- What is refused ----


def with_fault(fault: str, raw):
    if fault == "gold":
        raw.mentions["test"][1]["entity_id"] = "Q999"
    elif fault == "mention id":
        raw.mentions["test"][0]["id"] = "train-0"
    elif fault == "no mention":
        raw.mentions["validation"] = []
    else:
        rows = list(raw.entities())
        rows[1] |= {"id": "Q0"} if fault == "entity id" else {"name": " "}
        raw.entities = lambda: iter(rows)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("gold", "split 'test', mention 'test-1': gold `entity_id` 'Q999' is not in the knowledge base"),
        ("mention id", "split 'test', mention 'train-0': `id` is already used in split 'train'"),
        ("no mention", "split 'validation': has no mention"),
        ("entity id", "record 2: `id` 'Q0' is already that of record 1"),
        ("name", "record 2: `name` of entity 'Q1' is empty"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_before_a_picture_is_opened(tmp_path, monkeypatch, fault, message):
    raw = small_raw(tmp_path / "raw", entities=20, train=5)
    with_fault(fault, raw)
    monkeypatch.setattr(build, "write_table", lambda *args: pytest.fail("pictures were opened"))
    with pytest.raises(ValueError, match=message):
        build_dataset(raw, tmp_path / "out", name="mine")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_files_that_hold_something_else_are_noticed(tmp_path, monkeypatch):
    raw = small_raw(tmp_path / "raw", entities=20, train=5)
    first = raw.entities
    calls = []

    def other_the_second_time():
        calls.append(1)
        for row in first():
            yield row if len(calls) < 2 else {**row, "name": row["name"] + "!"}

    raw.entities = other_the_second_time
    with pytest.raises(OSError, match="entities/train reads back as something else"):
        build_dataset(raw, tmp_path / "out", name="mine")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["num_proc", "max_shard_bytes", "max_image_side"])
def test_options_that_make_no_sense(tmp_path, option):
    with pytest.raises(ValueError, match=f"{option}=0: it must be at least 1"):
        build_dataset(small_raw(tmp_path / "raw", 3, 2), tmp_path / "out", name="mine", **{option: 0})


def test_what_is_there_is_not_overwritten(tmp_path):
    raw = small_raw(tmp_path / "raw", entities=20, train=5)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("the only copy")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="out is there, and was not built by this command"):
            build_dataset(raw, out, name="mine", overwrite=overwrite)
    assert contents(out) == {"thesis.txt": b"the only copy"}
    (out / "thesis.txt").unlink()
    build_dataset(raw, out, name="mine")  # an empty folder is no loss
    first = contents(out)
    with pytest.raises(FileExistsError, match="built already: pass `overwrite=True`"):
        build_dataset(raw, out, name="mine")
    assert contents(out) == first
    build_dataset(raw, out, name="yours", overwrite=True)
    assert contents(out).keys() == first.keys() and contents(out) != first
    assert not list(tmp_path.glob(".*")), "nor does anything stay of the former one"


def test_two_builds_of_one_folder(tmp_path, monkeypatch):
    raw = small_raw(tmp_path / "raw", entities=20, train=5)
    write = build.write_table

    def second(*args):
        with pytest.raises(RuntimeError, match="another process is building .*out at the moment"):
            build_dataset(raw, tmp_path / "out", name="mine")
        write(*args)

    monkeypatch.setattr(build, "write_table", second)
    build_dataset(raw, tmp_path / "out", name="mine")
    assert (tmp_path / "out" / "README.md").is_file()
