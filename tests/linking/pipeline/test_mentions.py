"""Mentions given to `pipeline("multimodal-entity-linking")`: every way has the same answers, and wrong ones are named."""

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from PIL import Image
from transformers.pipelines.pt_utils import KeyDataset

from hf_mel import Linker
from hf_mel.linking import LinkedMention, MentionQuery

from .common import close


# ---- Ways in ----


def test_answers_are_those_of_the_linker(pipe, parts, index, rows):
    queries = [MentionQuery(row["mention"], row["text"], row["start"], row["image"], row["id"]) for row in rows]
    expected = [linked.to_dict() for linked in Linker(*parts, index, calibration=False).link_queries(queries, top_k=3)]
    answers = pipe(rows)
    close(answers, expected)
    assert {answer["has_image"] for answer in answers} == {True, False}
    assert len({answer["candidates"][0]["entity_id"] for answer in answers}) > 1
    assert LinkedMention.from_dict(answers[0]).mention == rows[0]["mention"]
    assert all(len(answer["candidates"]) == 3 for answer in answers)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_the_batch_size_does_not_matter(pipe, rows, batch_size):
    alone = [pipe(row) for row in rows]
    close(pipe(rows, batch_size=batch_size), alone)
    close(list(pipe((row for row in rows), batch_size=batch_size)), alone)


def test_all_ways_to_give_mentions(pipe, rows):
    expected = pipe(rows)
    columns = {name: [row[name] for row in rows] for name in ("text", "mention", "start", "image")}
    for answer, row in zip(expected, rows, strict=True):
        assert answer["id"] == row["id"]
    without_ids = [answer | {"id": None} for answer in expected]
    close(pipe(**columns), without_ids)
    first = {name: values[0] for name, values in columns.items()}
    assert isinstance(pipe(**first), dict)
    close([pipe(**first)], without_ids[:1])
    close([pipe(first)], without_ids[:1])
    close([pipe(MentionQuery(**first))], without_ids[:1])
    close(pipe(tuple(rows)), expected)
    for lazy in (iter(rows), map(dict, rows), (row for row in rows)):
        close(list(pipe(lazy)), expected)
    assert pipe([]) == [] and pipe(()) == [] and list(pipe(iter([]))) == []
    assert pipe(text=[], mention=[]) == []


def test_data_sets(pipe, rows, data):
    expected = pipe(rows)
    mentions = data.mentions["test"]
    answers = pipe(mentions, batch_size=3)
    assert len(answers) > 0 and not isinstance(answers, list)
    close(list(answers), expected)
    close(list(pipe(mentions, num_workers=1, batch_size=2)), expected)
    close(list(pipe(mentions.to_iterable_dataset())), expected)
    close(list(pipe(mentions.rename_column("text", "sentence"))), expected)
    close(list(pipe(mentions.with_format("torch"))), expected)
    close(list(pipe(pd.DataFrame(rows))), expected)
    close(list(pipe({name: [row[name] for row in rows] for name in rows[0]})), expected)
    close(
        pipe([{"sentence" if name == "text" else name: value for name, value in row.items()} for row in rows]),
        expected,
    )
    close(list(pipe(IterableDataset.from_generator(lambda: iter(rows)))), expected)
    close(
        list(pipe(KeyDataset(Dataset.from_list([{"row": {"text": "a b", "mention": "b"}}]), "row"))),
        [pipe(text="a b", mention="b")],
    )


def test_a_generator_is_read_as_it_is_linked(pipe, rows):
    read = []

    def stream():
        for row in rows:
            read.append(row)
            yield row

    answers = pipe(stream(), batch_size=2)
    assert not isinstance(answers, list) and len(read) <= 1
    next(iter(answers))
    assert len(read) == 2


def test_options_of_a_call(pipe, rows, data):
    row = {"text": "A painter came.", "mention": "painter"}
    assert [len(pipe(row, top_k=k)["candidates"]) for k in (1, 5, 12)] == [1, 5, 12]
    assert len(pipe(row)["candidates"]) == 3, "what the pipeline was made with"
    assert pipe(row)["is_nil"] is None
    linked, nil = pipe(row, score_threshold=-1.0), pipe(row, score_threshold=2.0)
    assert (linked["is_nil"], nil["is_nil"], nil["entity_id"]) == (False, True, None)
    some = data.entities.ids[4:6]
    found = pipe([row, rows[0]], entity_ids=some, batch_size=2)
    assert all({each["entity_id"] for each in answer["candidates"]} == set(some) for answer in found)
    assert pipe(row, types=["person"])["candidates"][0]["types"] == ["person"]
    with pytest.raises(ValueError, match="no calibration"):
        pipe(row, threshold=0.5)
    with pytest.raises(TypeError, match="topk"):
        pipe(row, topk=2)


# ---- What is refused ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mention": "a"}, "`text` is missing"),
        ({"text": "a b", "mention": " "}, "`mention` is missing or empty"),
        ({"text": "a b", "mention": "a", "strat": 1}, "'strat' is no key; did you mean 'start'"),
        ({"text": "a b", "mention": "a", "start": "0"}, "`start` must be a whole number, not '0'"),
        ({"text": "a b", "mention": "a", "start": 9}, "`start` 9 is outside the text of 3 characters"),
        ({"text": 3, "mention": None, "x": 1}, "3 problems"),
    ],
)
def test_wrong_fields_are_named(pipe, given, message):
    with pytest.raises(ValueError, match=message):
        pipe(given)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_bad_record_of_many_refuses_no_other(pipe, rows, batch_size, tmp_path, caplog):
    bad = [
        {"text": "a b", "mention": " ", "id": "first"},
        {"text": "a b", "mention": "b", "strat": 1},
        {"text": "a b", "mention": "b", "start": 0},
        {"text": "a b", "mention": "b", "image": str(tmp_path / "none.png")},
        "A painter",
    ]
    words = ["`mention` is missing", "did you mean 'start'", "at `start` 0 stands", "is not there", "not a str"]
    expected = pipe(rows[:4])
    given = [bad[0], rows[0], rows[1], *bad[1:4], rows[2], rows[3], bad[4]]
    for answers in (pipe(given, batch_size=batch_size), list(pipe((row for row in given), batch_size=batch_size))):
        assert ["error" in each for each in answers] == [1, 0, 0, 1, 1, 1, 0, 0, 1]
        close([each for each in answers if "error" not in each], expected)
        errors = [each for each in answers if "error" in each]
        assert all(word in each["error"] for word, each in zip(words, errors, strict=True)), errors
        assert errors[0] == {"error": errors[0]["error"], "mention": " ", "text": "a b", "id": "first"}
        assert errors[4]["given"] == "A painter" and "entity_id" not in errors[4]
    assert caplog.text.count("not linked: ") == 10 and "Further ones are not logged" in caplog.text


def test_a_bad_row_of_a_table_refuses_no_other(pipe, rows):
    text, mention = [row["text"] for row in rows[:3]], [row["mention"] for row in rows[:3]]
    expected = pipe([rows[0] | {"id": "0", "image": None}, rows[2] | {"id": "2", "image": None}])
    mention[1] = None
    columns = {"text": text, "mention": mention, "start": [row["start"] for row in rows[:3]]}
    for table in (columns, pd.DataFrame(columns), Dataset.from_dict(columns)):
        answers = list(pipe(table, batch_size=2))
        assert answers[1]["error"].startswith("`mention` is missing") and answers[1]["id"] == "1"
        close([answers[0], answers[2]], expected)


def test_what_pandas_leaves_empty_is_missing(pipe):
    expected = pipe({"text": "a b", "mention": "b"})
    assert pipe({"text": "a b", "mention": "b", "start": float("nan"), "image": float("nan"), "id": None}) == expected
    with pytest.raises(ValueError, match="`text` is missing"):
        pipe({"text": float("nan"), "mention": "b"})


def test_tables_that_cannot_be_linked_are_refused(pipe, data):
    with pytest.raises(TypeError, match="`inputs` .* with the splits 'test'"):
        pipe(DatasetDict(test=data.mentions["test"]))
    with pytest.raises(ValueError, match="`inputs` lacks the column `text`"):
        pipe(data.mentions["test"].remove_columns("text"))
    with pytest.raises(ValueError, match="`inputs` is empty"):
        pipe(pd.DataFrame({"mention": [], "text": []}))


def test_wrong_calls(pipe):
    with pytest.raises(ValueError, match="which mention in it"):
        pipe("A painter came.")
    with pytest.raises(ValueError, match="nothing to link"):
        pipe(text="A painter")
    with pytest.raises(ValueError, match="give either `inputs`"):
        pipe({"text": "a", "mention": "a"}, mention="a")
    with pytest.raises(ValueError, match="must both be strings"):
        pipe(text=["a"], mention="a")
    with pytest.raises(ValueError, match="and so must be `image`"):
        pipe(text=["a", "b"], mention=["a", "b"], image=Image.new("RGB", (2, 2)))
    with pytest.raises(ValueError, match="1 of `mention`, 2 of `text`"):
        pipe(text=["a", "b"], mention=["a"])
