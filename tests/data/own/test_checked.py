"""Records one by one, each with what is wrong with it."""

import pytest

from hf_mel.data.own.columns import ENTITIES
from hf_mel.data.own.mentions import MentionReader
from hf_mel.data.own.reading import TableReader
from hf_mel.data.own.sources import open_source
from hf_mel.data.problems import RecordProblems


MENTIONS = b"""id,mention,sentence,start,end,entity_id,more
1,Ann,Ann ran.,0,3,Q1,x
2,Ann,Ann ran.,0,4,,y
3,Ann
4,Ann,"Ann
r\xffn
on.",,,,
,,Ann ran.,one,,,
1,Ann,Ann ran.,,,,
"""


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "t.csv").write_bytes(MENTIONS)
    return MentionReader(open_source(tmp_path / "t.csv", "mentions"))


def test_every_record_comes_with_its_problems(reader):
    found = [(record.place, [problem.field for problem in record.problems]) for record in reader.checked()]
    assert found == [
        ("line 2", []),
        ("line 3", ["start"]),
        ("line 4", [None]),
        ("line 5", [None]),
        ("line 8", ["id", "mention", "start"]),
        ("line 9", ["id"]),
    ]
    rows = [record.row for record in reader.checked()]
    assert [row and row["id"] for row in rows] == ["1", "2", None, "4", None, "1"]
    assert not len(reader.problems), "nothing is left to be raised"


def test_what_was_given(reader):
    used, whole = ([record.given for record in reader.checked(whole=whole)] for whole in (False, True))
    assert "more" not in used[0] and whole[0]["more"] == "x"
    assert whole[2] == ["3", "Ann"] == used[2]
    broken = list(reader.checked())[3]
    assert broken.problems[0].reason.startswith("line 6: byte 0xff") and broken.problems[0].given.startswith(
        "r\ufffdn"
    )


def test_rows_and_the_error_are_those_of_the_records(reader):
    rows = list(reader.rows())
    assert [row["id"] for row in rows] == ["1", "2", "4", "1"]
    expected = [f"{problem.where}: {problem.what}" for record in reader.checked() for problem in record.problems]
    assert reader.problems.found == expected and len(expected) == 7
    with pytest.raises(ValueError, match="7 problems"):
        reader.problems.raise_if_any()


def test_a_wrong_line_before_a_good_one_is_no_fault_of_it(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"id": "1"\n[2]\n{"id": "3", "id": "4", "name": "C"}\n{"id": "5", "name": "E"}\n{'
    )
    reader = TableReader(open_source(tmp_path / "t.jsonl", "entities"), ENTITIES)
    found = {record.place: len(record.problems) for record in reader.checked()}
    assert found == {"line 1": 1, "line 2": 1, "line 3": 1, "line 4": 0, "line 5": 1}
    assert next(iter(reader.checked())).given == '{"id": "1"'


def test_problems_that_are_taken():
    problems = RecordProblems("t")
    problems.add("line 1", "is odd", field="id", record="line 0")
    assert len(problems) == 1
    (taken,) = problems.take()
    assert (taken.reason, taken.field, len(problems), problems.take()) == ("line 1: is odd", "id", 0, [])
