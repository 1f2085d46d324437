"""What becomes of each row: linked or rejected, with which picture, and what is counted."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image

from hf_mel.data import make_miniature
from hf_mel.linking import Span
from hf_mel.linking.batch import BatchOptions, TableInput, link_file, rows
from tests.linking.batch.common import FakeLinker, read_lines, write_lines, write_picture


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def linked(source, linker=None, **options):
    """Report, results and rejects."""
    source = source if isinstance(source, TableInput) else TableInput(source)
    report = link_file(linker or FakeLinker(), source, "out.jsonl", overwrite=True, **options)
    rejects = Path("out.jsonl.rejects.jsonl")
    assert rejects.exists() == (report.rejected > 0), "without a rejected row there is no such file"
    return report, read_lines("out.jsonl"), read_lines(rejects) if rejects.exists() else []


def reasons(rejects) -> list[tuple]:
    return [(entry["place"], entry["id"], entry["problems"][0]["field"]) for entry in rejects]


# ---- Whence ----


def test_the_same_from_every_kind_of_table(tmp_path):
    write_picture(tmp_path / "a.png")
    table = [
        {"id": "1", "mention": "Ann", "text": "Ann \U0001f600 ran.", "start": 0, "end": 3, "image": "a.png"},
        {"id": "2", "mention": "ran", "text": "Ann \U0001f600 ran.", "start": 6, "end": None, "image": None},
        {"id": "3", "mention": "Cy", "text": "Nobody.", "start": None, "end": None, "image": "a.png"},
        {"id": "4", "mention": "Ann", "text": "Bo", "start": 0, "end": 3, "image": None},
    ]
    cells = [[str(value) if value is not None else "" for value in row.values()] for row in table]
    for name, sign in (("t.csv", ","), ("t.tsv", "\t"), ("metadata.csv", ",")):
        lines = [sign.join(table[0]), *(sign.join(row) for row in cells)]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    write_lines(tmp_path / "t.jsonl", table)
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "t.parquet")
    sources = ["t.csv", "t.tsv", "t.jsonl", "t.parquet", ".", TableInput(Dataset.from_list(table), images=tmp_path)]
    answers = [linked(source) for source in sources]
    for report, results, rejects in answers:
        assert [(row["id"], row["start"], row["end"], row["has_image"]) for row in results] == [
            ("1", 0, 3, True), ("2", 6, 9, False), ("3", None, None, True),
        ]  # fmt: skip
        assert (report.rows, report.mentions, report.rejected, report.not_in_text) == (4, 3, 1, 1)
        assert report.images == {"ok": 2, "none": 1}
        assert [(entry["id"], entry["problems"][0]["field"]) for entry in rejects] == [("4", "start")]
        assert results == answers[0][1]


def test_a_folder_of_pictures_with_captions(tmp_path):
    write_picture(tmp_path / "album" / "a.png")
    (tmp_path / "album" / "metadata.csv").write_text("file_name,caption,label\na.png,Ann ran.,Ann\n")
    source = TableInput("album", columns={"mention": "label", "text": "caption"})
    report, results, _ = linked(source)
    assert report.images == {"ok": 1} and results[0]["has_image"] and results[0]["id"] == "metadata-1"
    with pytest.raises(FileNotFoundError, match="captions and mentions"):
        (tmp_path / "album" / "metadata.csv").unlink()
        linked(source)


def test_a_split_of_a_data_set(tmp_path, monkeypatch):
    data = make_miniature(num_entities=10, num_train=5, num_validation=3, num_test=4, image_size=8)
    monkeypatch.setattr("hf_mel.linking.batch.inputs.load_data", lambda name: data)
    report, results, _ = linked(TableInput("miniature", split="test"))
    assert [row["id"] for row in results] == data.mentions["test"]["id"][:]
    assert report.images.get("ok") == sum(status == "ok" for status in data.mentions["test"]["image_status"])
    with pytest.raises(ValueError, match="there is no split 'tset'; did you mean 'test'?"):
        linked(TableInput("miniature", split="tset"))
    with pytest.raises(ValueError, match="say which split"):
        linked("miniature")
    with pytest.raises(ValueError, match="is a table, which has no splits"):
        linked(TableInput(write_lines(tmp_path / "t.jsonl", []), split="test"))


def test_what_cannot_be_read_at_all(tmp_path):
    (tmp_path / "t.csv").write_text("id,mentoin,sentence\n1,a,a\n")
    with pytest.raises(ValueError, match="column `mention`: is missing; did you mean 'mentoin'?"):
        linked("t.csv")
    (tmp_path / "empty.csv").write_text("id,mention,sentence\n")
    with pytest.raises(ValueError, match="holds no mention"):
        linked("empty.csv")
    with pytest.raises(FileNotFoundError, match="no mentions at no.csv"):
        linked("no.csv")
    assert not list(tmp_path.glob(".*")) and not list(tmp_path.glob("out*"))


# ---- Rejected rows ----


def test_every_wrong_row_has_its_line(tmp_path):
    lines = [
        b"id,mention,text,start,end,note",
        b"1,Ann,Ann ran.,0,3,fine",
        b"2,,Nobody.,,,",
        b"3,Ann,  ,,,",
        b"4,Ann,Ann ran.,7,10,",
        b"5,Ann,Ann ran.,1,4,",
        b"6,Ann,Ann ran.,one,,",
        b"1,Ann,Ann ran.,0,3,again",
        b"7,Ann",
        b'8,Ann,"Ann\nr\xffn.",,,two lines',
        b"9,Ann,Ann ran.,,3,",
        b"10,Ann,Ann slept.,,,fine",
    ]
    (tmp_path / "t.csv").write_bytes(b"\n".join(lines) + b"\n")
    report, results, rejects = linked("t.csv")
    assert [row["id"] for row in results] == ["1", "10"]
    assert reasons(rejects) == [
        ("line 3", "2", "mention"),
        ("line 4", "3", "text"),
        ("line 5", "4", "start"),
        ("line 6", "5", "start"),
        ("line 7", "6", "start"),
        ("line 8", "1", "id"),
        ("line 9", None, None),
        ("line 10", "8", None),
        ("line 12", "9", "end"),
    ]
    said = [entry["problems"][0]["reason"] for entry in rejects]
    assert "are no part of the 8 characters" in said[2] and "give 'nn '" in said[3]
    assert said[5] == "`id` '1' is already that of line 2" and said[6] == "has 2 cells, the header 6 columns"
    assert said[7].startswith("line 11: byte 0xff") and rejects[6]["row"] == ["7", "Ann"]
    assert rejects[0]["file"] == "t.csv"
    assert rejects[5]["row"] == {
        "id": "1", "mention": "Ann", "text": "Ann ran.", "start": "0", "end": "3", "note": "again"
    }  # fmt: skip
    assert (report.rows, report.mentions, report.rejected) == (11, 2, 9)
    assert report.reasons[0] == "line 3: `mention` is missing or empty (id '2')" and len(report.reasons) == 5
    assert report.more_rejected == 4


def test_wrong_lines_of_json(tmp_path):
    lines = [
        '{"id": "a", "mention": "Ann", "text": "Ann ran."}',
        '{"mention": "Ann", "text": ',
        '{"mention": "Ann", "mention": "Bo", "text": "Ann ran.", "id": "x"}',
        "[1]",
        '{"id": "b", "mention": "\\ud800", "text": "Ann ran.", "more": {"deep": [NaN]}}',
        '{"id": 5, "mention": 7, "text": null, "more": NaN}',
        '{"id": 6, "mention": "ran", "text": "Ann ran."}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    report, results, rejects = linked("t.jsonl")
    assert [row["mention"] for row in results] == ["Ann", "ran"]
    assert [entry["place"] for entry in rejects] == ["line 2", "line 3", "line 4", "line 5", "line 6"]
    assert rejects[0]["row"] == lines[1] and rejects[1]["id"] == "x" and rejects[2]["row"] == [1]
    assert rejects[3]["row"].startswith("not shown") and rejects[4]["row"]["more"] is None
    assert [problem["field"] for problem in rejects[4]["problems"]] == ["text", "mention"]
    assert report.rejected == 5


def test_half_a_character_in_a_rejected_row(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"mention": "\\ud800", "text": "Ann"}\n{"mention": "Ann", "text": "Ann"}\n')
    _, results, rejects = linked("t.jsonl")
    assert len(results) == 1 and rejects[0]["row"]["mention"] == "\ud800"


def test_a_quote_that_is_never_closed(tmp_path):
    (tmp_path / "t.csv").write_text('id,mention,text\n1,a,a\n2,b,"b\n3,c,c\n')
    report, results, rejects = linked("t.csv")
    assert len(results) == 1 and rejects[0]["place"] == "line 3"
    assert [problem["reason"] for problem in rejects[0]["problems"]] == [
        "is not well-formed: a quoted cell which begins here is never closed", "the lines after it were not read",
    ]  # fmt: skip
    assert rejects[0]["row"] == '2,b,"b\n3,c,c'


def test_nothing_but_wrong_rows(tmp_path):
    (tmp_path / "t.csv").write_text("id,mention,text\n1,,a\n2,,b\n")
    linker = FakeLinker()
    report, results, rejects = linked("t.csv", linker)
    assert (report.mentions, report.rejected, results, len(rejects)) == (0, 2, [], 2)
    assert linker.asked == []


# ---- Where a mention stands ----


def test_equal_mentions_take_turns_across_parts(tmp_path):
    """The turn does not depend on where a part of the input ends."""
    text = "Ann saw Ann and Ann."
    write_lines(tmp_path / "t.jsonl", [{"mention": "Ann", "text": text} for _ in range(3)])
    for size in (1, 2, 64):
        _, results, _ = linked("t.jsonl", FakeLinker(size))
        assert [row["start"] for row in results] == [0, 8, 16]


def test_gold_entities_are_no_matter(tmp_path, caplog):
    write_lines(tmp_path / "t.jsonl", [{"id": 1, "mention": "a", "text": "a", "entity_id": "no such"}])
    assert linked("t.jsonl")[0].mentions == 1 and "not used" not in caplog.text


# ---- Pictures ----


def picture_rows(tmp_path):
    write_picture(tmp_path / "good.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "blank.png")
    (tmp_path / "broken.png").write_bytes(b"<html>404</html>")
    named = [
        "good.png",
        None,
        "blank.png",
        "no.png",
        "broken.png",
        "https://user:secret@e.org/a.png?key=1",
        "good.png",
    ]
    return write_lines(tmp_path / "t.jsonl", [{"mention": "a", "text": "a", "image": name} for name in named])


def test_a_picture_that_is_named_must_be_there(tmp_path):
    report, results, rejects = linked(picture_rows(tmp_path))
    assert [(row["id"], row["has_image"]) for row in results] == [
        ("t-1", True), ("t-2", False), ("t-3", False), ("t-7", True),
    ]  # fmt: skip
    assert report.images == {"ok": 2, "none": 1, "blank": 1}
    assert reasons(rejects) == [(f"line {line}", f"t-{line}", "image") for line in (4, 5, 6)]
    said = [entry["problems"][0]["reason"] for entry in rejects]
    assert said[0].endswith("no.png is not there") and said[1].endswith("is a web page, not a picture")
    assert said[2] == "https://e.org/a.png is a URL, which is not fetched: download it, and pass the file"


def test_missing_pictures_may_be_allowed(tmp_path):
    report, results, rejects = linked(TableInput(picture_rows(tmp_path), allow_missing_images=True))
    assert [row["has_image"] for row in results] == [True, *[False] * 5, True] and not rejects
    assert report.images == {"ok": 2, "none": 1, "blank": 1, "missing_file": 2, "unreadable": 1}


def test_pictures_in_the_table_are_not_in_the_rejects(tmp_path):
    content = write_picture(tmp_path / "a.png").read_bytes()
    rows_ = [
        {"mention": "a", "text": "a", "image": {"bytes": content, "path": "a.png"}},
        {"mention": "", "text": "a", "image": {"bytes": content, "path": "a.png"}},
        {"mention": "b", "text": "b", "image": {"bytes": content[:50], "path": "half.png"}},
    ]
    Dataset.from_list(rows_).cast_column("image", ImageFeature()).to_parquet(tmp_path / "t.parquet")
    report, results, rejects = linked("t.parquet")
    assert [row["has_image"] for row in results] == [True] and report.rejected == 2
    assert [entry["row"]["image"] for entry in rejects] == [
        {"bytes": None, "path": "a.png"}, {"bytes": None, "path": "half.png"},
    ]  # fmt: skip
    assert "half.png cannot be read as a picture" in rejects[1]["problems"][0]["reason"]


def test_a_picture_that_several_mentions_share_is_opened_once(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png")
    opened = []
    read = rows.read_picture
    monkeypatch.setattr(rows, "read_picture", lambda source: opened.append(source) or read(source))
    write_lines(tmp_path / "t.jsonl", [{"mention": m, "text": "a b c", "image": "a.png"} for m in "abc"])
    linker = FakeLinker()
    linked("t.jsonl", linker)
    assert len(opened) == 1 and len({id(query.image) for query in linker.asked[0]}) == 1


def test_large_pictures_make_small_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_MOST_PIXELS", 100)
    for name in "ab":
        write_picture(tmp_path / f"{name}.png", size=(10, 6))
    named = ["a.png", "a.png", "b.png", "a.png", None]
    write_lines(tmp_path / "t.jsonl", [{"mention": "a", "text": "a", "image": name} for name in named])
    linker = FakeLinker(64)
    linked("t.jsonl", linker)
    assert [len(queries) for queries in linker.asked] == [3, 2], "60 pixels, shared, 60 more: full"


# ---- Mentions that are found ----


def capitals(texts):
    return [
        [
            Span(at, at + len(word), word)
            for at, word in ((text.index(w), w) for w in text.split())
            if word[0].isupper()
        ]
        for text in texts
    ]


def test_mentions_are_found_where_none_is_given(tmp_path):
    write_picture(tmp_path / "a.png")
    table = [
        {"id": "r1", "text": "Ann saw \U0001f600 Bo", "image": "a.png"},
        {"id": "r2", "text": "nobody here"},
        {"id": "r3", "text": "Cy and dan", "mention": "dan"},
        {"id": "r4", "text": " "},
        {"id": "r5#1", "text": "Eve"},
        {"id": "r6", "text": "Eve", "start": 0},
        {"id": "r7", "text": "Eve"},
    ]
    write_lines(tmp_path / "t.jsonl", table)
    asked = []
    source = TableInput("t.jsonl", find_mentions=lambda texts: (asked.append(texts), capitals(texts))[1], finder="f")
    report, results, rejects = linked(source)
    assert [(row["id"], row["mention"], row["start"], row["has_image"]) for row in results] == [
        ("r1#0", "Ann", 0, True), ("r1#1", "Bo", 10, True), ("r3", "dan", 7, False), ("r7#0", "Eve", 0, False),
    ]  # fmt: skip
    assert report.without_mention == 1 and report.mentions == 4 and report.rows == 7
    assert reasons(rejects) == [("line 4", "r4", "text"), ("line 5", "r5#1", "id"), ("line 6", "r6", "start")]
    assert asked == [[table[0]["text"], table[1]["text"], table[6]["text"]]]
    without = linked("t.jsonl")[2]
    assert len(without) == 6 and {entry["problems"][0]["field"] for entry in without} == {"mention"}


# ---- What is asked and answered ----


def test_numbers_are_rounded_and_the_rest_is_as_it_was(tmp_path):
    write_lines(tmp_path / "t.jsonl", [{"id": "1", "mention": "Ann", "text": "Ann"}])
    _, results, _ = linked("t.jsonl")
    assert results[0]["candidates"][0]["score"] == 0.333333 and results[0]["nil_probability"] == 0.142857
    linker = FakeLinker()
    linked("t.jsonl", linker)
    expected = linker.link_queries(linker.asked[0], top_k=5)[0].to_dict()
    assert list(results[0]) == list(expected) and json.dumps(results[0]["candidates"][1]["types"]) == '["a", "b"]'
    rounded = json.loads(json.dumps(expected), parse_float=lambda number: round(float(number), 6))
    assert results[0] == rounded


def test_the_options_reach_the_linker(tmp_path):
    write_lines(tmp_path / "t.jsonl", [{"id": "1", "mention": "Ann", "text": "Ann"}])
    linker = FakeLinker()
    options = BatchOptions(top_k=2, threshold=0.5, score_threshold=0.1, types=["a"], entity_ids=["Q1"])
    linked("t.jsonl", linker, options=options)
    assert linker.options == {
        "top_k": 2, "threshold": 0.5, "score_threshold": 0.1, "types": ["a"], "entity_ids": ["Q1"],
        "prediction_set": None,
    }  # fmt: skip
