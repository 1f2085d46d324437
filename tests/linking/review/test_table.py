"""The table that goes to a spreadsheet and comes back."""

import csv

import pytest

from hf_mel.linking.review import InputRow, read_table, write_table
from tests.linking.review.test_links import LINKS


def lines(path, delimiter=",") -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_the_columns(tmp_path):
    path = tmp_path / "review.csv"
    own = {"id": "m1", "entity_id": "gold", "shelf": "=1+1", "year": -5, "picture": {"bytes": b"x", "path": None}}
    rows = {"m1": InputRow(own, "/a.png"), "m3": InputRow({"id": "m3"})}
    assert write_table(LINKS, path, rows) == 3
    assert path.read_bytes().startswith(
        b"\xef\xbb\xbfid,mention,text,input_entity_id,shelf,year,image_file,entity_id,"
    )
    header, jug, cup, _ = lines(path)
    assert header[-4:] == ["candidate_5_id", "candidate_5_name", "candidate_5_probability", "corrected_entity_id"]
    jug, cup = (dict(zip(header, cells, strict=True)) for cells in (jug, cup))
    assert [jug[name] for name in ("input_entity_id", "shelf", "year", "image_file")] == [
        "gold",
        "'=1+1",
        "-5",
        "/a.png",
    ]
    link = ("entity_id", "entity_name", "probability", "is_nil", "candidate_1_id", "candidate_2_name")
    assert [jug[name] for name in link] == ["e1", "E1", "0.75", "false", "e1", ""]
    assert [cup[name] for name in link] == ["", "", "0.5", "true", "e2", "E1"]
    assert cup["text"] == 'A "cup"\nof tea.' and jug["corrected_entity_id"] == ""


def test_an_id_that_says_something_else_is_kept(tmp_path):
    path = tmp_path / "review.csv"
    write_table(LINKS[:1], path, {"m1": InputRow({"id": "inventory 7", "mention": "jug"})})
    assert lines(path)[0][:4] == ["id", "mention", "text", "input_id"] and lines(path)[1][3] == "inventory 7"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_way_back(delimiter, tmp_path):
    """A spreadsheet changes the delimiter, the ends of lines, the case of `true`; the columns may be in another order."""
    path = tmp_path / "review.csv"
    write_table(LINKS, path, {"m1": InputRow({"shelf": "+3 a"}, "/a.png")})
    header, *cells = lines(path)
    assert header[3] == "shelf"
    cells[1][-1] = " '=e7 "
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
            [header[::-1], *(row[::-1] for row in cells)]
        )
    jug, cup, mug = read_table(path)
    assert (jug.id, jug.answer, jug.image, jug.place) == ("m1", None, "/a.png", "line 2")
    assert (cup.id, cup.answer, cup.place) == ("m2", "=e7", "line 3"), "a formula's apostrophe is no part of an id"
    assert (jug.own, cup.own) == ({"shelf": "+3 a"}, {"shelf": ""})
    assert dict(mug.kept) == {"entity_id": "e2", "mention": "mug", "text": "A mug.", "probability": "0.625"}


def test_lines_that_cannot_be_read_do_not_keep_the_others_out(tmp_path):
    path = tmp_path / "review.csv"
    path.write_bytes(b"id,corrected_entity_id\nm1,NIL\nm2\nm3,\xff\nm4,e1\n")
    found = {each.place: each.fault for each in read_table(path)}
    assert found["line 2"] is found["line 5"] is None
    assert found["line 3"] == "has 1 cell, the header 2 columns" and "save the file as UTF-8" in found["line 4"]
    path.write_text("id,corected_entity_id\nm1,NIL\n")
    with pytest.raises(ValueError, match="column corrected_entity_id is missing; did you mean 'corected_entity_id'"):
        list(read_table(path))


def test_rows_that_a_spreadsheet_leaves_empty_are_no_lines(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text("id,mention,corrected_entity_id\nm1,jug,NIL\n,,\n,\n  ,,,,\nm2,cup,\n,,\n")
    assert [(each.place, each.id, each.fault) for each in read_table(path)] == [
        ("line 2", "m1", None),
        ("line 6", "m2", None),
    ]


def test_what_is_no_reviewed_table_is_said_plainly(tmp_path):
    path = tmp_path / "review.csv"
    for text, message in (
        ("", "review.csv is empty: give the table that `hf-mel review export` wrote"),
        ("\n\n", "is empty"),
        ("id,mention,nil_probability,candidates\n", "holds links, and no corrections: `hf-mel review export` makes"),
        ("id,entity_id,mention\n", "column corrected_entity_id is missing. Add it: the right id, or NIL"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            list(read_table(path))
        assert ("did you mean 'entity_id'" not in str(error.value)) and "are ." not in str(error.value)
