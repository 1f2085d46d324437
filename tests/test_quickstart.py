"""The quick start for an archive: its commands in an empty folder, with the museum's files and the corrections of a person."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from hf_mel.cli.main import main
from tests.test_museum import MUSEUM, read


PAGE = (Path(__file__).parents[1] / "docs" / "quickstart-archive.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GOLD = {row["id"]: row["entity_id"] for row in read(MUSEUM / "captions.csv")}
REVIEWED = 16


def write(path: Path, rows: list[dict], columns: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def correct(path: Path) -> list[str]:
    """What a person does: looks at the least certain lines, and writes the right id where a link is wrong."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:REVIEWED]:
        if GOLD[row["id"]] != row["entity_id"]:
            row["corrected_entity_id"] = GOLD[row["id"]] or "NIL"
    write(path, rows, list(rows[0]))
    return [row["id"] for row in rows[:REVIEWED]]


def shape(line: str) -> str:
    """A line without its numbers and the width of its columns, which depend on the machine."""
    return " ".join(re.sub(r"[0-9][0-9.,]*", "#", line).split())


def right(path: Path, ids: set[str]) -> tuple[int, int]:
    """Right links, of captions with an object and of those without one."""
    answers = {row["id"]: "" if row["is_nil"] == "true" else row["entity_id"] for row in read(path)}
    found = [name for name in ids if answers[name] == GOLD[name]]
    return sum(bool(GOLD[name]) for name in found), sum(not GOLD[name] for name in found)


def run_page(capsys) -> tuple[list[str], list[str]]:
    """Runs the page, block by block; the ids that were looked at, and what the page shows and the commands did not print."""
    reviewed, missing, printed, namespace = [], [], "", {}
    for kind, block in BLOCKS:
        if kind in ("bash", "python"):
            capsys.readouterr()
        if kind == "bash":
            for line in block.splitlines():
                program, *argv = shlex.split(line)
                if argv[:2] == ["review", "import"]:
                    reviewed = correct(Path("review.csv"))
                assert program == "hf-mel" and main(argv) == 0 or line == "pip install .", line
        elif kind == "python":
            exec(compile(block, "quickstart-archive.md", "exec"), namespace)
        elif kind == "text":
            printed = {shape(line) for line in "".join(capsys.readouterr()).replace("\r", "\n").splitlines()}
            missing += [line for line in block.splitlines() if line != "..." and shape(line) not in printed]
    return reviewed, missing


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The museum's tables, copied as the page says."""
    monkeypatch.chdir(tmp_path)
    for name, source in (("objects", "objects"), ("captions", "captions"), ("known", "captions")):
        Path(f"{name}.csv").write_bytes((MUSEUM / f"{source}.csv").read_bytes())
    return tmp_path


def test_the_page(folder, capsys):
    for kind, block in BLOCKS:
        if kind == "csv":
            assert any(
                table.read_text(encoding="utf-8").replace("\r\n", "\n").startswith(block)
                for table in folder.glob("*.csv")
            )
    reviewed, missing = run_page(capsys)
    assert not list(folder.glob("*.rejects.jsonl")) and "--model.text" not in PAGE
    assert len(reviewed) == REVIEWED and missing == []
    # Links of captions that nobody corrected are right as often as before, with their objects and with NIL.
    others = set(GOLD) - set(reviewed)
    before, calibrated, trained = (right(Path(f"links{name}.csv"), others) for name in ("", "-calibrated", "-trained"))
    assert before[0] >= 20 and before[1] >= 10
    assert calibrated[0] >= before[0] and calibrated[1] >= before[1]
    assert trained[0] >= before[0] and trained[1] >= before[1]
    assert {row["calibration"] for row in read(Path("links-calibrated.csv"))} == {"shrunk"}
    # The corrections arrived as they were written, and were learned.
    assert {row["id"]: row["entity_id"] for row in read(Path("reviewed/mentions.csv"))} == {
        name: GOLD[name] for name in reviewed
    }
    assert sum(right(Path("links.csv"), set(reviewed))) <= REVIEWED - 4
    assert sum(right(Path("links-trained.csv"), set(reviewed))) >= REVIEWED - 1


def test_the_table_of_corrections_is_right():
    rows = re.findall(r"^\| (c\d\d) \| (.*?) \| (\S*) ?\| (\S+) \|$", PAGE, re.MULTILINE)
    mentions = {row["id"]: row["mention"] for row in read(MUSEUM / "captions.csv")}
    assert len(rows) == 6
    for name, mention, linked, corrected in rows:
        assert mentions[name] == mention and corrected == (GOLD[name] or "NIL") != linked
