"""The layout `fissfuse`: JSON lines, pictures in HDF5, and candidates whose released order is the answer."""

import json
import sys

import pytest

from hf_mel.cli import data_check
from hf_mel.cli.data_build import run
from hf_mel.data import load_data, load_layout
from hf_mel.doctor import diagnose

from .further_fixtures import FISSFUSE_ENTITIES, fissfuse_mentions, write_fissfuse, write_hdf5, write_lines


KEYS = ("id", "mention", "start", "end", "image_status", "entity_id", "entity_name", "candidates")
MENTIONS = {
    "train": [
        ("0", "Madonna", 0, 7, "ok", "Q9", "Madonna (entertainer)", ["Q345", "Q36", "Q9"]),
        ("1", "Madonna", 18, 25, "ok", "Q345", "Virgin Mary", ["Q100", "Q345", "Q9"]),
    ],
    "validation": [("2", "Berlin", 8, 14, "missing_file", "Q64", "Berlin", ["Q100", "Q36", "Q64"])],
    "test": [
        ("3", "Berlin", 10, 16, "none", "Q100", "Berlin, New Hampshire", ["Q100", "Q64", "Q777"]),
        ("4", "Somebody", 0, 8, "ok", None, None, ["Q36", "Q64"]),
    ],
}


def test_every_record(tmp_path):
    pytest.importorskip("h5py")
    data = load_layout("auto", write_fissfuse(tmp_path / "raw"), check_images=True)
    for split, expected in MENTIONS.items():
        assert [tuple(row[key] for key in KEYS) for row in data.mentions[split].remove_columns("image")] == expected
    kb = data.entities.dataset
    assert kb["id"][:] == ["Q9", "Q345", "Q64", "Q100", "Q36"] and kb["source_row"][:] == [0, 1, 2, 3, 4]
    assert kb["description"][:] == ["American singer", "mother of Jesus", None, None, "country"]
    # An entity that is not in the group has no picture; a mention whose picture is not in its group lacks one.
    assert kb["image_status"][:] == ["ok", "ok", "ok", "none", "ok"]
    assert kb[0]["image"].size == (8, 6) and kb[0]["image"].tobytes() != kb[1]["image"].tobytes()
    [entry] = data.report["pictures"]
    assert entry["file"] == str(tmp_path / "raw" / "wikidiverse_image.h5" / "mention_image" / "gone")
    counts = data.report["splits"]
    assert [counts[split]["candidates_repeated"] for split in counts] == [1, 0, 0]
    assert [counts[split]["candidates_not_in_kb"] for split in counts] == [0, 0, 1]
    assert [counts[split]["captions"] for split in counts] == [1, 1, 2]
    assert json.loads(json.dumps(data.report)) == data.report


def test_the_order_of_the_candidates_says_nothing(tmp_path):
    """Whatever the released order is, the same lists are read; the doctor says that the released one leaks."""
    folder = write_fissfuse(tmp_path, pictures=False)
    read = load_layout("fissfuse", folder, pictures=False)
    assert "the gold entity is the first candidate" in read.report["candidates_sorted"]
    found = diagnose(read).finding("gold_position_in_candidates")
    assert found.severity == "warning" and found.count == 4 and found.details == {"in the released files: first": 4}
    records = fissfuse_mentions()["train"]
    for record in records:
        record["candidates"] = [record["candidates"][0], *reversed(record["candidates"][1:])]
    write_lines(folder / "WIKIDIVERSE_train.jsonl", records)
    again = load_layout("fissfuse", folder, pictures=False)
    assert again.mentions["train"]["candidates"][:] == read.mentions["train"]["candidates"][:]


def test_build_and_check(tmp_path, capsys):
    pytest.importorskip("h5py")
    raw, out = write_fissfuse(tmp_path / "raw"), tmp_path / "wikidiverse"
    run(["wikidiverse", "--raw", str(raw), "--out", str(out), "--num_proc", "2"])
    data = load_data(out)
    assert data.mentions["test"]["image_status"][:] == ["none", "ok"]
    assert data.mentions["test"][1]["image"].size == (8, 6)
    assert data.report["pictures"][0]["file"] == "wikidiverse_image.h5/mention_image/gone"
    card = (out / "README.md").read_text()
    assert "The first candidate of every mention is its gold entity" in card and "`candidates`" in card
    capsys.readouterr()
    for target in ([str(raw), "--layout", "fissfuse"], [str(out)]):
        data_check.run(target)
        assert "[gold_position_in_candidates]" in capsys.readouterr().out


def test_a_changed_file_is_read_again(tmp_path):
    pytest.importorskip("h5py")
    raw = write_fissfuse(tmp_path / "raw")
    first = load_layout("fissfuse", raw).mentions["train"][0]["image"].tobytes()
    write_hdf5(raw / "new.h5", entity_image=("Q9",), mention_image=("18", "17"))
    # In place, so that it is the same file for the system.
    (raw / "wikidiverse_image.h5").write_bytes((raw / "new.h5").read_bytes())
    with pytest.raises(ValueError, match="new.h5, .*wikidiverse_image.h5 are HDF5 files: name the one"):
        load_layout("fissfuse", raw)
    for images in (raw / "new.h5", raw / "wikidiverse_image.h5"):
        data = load_layout("fissfuse", raw, images=images)
        assert data.mentions["train"][0]["image"].tobytes() == first, "another place in the file"
        assert data.entities.dataset["image_status"][:] == ["ok", "none", "none", "none", "none"]


BAD = {
    "`mention_id` is missing": {"mentions": "a"},
    "`candidates` is empty": {"candidates": []},
    "`candidates` is 'Q9', not a list of ids": {"candidates": "Q9"},
    "its gold entity, 'Q777', is not in entities.jsonl": {"candidates": ["Q777", "Q9"]},
    "`imgPath` is 17, not a string": {"imgPath": 17},
    "is no JSON": '{"mention_id": ',
    "is [1], not an object with fields": "[1]",
    "holds half of a surrogate pair": '{"mention_id": "9", "mentions": "\\ud800"}',
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_records_are_left_out_and_named(tmp_path, reason, capsys):
    folder = write_fissfuse(tmp_path / "raw", pictures=False)
    records = fissfuse_mentions()["train"]
    bad = BAD[reason] if isinstance(BAD[reason], str) else {**records[0], **BAD[reason]}
    if reason == "`mention_id` is missing":
        del bad["mention_id"]
    write_lines(folder / "WIKIDIVERSE_train.jsonl", [records[0], bad, records[1]])
    report = load_layout("fissfuse", folder, pictures=False).report
    assert report["splits"]["train"]["left_out"] == 1 and report["splits"]["train"]["mentions"] == 2
    [entry] = report["records_left_out"]
    assert entry["split"] == "train" and entry["record"] == "WIKIDIVERSE_train.jsonl, line 2"
    assert reason in entry["reason"]
    argv = ["wikidiverse", "--raw", str(folder), "--out", str(tmp_path / "out"), "--no_pictures"]
    with pytest.raises(ValueError, match="line 2"):
        run([*argv, "--strict"])
    run(argv)
    assert "left out            1 record that cannot be used: 1 of train" in capsys.readouterr().out


def test_bad_entities_are_left_out_and_named(tmp_path, capsys):
    folder = write_fissfuse(tmp_path / "raw", pictures=False)
    bad = [{"qid": "Q5", "id": 9}, {"qid": "Q6", "name": "N", "desc": 3}, {"qid": "Q7", "name": "N", "id": "x"}, "{"]
    write_lines(folder / "entities.jsonl", [*FISSFUSE_ENTITIES, FISSFUSE_ENTITIES[0], *bad])
    data = load_layout("fissfuse", folder, pictures=False)
    assert len(data.entities) == 5 and data.report["repeated_entities"] == 1
    assert data.report["other_records_left_out"] == {"entities": 4}
    reasons = [entry["reason"] for entry in data.report["records_left_out"]]
    assert (
        reasons[0] == "`name` is None, which is no text"
        and "`desc` is 3" in reasons[1]
        and "`id` is 'x'" in reasons[2]
    )
    found = diagnose(data).finding("records_left_out")
    assert (found.count, found.total, found.details) == (4, 14, {"entities": 4})
    assert found.examples[0].place == "entity 'entities.jsonl, line 7'"
    run(["wikidiverse", "--raw", str(folder), "--out", str(tmp_path / "out"), "--no_pictures"])
    assert "4 records that cannot be used: 4 of entities" in capsys.readouterr().out
    assert "| entities that cannot be used, left out | 4 |" in (tmp_path / "out" / "README.md").read_text()


def test_no_usable_record_at_all(tmp_path):
    folder = write_fissfuse(tmp_path, pictures=False)
    write_lines(folder / "WIKIDIVERSE_test.jsonl", ["{", "["])
    with pytest.raises(
        ValueError, match="none of the 2 mentions of split 'test' can be used, such as mention 'WIKI.*line 1'"
    ):
        load_layout("fissfuse", folder, pictures=False)
    write_lines(folder / "entities.jsonl", ["{"])
    with pytest.raises(ValueError, match="entities.jsonl holds no entity that can be used: is no JSON"):
        load_layout("fissfuse", folder, pictures=False)


def test_missing_files_and_pictures(tmp_path, caplog):
    folder = write_fissfuse(tmp_path, pictures=False)
    (folder / "WIKIDIVERSE_valid.jsonl").rename(tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match="WIKIDIVERSE_valid.jsonl"):
        load_layout("fissfuse", folder)
    (tmp_path / "kept").rename(folder / "WIKIDIVERSE_valid.jsonl")
    found = diagnose(load_layout("fissfuse", folder))
    # Neither group is there: that is one finding, and no picture is missing on its own.
    assert found.finding("missing_picture_folders").details == {"train": 2, "validation": 1, "test": 1, "entities": 5}
    assert found.finding("missing_pictures") is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="layout 'fissfuse' needs files"):
        load_layout("fissfuse", tmp_path / "empty")


def test_a_file_that_is_no_hdf5_and_links_out_of_it(tmp_path):
    h5py = pytest.importorskip("h5py")
    folder = write_fissfuse(tmp_path / "raw")
    write_hdf5(tmp_path / "secret.h5", mention_image=("17",))
    path = folder / "wikidiverse_image.h5"
    with h5py.File(path, "w") as file:
        file.create_group("entity_image")
        file.create_group("mention_image")["17"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "mention_image/17")
        file["mention_image"]["18"] = [[1, 2], [3, 4]]
    data = load_layout("fissfuse", folder, check_images=True)
    assert data.mentions["train"]["image_status"][:] == ["missing_file", "missing_file"]
    assert data.mentions["test"]["image_status"][:] == ["none", "unreadable"]
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="wikidiverse_image.h5 is no HDF5 file"):
        load_layout("fissfuse", folder)
    assert len(load_layout("fissfuse", folder, pictures=False).entities) == 5


def test_without_h5py(tmp_path, monkeypatch):
    folder = write_fissfuse(tmp_path, pictures=False)
    (folder / "wikidiverse_image.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'needs h5py: pip install "hf-mel\[hdf5\]", or read no pictures'):
        load_layout("fissfuse", folder)
    assert load_layout("fissfuse", folder, pictures=False).report["no_pictures"] is True
