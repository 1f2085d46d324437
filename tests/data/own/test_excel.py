"""Excel workbooks at every door where a table is read."""

import csv
import datetime
import json
import sys

import pytest

from hf_mel import KnowledgeBase, load_mentions
from hf_mel.cli.main import main
from hf_mel.data import open_knowledge_base
from tests.test_museum import MUSEUM, read


openpyxl = pytest.importorskip("openpyxl")


def write(path, rows, more_sheets=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name in more_sheets:
        book.create_sheet(name)
    book.save(path)
    return path


def converted(name: str, path):
    with open(MUSEUM / name, encoding="utf-8", newline="") as file:
        return write(path, [[cell or None for cell in row] for row in csv.reader(file)])


def test_the_same_entities_and_mentions_as_in_csv(tmp_path):
    objects, captions = converted("objects.csv", tmp_path / "o.xlsx"), converted("captions.csv", tmp_path / "c.XLSX")
    kb = open_knowledge_base(objects)
    expected = KnowledgeBase.from_csv(MUSEUM / "objects.csv")
    assert list(kb.dataset) == list(expected.dataset) and len(kb) == 40
    assert list(load_mentions(captions, kb=kb)) == list(load_mentions(MUSEUM / "captions.csv", kb=expected))


def test_cells(tmp_path):
    """As Excel saves a table as CSV: whole numbers, dates in ISO format; rows without cells are left out."""
    row = [7.0, "Kettle", datetime.datetime(1903, 5, 1), 1.5, True, datetime.datetime(1903, 5, 1, 12, 30), None]
    fields = [" id ", "name", "description", "aliases", "types", "attributes", None]
    write(tmp_path / "a.xlsx", [[None], fields, [None], row, ["Q2", "Lamp"]])
    kb = open_knowledge_base(tmp_path / "a.xlsx")
    first = kb[0]
    assert (first["id"], first["description"], first["aliases"]) == ("7", "1903-05-01", ["1.5"])
    assert (first["types"], first["attributes"]) == (["TRUE"], "1903-05-01T12:30:00")
    assert kb.ids == ["7", "Q2"]


@pytest.mark.parametrize("as_mentions", [False, True])
def test_ids_that_excel_may_have_changed_are_named(as_mentions, tmp_path, caplog):
    ids = ["A-1", datetime.date(1904, 1, 12), True, 1955.2, 7, 8.0, datetime.datetime(2024, 3, 1, 8, 30)]
    rows = [[each, "Jug", "a Jug", "NIL", 1.5] for each in ids]
    path = write(tmp_path / "a.xlsx", [["number", "name", "text", "entity_id", "weight"], *rows])
    if as_mentions:
        table = load_mentions(path, {"id": "number", "mention": "name"})
    else:
        table = open_knowledge_base(path, {"id": "number"}).dataset
    assert table["id"][:] == ["A-1", "1904-01-12", "TRUE", "1955.2", "7", "8", "2024-03-01T08:30:00"]
    (warning,) = [each for each in caplog.messages if "Excel holds" in each]
    assert warning.startswith(f"{path}: `id` (column 'number'): Excel holds 4 ids as dates, truth values or numbers")
    assert "'1904-01-12' (row 3), 'TRUE' (row 4), '1955.2' (row 5), ... and 1 more" in warning


def test_what_is_named(tmp_path, caplog, monkeypatch):
    path = write(
        tmp_path / "a.xlsx", [["id", "name"], ["1", "Bat"], [], ["1", "Owl"], ["2", "Cat", "more"]], ["Notes"]
    )
    with pytest.raises(ValueError) as error:
        open_knowledge_base(path)
    assert "row 4: `id` '1' is already that of row 2" in str(error.value)
    assert "row 5: has cells beyond the 2 columns of the header" in str(error.value)
    assert f"{path}: only the sheet 'Sheet' is read, not 'Notes'" in caplog.text
    with pytest.raises(ValueError, match="row 1: the header names column 'id' 2 times"):
        open_knowledge_base(write(tmp_path / "b.xlsx", [["id", "id", "name"], ["1", "2", "Bat"]]))
    for content in (b"PK\x03\x04rest", b"no workbook"):
        (tmp_path / "c.xlsx").write_bytes(content)
        with pytest.raises(ValueError, match="c.xlsx is no Excel workbook, or a damaged one: save it again"):
            open_knowledge_base(tmp_path / "c.xlsx")
    (tmp_path / "d.xlsx").write_bytes((tmp_path / "a.xlsx").read_bytes()[:2000])
    with pytest.raises(ValueError, match="d.xlsx is no Excel workbook"):
        open_knowledge_base(tmp_path / "d.xlsx")
    with pytest.raises(ValueError, match="e.xlsx holds no entity"):
        open_knowledge_base(write(tmp_path / "e.xlsx", []))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r'a.xlsx needs openpyxl: pip install "hf-mel\[excel\]", or save its sheet'):
        open_knowledge_base(path)


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    """Index, links, an import, and a review that was saved as a workbook."""
    monkeypatch.chdir(tmp_path)
    converted("objects.csv", "objects.xlsx")
    converted("captions.csv", "captions.xlsx")
    for command in (
        "init static-words --out model",
        "index build model --kb objects.xlsx --out index",
        "link model --index index --input captions.xlsx --output links.jsonl",
        "data import --entities objects.xlsx --train captions.xlsx --out data",
        "review export links.jsonl --input captions.xlsx --out review.csv",
    ):
        assert main(command.split()) == 0
    with open("review.csv", encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    place = header.index("entity_id")
    for line in lines:  # a spreadsheet takes ids such as 1955.20 for numbers
        line[place] = float(line[place]) if line[place] else None
    lines[0][-1] = 1955.2
    write("review.xlsx", [header, *lines])
    imported = "review import review.xlsx --links links.jsonl --kb objects.xlsx --out reviewed"
    assert main(imported.split()) == 0
    assert json.loads((tmp_path / "reviewed/review_report.json").read_text())["confirmed"] == 59
    mentions = read(tmp_path / "reviewed" / "mentions.csv")
    assert len(mentions) == 60 and mentions[0]["entity_id"] == "1955.20"
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert (
        main(imported.replace("reviewed", "other").replace("objects.xlsx", str(MUSEUM / "objects.csv")).split()) == 2
    )
    assert 'review.xlsx needs openpyxl: pip install "hf-mel[excel]"' in capsys.readouterr().err
