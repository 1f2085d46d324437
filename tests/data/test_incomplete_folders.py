"""A folder of which many pictures are missing is one entry of a report and one finding, not a line for each picture."""

import json

import pytest

from hf_mel.cli import data_check
from hf_mel.cli.data_build import run
from hf_mel.data import load_data, load_layout
from hf_mel.data.tables import MANY, condensed, folder_lines, summary
from hf_mel.doctor import diagnose

from .layouts.fixtures import write_mimic


def entry(number, folder="/raw/images", split="train", **changes):
    file = f"{folder}/{number}.jpg"
    return {"table": "mentions", "split": split, "file": file, "record": f"m{number}", "status": "missing_file",
            "reason": f"{file} is not there", "records": 2} | changes  # fmt: skip


def test_many_missing_files_of_a_folder_become_one_entry():
    many = [entry(number) for number in range(MANY - 1)] + [entry(MANY, split="test")]
    other = [entry(0, "/b"), entry(1, status="unreadable"), entry(2, "https://a.org")]
    found = condensed([*many, *other])
    reason = f"{MANY} pictures of the folder /raw/images are not there, such as 0.jpg, 1.jpg, 2.jpg"
    assert [
        (each["split"], each["status"], each["record"], each["records"], each["reason"]) for each in found[:2]
    ] == [
        ("train", "incomplete_folder", "m0", 2 * (MANY - 1), reason),
        ("test", "incomplete_folder", f"m{MANY}", 2, reason),
    ]
    assert found[2:] == other
    assert summary(found).startswith(f"{reason}, records without their picture: {2 * MANY}; 3 pictures cannot be used")


def test_few_stay_as_they_are():
    few = [entry(number) for number in range(MANY - 1)] * 2
    assert condensed(few) == few
    nameless = [entry(number, file=f"record {number}") for number in range(MANY)]
    urls = [entry(number, "https://a.org/x") for number in range(MANY)]
    assert condensed(nameless) == nameless and condensed(urls) == urls


def test_many_missing_folders_are_few_lines():
    folders = [
        entry(n, status="missing_folder", reason=f"the folder of pictures {n} is empty or not there")
        for n in range(256)
    ]
    lines = folder_lines(folders)
    assert len(lines) == 6 and lines[-1] == "251 more folders of pictures are missing or incomplete"
    assert len(folder_lines(folders[:6])) == 6 and "5 is empty" in folder_lines(folders[:6])[-1]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two of 32 pictures of mentions are left; of the entities', all are there but one, as in the fixture."""
    folder = write_mimic(tmp_path_factory.mktemp("raw"), extra=30)
    for number in range(28):
        (folder / "mention_image" / f"extra_{number}.jpg").unlink()
    return folder


def test_in_a_report_and_the_doctor(raw, capsys):
    data = load_layout("mimic", raw)
    assert data.report["splits"]["train"]["images"]["missing_file"] == 28
    folder, *rest = data.report["pictures"]
    # Test lacks one more picture of that folder, which the fixture never has.
    assert (folder["status"], folder["split"], folder["records"]) == ("incomplete_folder", "train", 28)
    assert [(each["status"], each["split"]) for each in rest] == [
        ("incomplete_folder", "test"),
        ("missing_file", "train"),
    ]
    diagnosis = diagnose(data)
    found = diagnosis.finding("incomplete_picture_folders")
    assert (found.severity, found.count, found.details) == ("error", 1, {"train": 28, "test": 1})
    [example] = found.examples
    assert "29 pictures of the folder" in example.value
    assert "such as extra_0.jpg, extra_1.jpg, extra_2.jpg" in folder["reason"]
    missing = diagnosis.finding("missing_pictures")
    assert (missing.count, missing.details) == (1, {"entities": 1})
    assert data_check.run([str(raw), "--layout", "mimic"]) == 1
    shown = capsys.readouterr().out
    assert shown.count("extra_") <= 3 and "[incomplete_picture_folders]" in shown


def test_in_a_build(raw, tmp_path, capsys):
    out = tmp_path / "wikimel"
    run(["wikimel", "--raw", str(raw), "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if "pictures of the folder" in line]
    assert line == (
        "29 pictures of the folder mention_image are not there, such as extra_0.jpg, extra_1.jpg, extra_2.jpg, "
        "records without their picture: 29"
    )
    assert lines[-1].endswith("and the one broken picture")
    report = json.loads((out / "build_report.json").read_text())
    assert [each["file"] for each in report["pictures"]] == ["mention_image", "mention_image", "kb_image/Q99989_0.jpg"]
    assert diagnose(load_data(out)).finding("incomplete_picture_folders").details == {"train": 28, "test": 1}
    # Who wants all pictures gets all names.
    with pytest.raises(FileNotFoundError, match=r"30 pictures cannot be used(?s:.*)30 problems|extra_19.jpg"):
        run(["wikimel", "--raw", str(raw), "--out", str(tmp_path / "strict"), "--strict"])
    listing = json.loads((tmp_path / ".strict.partial" / "broken_pictures.json").read_text())
    assert len(listing) == 30
