import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from hf_mel.data import MENTION_FEATURES, KnowledgeBase, check_mentions
from hf_mel.data.layouts.base import locate_mentions
from hf_mel.data.own.mentions import load_mentions


HEADER = "id,mention,sentence,start,end,entity_id\n"


@pytest.fixture
def kb():
    return KnowledgeBase.from_records([{"id": "Q1", "name": "Ann"}, {"id": "Q2", "name": "Bo"}])


def refused(*args, **options) -> list[str]:
    with pytest.raises(ValueError) as raised:
        load_mentions(*args, **options)
    return str(raised.value).splitlines()


def spans(dataset) -> list[tuple]:
    return list(zip(dataset["start"][:], dataset["end"][:], strict=True))


# ---- The same from everywhere ----


def test_from_every_kind_of_table(tmp_path, kb, write_picture):
    write_picture(tmp_path / "a.png")
    rows = [
        {"id": "m1", "mention": "Ann", "text": "Ann 😀 ran.", "start": 0, "end": 3, "entity_id": "Q1", "file_name": "a.png"},
        {"id": "m2", "mention": "ran", "text": "Ann 😀 ran.", "start": 6, "end": 9, "entity_id": None, "file_name": None},
        {"id": "m3", "mention": "Cy", "text": "Nobody.", "start": None, "end": None, "entity_id": "Q2", "file_name": "a.png"},
    ]  # fmt: skip
    cells = [[str(v) if v is not None else "" for v in row.values()] for row in rows]
    (tmp_path / "metadata.csv").write_text("\n".join([",".join(rows[0]), *map(",".join, cells)]), encoding="utf-8")
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    dataset = Dataset.from_list(rows)
    sources = [tmp_path, tmp_path / "metadata.csv", tmp_path / "t.jsonl", tmp_path / "t.parquet"]
    tables = [load_mentions(source, kb=kb) for source in sources]
    tables.append(load_mentions(dataset, kb=kb, images=tmp_path))
    for table in tables:
        assert table.features == MENTION_FEATURES
        assert spans(table) == [(0, 3), (6, 9), (None, None)]
        assert table["entity_id"][:] == ["Q1", None, "Q2"]
        assert table["image_status"][:] == ["ok", "none", "ok"]
        assert [row["image"] and row["image"].size for row in table] == [(6, 4), None, (6, 4)]
        assert check_mentions(table, kb)["splits"]["mentions"]["nil"] == 1
        assert table.remove_columns("image")[:] == tables[0].remove_columns("image")[:]


def test_a_doctest_like_table_without_ids(tmp_path):
    (tmp_path / "news.csv").write_text("text,surface,qid\nAnn ran.,Ann,Q1\nAnn ran.,ran,\n")
    assert load_mentions(tmp_path / "news.csv")["id"][:] == ["news-1", "news-2"]
    dataset = Dataset.from_dict({"text": ["Ann ran."], "surface": ["Ann"], "qid": [7]})
    table = load_mentions(dataset)
    assert table["id"][:] == ["mentions-1"] and table["entity_id"][:] == ["7"]


# ---- NIL ----


def test_nil_is_null_empty_or_a_value_that_is_told(tmp_path, caplog):
    path = tmp_path / "t.jsonl"
    golds = [None, "", "  ", "NIL", "nil", "Q1", "-", "None"]
    rows = [{"id": str(i), "mention": "a", "text": "a b", "entity_id": gold} for i, gold in enumerate(golds)]
    path.write_text("\n".join(map(json.dumps, rows)))
    with caplog.at_level(logging.INFO):
        assert load_mentions(path)["entity_id"][:] == [None] * 5 + ["Q1", "-", "None"]
    assert caplog.messages == [f"{path}: 8 mentions, 5 of them NIL, 0 not in their sentence"]
    assert load_mentions(path, nil_values=["-", "none"])["entity_id"][:] == [None] * 3 + [
        "NIL",
        "nil",
        "Q1",
        None,
        None,
    ]
    with pytest.raises(TypeError, match=r"pass a list of values, such as \['NIL'\]"):
        load_mentions(path, nil_values="NIL")


def test_an_entity_that_is_called_nil(tmp_path):
    kb = KnowledgeBase.from_records([{"id": "NIL", "name": "Network Interface Layer"}])
    (tmp_path / "t.csv").write_text("mention,sentence,entity_id\na,a,NIL\n")
    with pytest.raises(ValueError, match="'NIL' is the id of an entity, so it cannot stand for NIL"):
        load_mentions(tmp_path / "t.csv", kb=kb)
    assert load_mentions(tmp_path / "t.csv", kb=kb, nil_values=())["entity_id"][:] == ["NIL"]


def test_mentions_without_any_gold_must_say_so(tmp_path):
    (tmp_path / "t.csv").write_text("mention,sentence\na,a\n")
    assert "columns={'entity_id': None}" in refused(tmp_path / "t.csv")[1]
    assert load_mentions(tmp_path / "t.csv", {"entity_id": None})["entity_id"][:] == [None]


def test_gold_ids_that_the_knowledge_base_lacks(tmp_path, kb):
    (tmp_path / "t.csv").write_text("mention,sentence,answer\na,a,Q1\na,a,Q7\na,a,Q8\na,a,\n")
    assert refused(tmp_path / "t.csv", kb=kb)[:-1] == [
        f"{tmp_path / 't.csv'}: 2 problems",
        "  line 3: `entity_id` (column 'answer') 'Q7' is not the id of an entity (NIL is an empty one)",
        "  line 4: `entity_id` (column 'answer') 'Q8' is not the id of an entity (NIL is an empty one)",
    ]
    assert len(load_mentions(tmp_path / "t.csv")) == 4


# ---- Offsets ----


def test_offsets_are_found_turn_by_turn(tmp_path, caplog):
    rows = [
        ("Ann", "Anna, Ann and Ann"), ("Ann", "Anna, Ann and Ann"), ("Anna", "Anna, Ann and Ann"),
        ("Ann", "Anna, Ann and Ann"), ("Ann", "Ann."), ("Ann", "Anna, Ann and Ann"), ("a.b", "axb a.b"), ("Cy", "Ann."),
    ]  # fmt: skip
    table = {"mention": [m for m, _ in rows], "text": [s for _, s in rows], "entity_id": [None] * len(rows)}
    found = spans(load_mentions(Dataset.from_dict(table)))
    assert found == [(6, 9), (14, 17), (0, 4), (14, 17), (0, 3), (6, 9), (4, 7), (None, None)]
    assert caplog.messages == ["dataset of mentions: 8 mentions, 8 of them NIL, 1 not in their sentence"]


def test_another_picture_begins_anew(tmp_path, write_picture):
    for name in "ab":
        write_picture(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text("mention,sentence,entity_id,image\nx,x x,,a.png\nx,x x,,a.png\nx,x x,,b.png\n")
    assert spans(load_mentions(tmp_path / "t.csv")) == [(0, 1), (2, 3), (0, 1)]


def test_the_same_sentence_many_times_is_no_quadratic_work(monkeypatch):
    sizes = []

    def counted(sentence, mentions):
        sizes.append(len(mentions))
        return locate_mentions(sentence, mentions)

    monkeypatch.setattr("hf_mel.data.mention_checks.locate_mentions", counted)
    table = {"mention": ["x"] * 50, "text": ["x x"] * 50, "entity_id": [None] * 50}
    assert spans(load_mentions(Dataset.from_dict(table))) == [(0, 1)] + [(2, 3)] * 49
    assert max(sizes) == 3 and len(sizes) == 50


def test_offsets_that_do_not_fit(tmp_path):
    path = tmp_path / "t.csv"
    lines = [
        "1,Ann,Ann ran,0,3,", "2,ran,Ann ran,0,3,", "3,ran,Ann ran,4,,", "4,ran,Ann ran,,7,", "5,ran,Ann ran,4,6,",
        "6,ran,Zoë ran,5,8,", "7,ran,😀 ran,3,6,", "8,ran,Ann ran,7,4,", "9,ran,Ann ran,-3,7,", "10,ran,Ann ran,four,7,",
        "11,é,e\u0301 a,0,2,",
    ]  # fmt: skip
    path.write_text(HEADER + "\n".join(lines), encoding="utf-8")
    assert refused(path)[:-1] == [
        f"{path}: 9 problems",
        "  line 3: `start` 0 and `end` 3 give 'Ann', not the mention 'ran'; the mention stands at 4",
        "  line 5: `end` is given, but not `start`",
        "  line 6: `start` 4 and `end` 6 give 'ra', not the mention 'ran'; `end` is the place after the last character, not of it",
        "  line 7: `start` 5 and `end` 8 are no part of the 7 characters of the text; these count bytes, not characters",
        "  line 8: `start` 3 and `end` 6 are no part of the 5 characters of the text; these count UTF-16 units, as JavaScript does, not characters",
        "  line 9: `start` 7 and `end` 4 are no part of the 7 characters of the text; the mention stands at 4",
        "  line 10: `start` -3 and `end` 7 are no part of the 7 characters of the text; the mention stands at 4",
        "  line 11: `start` must be a whole number, not 'four'",
        "  line 12: `start` 0 and `end` 2 give 'e\u0301', not the mention 'é'; the two differ in Unicode normalization only",
    ]


def test_a_column_of_starts_alone(tmp_path):
    (tmp_path / "t.csv").write_text("mention,sentence,entity_id,begin\na,b a,,2\nA,b a,,2\n")
    assert spans(load_mentions(tmp_path / "t.csv", {"start": "begin"})) == [(2, 3), (2, 3)]
    (tmp_path / "t.csv").write_text("mention,sentence,entity_id,begin\na,b a,,0\n")
    assert (
        refused(tmp_path / "t.csv", {"start": "begin"})[1]
        == "  line 2: at `start` (column 'begin') 0 stands 'b', not the mention 'a'; the mention stands at 2"
    )


def test_offsets_of_pandas():
    table = {
        "mention": ["a", "b"],
        "text": ["a", "c"],
        "entity_id": [None, None],
        "start": [0.0, None],
        "end": [1.0, None],
    }
    assert spans(load_mentions(Dataset.from_dict(table))) == [(0, 1), (None, None)]
    table["start"], table["end"] = [0.5, None], [1.0, None]
    assert "  record 1: `start` must be a whole number, not 0.5" in refused(Dataset.from_dict(table))


# ---- Splits ----


def test_splits(tmp_path, kb):
    for split, number in (("train", 3), ("test", 2)):
        (tmp_path / f"{split}.csv").write_text("mention,sentence,entity_id\n" + "Ann,Ann ran.,Q1\n" * number)
    files = {split: tmp_path / f"{split}.csv" for split in ("train", "test")}
    data = load_mentions(files, kb=kb)
    assert isinstance(data, DatasetDict) and data.num_rows == {"train": 3, "test": 2}
    assert data["test"]["id"][:] == ["test-1", "test-2"]
    again = load_mentions(data, kb=kb)
    assert again["train"][:] == data["train"][:]


def test_problems_of_all_splits_are_told(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + "1,,x,,,\n")
    (tmp_path / "b.csv").write_text(HEADER + "1,y,x y,7,8,\n")
    message = refused({"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"})
    assert f"{tmp_path / 'a.csv'}: 1 problem" in message and f"{tmp_path / 'b.csv'}: 1 problem" in message
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(HEADER + "1,x,x,,,\n2,x,x,,,\n")
    message = refused({"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"})
    assert message[:3] == [
        "splits of mentions: 2 problems",
        "  split 'test': `id` '1' is already used in split 'train'",
        "  split 'test': `id` '2' is already used in split 'train'",
    ]
    with pytest.raises(ValueError, match="no split of mentions"):
        load_mentions({})


def test_what_is_no_table_of_mentions(tmp_path, write_picture):
    write_picture(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"holds no metadata\.csv.*mentions need a table"):
        load_mentions(tmp_path)
    (tmp_path / "t.txt").write_text("[]")
    with pytest.raises(
        ValueError, match=r"t\.txt: unknown suffix '\.txt'; use \.csv, \.tsv, \.jsonl, \.json, \.parquet or \.xlsx"
    ):
        load_mentions(tmp_path / "t.txt")
    (tmp_path / "t.jsonl").write_text("{}")
    with pytest.raises(ValueError, match="delimiter=';' is for CSV"):
        load_mentions(tmp_path / "t.jsonl", delimiter=";")
    with pytest.raises(FileNotFoundError, match="no mentions at"):
        load_mentions(tmp_path / "absent.csv")
    with pytest.raises(TypeError, match="not a list: pass one of them"):
        load_mentions([1])
