"""Files as other programs write them: line ends, named separators, JSON of every shape, spreadsheets."""

import json
import logging

import pytest

from hf_mel import KnowledgeBase
from hf_mel.data import open_knowledge_base


RECORDS = [{"id": "1", "name": "Bat", "aliases": ["flying mouse"]}, {"id": "2", "name": "Büste", "aliases": []}]
TABLE = "id;name;aliases\n1;Bat;flying mouse\n2;Büste;\n"


def read(path) -> list[tuple]:
    kb = open_knowledge_base(path)
    return list(zip(kb.ids, kb.names(), kb.aliases(range(len(kb))), strict=True))


EXPECTED = [("1", "Bat", ["flying mouse"]), ("2", "Büste", [])]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("array.json", json.dumps(RECORDS)),
        ("pretty.json", json.dumps(RECORDS, indent=2, ensure_ascii=False)),
        ("bom.json", "\ufeff" + json.dumps(RECORDS, indent=2)),
        ("array.jsonl", json.dumps(RECORDS)),
        ("rows.jsonl", "[" + ",\n".join(map(json.dumps, RECORDS)) + "]\n"),
        ("lines.json", "\n".join(map(json.dumps, RECORDS))),
        ("objects.jsonl", "\n".join(json.dumps(each, indent=1) for each in RECORDS)),
    ],
)
def test_json_of_every_shape(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read(tmp_path / name) == EXPECTED
    assert KnowledgeBase.from_jsonl(tmp_path / name).ids == ["1", "2"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\n', "SEP=;\n"])
def test_ends_of_lines_and_a_named_separator(end, first, tmp_path):
    (tmp_path / "a.csv").write_bytes((first + TABLE).replace("\n", end).encode())
    assert read(tmp_path / "a.csv") == EXPECTED
    (tmp_path / "b.csv").write_bytes((first + TABLE + "3\n1;Again;\n").replace("\n", end).encode())
    with pytest.raises(ValueError) as error:
        open_knowledge_base(tmp_path / "b.csv")
    assert "line 5: has 1 cell, the header 3 columns" in str(error.value)
    assert "line 6: `id` '1' is already that of line 3" in str(error.value)


def test_carriage_returns_alone_in_a_large_file(tmp_path):
    rows = "".join(f"{number},Name {number}\r" for number in range(20_000))
    (tmp_path / "a.csv").write_bytes(f"id,name\r{rows}".rstrip("\r").encode())
    kb = open_knowledge_base(tmp_path / "a.csv")
    assert len(kb) == 20_000 and kb.names()[-1] == "Name 19999"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK\x03\x04rest", "a.xlsx is no Excel workbook, or a damaged one"),
        (
            "a.csv",
            b"PK\x03\x04rest",
            "a.csv is an Excel or OpenDocument file .* name it .xlsx if .* or save its sheet as CSV UTF-8",
        ),
        ("a.xls", b"\xd0\xcf\x11\xe0rest", "a.xls is an old Excel file"),
        ("a.numbers", b"", "a.numbers is a spreadsheet: save its sheet"),
        ("a.csv", b"\x1f\x8brest", "a.csv is compressed by gzip: unpack it"),
        ("a.jsonl", b"PAR1rest", "a.jsonl is a Parquet file: name it .parquet"),
        ("a.json", b'{"entities": [{"id": 1}], "v": 2}\n', "is missing"),
        (
            "a.json",
            b'{\n"entities": [{"id": 1}], "v": 2}\n',
            "one object, whose 'entities' holds records: save that list",
        ),
        (
            "a.json",
            b'[{"id": "1", "name": "a"},\n {"id": "2", "na',
            "record 2: is not JSON .* what follows was not read",
        ),
        ("a.json", b'[{"id": "1", "name": "a", "name": "b"}]', "record 1: `name` stands twice in the object"),
        ("a.json", b"[]", "holds no entity"),
        ("a.json", b"[1]", "holds no entity"),
    ],
)
def test_what_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_knowledge_base(tmp_path / name)


def test_lists_that_look_unsplit(tmp_path, caplog):
    (tmp_path / "a.csv").write_text(
        "id,name,aliases,types\n1,Bat,Bat; flying mouse,animal|mammal\n2,Owl,,bird; hunter\n"
    )
    with caplog.at_level(logging.WARNING):
        open_knowledge_base(tmp_path / "a.csv")
    (found,) = [record.getMessage() for record in caplog.records if "list separator" in record.getMessage()]
    assert "`aliases`: 1 record with ';' and never the list separator '|', as in 'Bat; flying mouse'" in found
    caplog.clear()
    kb = open_knowledge_base(tmp_path / "a.csv", list_separator=";")
    assert kb.aliases([0]) == [["Bat", "flying mouse"]] and "`aliases`" not in caplog.text
