"""The forms of the results: nothing is lost in them."""

import csv
import json
from dataclasses import fields

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_mel.linking import LinkedEntity, LinkedMention, MentionQuery
from hf_mel.linking.batch import WRITERS, format_of, link_file
from hf_mel.linking.batch.formats import parquet
from hf_mel.linking.batch.formats.parquet import CANDIDATE, SCHEMA
from tests.linking.batch.common import FakeLinker, mixed_rows, read_lines, write_lines


NASTY = ["a,b;\"c\"\t'd'", "line\nand\rand\r\nline", "=1+1", "\u2028\x00\x1f", "\U0001f600 \u00fc \u202e", " spaces "]


@pytest.fixture
def results() -> list[dict]:
    """Results as the journal holds them, with whatever may stand in a text."""
    linker = FakeLinker()
    found = []
    for number, text in enumerate(NASTY):
        name = "Nil" if number == 1 else text
        mention = linker._linked(MentionQuery(name, f"{name} here", id=f"m{number}"), number)
        found.append(json.loads(mention.to_json()))
    return found


def test_json_lines_are_linked_mentions(results, tmp_path):
    WRITERS["jsonl"](results, tmp_path / "out.jsonl", None)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [LinkedMention.from_dict(json.loads(line)).to_dict() for line in lines] == results
    assert "\u00fc" in lines[4]


@pytest.mark.parametrize(("form", "sign"), [("csv", ","), ("tsv", "\t")])
def test_cells(results, tmp_path, form, sign):
    WRITERS[form](results, tmp_path / "out", None)
    with open(tmp_path / "out", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=sign, strict=True))
    assert [row["mention"] for row in rows] == [result["mention"] for result in results]
    assert [json.loads(row["candidates"]) for row in rows] == [result["candidates"] for result in results]
    first, nil, third = rows[:3]
    assert (first["score"], first["probability"], first["entity_id"], first["is_nil"]) == ("", "", "", "true")
    assert (nil["is_nil"], nil["entity_id"], nil["name"], nil["score"]) == ("true", "", "", repr(1 / 3))
    assert (third["start"], third["end"], third["has_image"], third["image_weight"]) == ("0", "4", "false", "")
    assert list(third)[:5] == ["id", "mention", "start", "end", "text"]


def test_parquet_has_the_fields_of_the_answers(results, tmp_path, monkeypatch):
    assert SCHEMA.names == [*(each.name for each in fields(LinkedMention)), "prediction_set"]
    assert [each.name for each in CANDIDATE] == [each.name for each in fields(LinkedEntity)]
    monkeypatch.setattr(parquet, "_ROWS", 4)
    WRITERS["parquet"](results, tmp_path / "out.parquet", None)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema == SCHEMA and table.to_pylist() == results
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2
    again = load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), cache_dir=str(tmp_path))["train"]
    assert again["candidates"][3][0]["types"] == ["a", "b"]


def test_parquet_of_nothing_has_the_columns(tmp_path):
    WRITERS["parquet"]([], tmp_path / "out.parquet", None)
    assert pq.read_table(tmp_path / "out.parquet").schema == SCHEMA


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
def test_the_order_is_that_of_the_input_and_the_bytes_are_the_same_again(tmp_path, form):
    table = write_lines(tmp_path / "in.jsonl", mixed_rows(40))
    for number in (1, 2):
        link_file(FakeLinker(), table, tmp_path / f"{number}.{form}")
    assert (tmp_path / f"1.{form}").read_bytes() == (tmp_path / f"2.{form}").read_bytes()
    link_file(FakeLinker(), table, tmp_path / "out.jsonl")
    ids = [row["id"] for row in read_lines(tmp_path / "out.jsonl")]
    assert ids == [f"m{number}" for number in range(40) if number % 7 != 3]


def test_formats_by_suffix_and_by_name(tmp_path):
    names = {"a.JSONL": "jsonl", "a.ndjson": "jsonl", "a.b.csv": "csv", "a.nt": "nt", "a.jsonld": "jsonld"}
    assert {name: format_of(tmp_path / name) for name in names} == names
    assert format_of(tmp_path / "a.txt", "tsv") == "tsv"
    with pytest.raises(ValueError, match=r"the suffix tells no format; did you mean 'parquet'\?; use one of .jsonl"):
        format_of(tmp_path / "a.parqet")
