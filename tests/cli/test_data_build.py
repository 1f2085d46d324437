"""`hf-mel data build`."""

import json

import datasets
import pytest

from hf_mel.cli.data_build import run, size_in_bytes
from tests.data.layouts.fixtures import write_kgmel, write_melbench, write_mimic


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")


def build(*argv) -> None:
    run([str(word) for word in argv])


def test_build_and_load(tmp_path, capsys, monkeypatch):
    raw = write_mimic(tmp_path / "raw")
    build("wikimel", "--raw", raw, "--out", tmp_path / "wikimel")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "train 6 mentions 1 NIL pictures: 1 none, 5 ok".split()
    assert lines[2].split() == "test 2 mentions 0 NIL pictures: 1 missing_file, 1 ok".split()
    assert lines[3].split() == "entities 5 pictures: 1 missing_file, 1 none, 3 ok".split()
    assert len({line.index("pictures:") for line in lines[:4]}) == 1
    assert lines[4].startswith(f"{tmp_path / 'wikimel'}: 4 Parquet files, ")
    assert lines[5] == f"{tmp_path / 'wikimel' / 'build_report.json'}: all counts, and each of 2 broken pictures"
    monkeypatch.chdir(tmp_path)
    assert datasets.load_dataset("wikimel", "entities", split="train").num_rows == 5


def test_options(tmp_path, capsys):
    raw = write_melbench(tmp_path / "raw", splits=False)
    (raw / "images").rename(tmp_path / "elsewhere")
    out = tmp_path / "out"
    options = ["--layout", "melbench", "--split_by", "mention", "--seed", "3", "--images", tmp_path / "elsewhere"]
    build(
        "wikimel",
        "--raw",
        raw,
        "--out",
        out,
        *options,
        "--max_shard_size",
        "1MB",
        "--max_image_side",
        "4",
        "--num_proc",
        "2",
    )
    report = json.loads((out / "build_report.json").read_text())
    assert report["origin"] == {
        "layout": "melbench",
        "options": {"images": "elsewhere", "split_by": "mention", "seed": 3},
    }
    assert report["build_options"] == {"max_shard_bytes": 1_000_000, "max_image_side": 4}
    assert report["splits"]["train"]["images"].get("ok")
    capsys.readouterr()
    with pytest.raises(FileExistsError, match="built already.*overwrite=True"):
        build("wikimel", "--raw", raw, "--out", out)
    build("wikimel", "--raw", raw, "--out", out, "--overwrite", "--restart", "--split_by", "mention")
    report = json.loads((out / "build_report.json").read_text())
    assert report["origin"] == {"layout": "melbench", "options": {"split_by": "mention"}}
    assert set(report["splits"]["train"]["images"]) == {"missing_file"}


def test_strict(tmp_path):
    raw = write_mimic(tmp_path / "raw")
    with pytest.raises(
        FileNotFoundError, match=r"2 pictures cannot be used \(2 missing_file\)(?s:.*)strict_images=False"
    ):
        build("wikimel", "--raw", raw, "--out", tmp_path / "out", "--strict")
    assert not (tmp_path / "out").exists()


def test_mentions_without_text_are_printed_and_refused_if_strict(tmp_path, capsys):
    raw = write_melbench(tmp_path / "raw")
    captions = json.loads((raw / "Wikidata-MEL.json").read_text())
    captions["10"]["mentions"][1] = "\n\n"
    (raw / "Wikidata-MEL.json").write_text(json.dumps(captions))
    build("wikimel", "--raw", raw, "--out", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split() == "left out 1 record that cannot be used: 1 of train".split()
    assert "| mentions that cannot be used, left out | 1 |" in (tmp_path / "out" / "README.md").read_text()
    assert lines[5].strip() == "split 'train', mention '10-1': `mention` is '\\n\\n', which is no text"
    with pytest.raises(ValueError, match="mention '10-1': `mention` is .*"):
        build("wikimel", "--raw", raw, "--out", tmp_path / "strict", "--strict")


def test_leaked_captions(tmp_path, capsys):
    raw = write_kgmel(tmp_path / "raw")
    build("wikidiverse", "--raw", raw, "--out", tmp_path / "out", "--drop_leaked")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["train", "5", "mentions"]
    assert lines[4].split() == "dropped 1 mentions of train: their 1 captions are also in another split".split()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`drop_leaked=True`" in card and "whose caption is in another split, dropped | 1 |" in card


def test_a_text_only_release(tmp_path, capsys):
    raw = write_mimic(tmp_path / "raw", pictures=False)
    build("wikimel", "--raw", raw, "--out", tmp_path / "named")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == [
        f"the folder of pictures {name} is empty or not there, records without their picture: {number}"
        for name, number in (("mention_image", 8), ("kb_image", 4))
    ]
    assert lines[-1].endswith("all counts, and no broken picture")
    report = json.loads((tmp_path / "named" / "build_report.json").read_text())
    assert len(report["pictures"]) == 4, "a folder for each table"
    build("wikimel", "--raw", raw, "--out", tmp_path / "out", "--no_pictures")
    assert "picture:" not in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "build_report.json").read_text())
    assert report["pictures"] == [] and report["entity_images"] == {"none": 5}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`pictures=False`" in card and "No picture was read." in card and "state of their picture" not in card


def test_an_unknown_name_is_built_and_said(tmp_path, capsys):
    build("wikimell", "--raw", write_mimic(tmp_path / "raw"), "--out", tmp_path / "out")
    assert "nothing is known of 'wikimell'; did you mean 'wikimel'?" in capsys.readouterr().err


def test_what_is_needed(tmp_path, capsys):
    for argv in ([], ["wikimel"], ["wikimel", "--raw", "x"]):
        with pytest.raises(SystemExit):
            run(argv)
    assert "--out" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        run(["--help"])
    assert done.value.code == 0 and "--max_image_side" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="no folder .*absent"):
        build("wikimel", "--raw", tmp_path / "absent", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "number"),
    [("300MB", 300_000_000), ("1GiB", 2**30), ("1.5 kb", 1_500), ("12", 12), ("7B", 7), (" 2 MiB ", 2 * 2**20)],
)
def test_sizes(text, number):
    assert size_in_bytes(text) == number


@pytest.mark.parametrize("text", ["", "MB", "3 XB", "-3MB", "3MBB", "1e6"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="--max_shard_size .* is no size: write one such as 300MB"):
        size_in_bytes(text)
