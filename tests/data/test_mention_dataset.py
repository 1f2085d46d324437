"""Mentions that a program passes in: every form that is taken, and one message for every form that is not."""

import io

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDatasetDict, List, Value
from datasets import Image as Picture
from PIL import Image

from hf_mel.data import MENTION_FEATURES, KnowledgeBase, as_eval_mentions, as_mentions, load_images
from hf_mel.data.images import undecoded
from tests.training.common import tiny_data


NAN = float("nan")
ROWS = [
    {"id": "m1", "mention": "Ada", "text": "Ada met Ada.", "start": 8, "entity_id": "Q1"},
    {"id": "m2", "mention": "Bob", "text": "Bob slept.", "start": None, "entity_id": None},
]
FOUND = [ROWS[0] | {"end": 11}, ROWS[1] | {"start": 0, "end": 3}]


def plain(dataset: Dataset) -> list[dict]:
    return [dict(row) for row in undecoded(dataset)]


def complete(rows: list[dict]) -> list[dict]:
    return [{name: row.get(name) for name in MENTION_FEATURES} for row in rows]


@pytest.fixture
def mentions() -> Dataset:
    return tiny_data().mentions["test"]


# ---- What is taken ----


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        tuple(ROWS),
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        {name: np.array([row[name] for row in ROWS], dtype=object) for name in ROWS[0]},
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).convert_dtypes(),
        Dataset.from_list(ROWS),
        Dataset.from_pandas(pd.DataFrame(ROWS)),
        Dataset.from_list([*ROWS[::-1], *ROWS]).select([1, 0]),
        [{("sentence" if name == "text" else name): value for name, value in row.items()} for row in ROWS],
        Dataset.from_list(ROWS).rename_column("text", "sentence"),
        pd.DataFrame(ROWS).rename(columns={"text": "sentence"}),
    ],
    ids=[
        "list", "tuple", "columns", "arrays", "frame", "frame of nullable types", "data set", "data set from a frame",
        "selected rows", "list with sentence", "data set with sentence", "frame with sentence",
    ],
)  # fmt: skip
def test_every_form_gives_the_same_mentions(given):
    found = as_mentions(given, "x", needs_gold=True)
    assert sorted(found.column_names) == sorted(MENTION_FEATURES)
    assert complete(plain(found)) == complete(FOUND)
    assert dict(found.features) == dict(MENTION_FEATURES)


def test_a_data_set_that_needs_no_change_is_returned_as_it_is(mentions):
    assert as_mentions(mentions, "x", needs_gold=True) is mentions
    more = mentions.add_column("kind", ["a"] * len(mentions))
    assert as_mentions(more, "x", needs_gold=True) is more


@pytest.mark.parametrize("kind", ["torch", "numpy", "pandas", "arrow"])
def test_a_format_is_removed(mentions, kind):
    found = as_mentions(mentions.with_format(kind, columns=["start"]), "x", needs_gold=True)
    assert found.format["type"] is None and plain(found) == plain(mentions)


def test_a_transform_is_removed(mentions):
    found = as_mentions(mentions.with_transform(lambda batch: {"x": [1] * len(batch["id"])}), "x", needs_gold=True)
    assert plain(found) == plain(mentions)


def test_only_what_is_needed():
    found = as_mentions([{"mention": "a", "text": "a b"}, {"mention": "b", "text": "a b"}], "x", needs_gold=False)
    assert found["id"][:] == ["0", "1"]
    assert (found["start"][:], found["end"][:]) == ([0, 2], [1, 3])
    empty = [name for name in MENTION_FEATURES if name not in ("id", "mention", "text", "start", "end")]
    assert all(found[name][:] == [None, None] for name in empty)


def test_text_is_read_where_there_is_a_sentence_too():
    both = [{"mention": "a", "text": "a one", "sentence": "a two"}, {"mention": "b", "sentence": "b two"}]
    assert as_mentions(both, "x", needs_gold=False)["text"][:] == ["a one", "b two"]
    table = Dataset.from_list([both[0]])
    assert as_mentions(table, "x", needs_gold=False)["text"][:] == ["a one"]


@pytest.mark.parametrize("make", [list, pd.DataFrame, lambda rows: Dataset.from_pandas(pd.DataFrame(rows))])
def test_numbers_as_pandas_leaves_them(make):
    rows = [
        {"id": 7, "mention": "a", "text": "a b", "entity_id": 1.0, "start": 0.0, "image": NAN},
        {"id": 8, "mention": "b", "text": "a b", "entity_id": NAN, "start": NAN, "image": NAN},
    ]
    found = as_mentions(make(rows), "x", needs_gold=True)
    assert (found["id"][:], found["entity_id"][:], found["image"][:]) == (["7", "8"], ["1", None], [None, None])
    assert found["start"][:] == [0, 2] and isinstance(found["start"][0], int)


def test_an_empty_key_is_missing():
    rows = [{"id": " ", "mention": "a", "text": "a", "entity_id": ""}]
    for given in (rows, Dataset.from_list(rows)):
        found = as_mentions(given, "x", needs_gold=True)
        assert found["entity_id"][:] == [None] and found["id"][:] == ["0"]


def test_pictures_of_every_kind(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 2), "red").save(path)
    Image.Image.putpixel(picture := Image.open(path).convert("RGB"), (0, 0), (0, 0, 255))
    picture.save(path)
    encoded = path.read_bytes()
    images = [str(path), path, encoded, {"bytes": encoded, "path": None}, picture, None, "", NAN]
    rows = [{"mention": "a", "text": "a", "image": image} for image in images]
    found = load_images(as_mentions(rows, "x", needs_gold=False), strict=True)
    assert [image is None for image in found] == [False] * 5 + [True] * 3
    assert all(image.getpixel((0, 0)) == (0, 0, 255) and image.size == (4, 2) for image in found[:5])
    for column, feature in (
        ([str(path), "", None], Value("string")),
        ([encoded, None, None], Value("binary")),
        ([{"bytes": encoded, "path": None}, None, None], {"bytes": Value("binary"), "path": Value("string")}),
        ([str(path), None, None], Picture(decode=False)),
    ):
        features = Features({"mention": Value("string"), "text": Value("string"), "image": feature})
        table = Dataset.from_dict({"mention": ["a"] * 3, "text": ["a"] * 3, "image": column}, features=features)
        first, *others = load_images(as_mentions(table, "x", needs_gold=False), strict=True)
        assert first.getpixel((0, 0)) == (0, 0, 255) and others == [None, None]


def test_open_pictures_keep_orientation_and_range(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((16, 8)).save(tmp_path / "turned.jpg", exif=exif)
    turned = Image.open(io.BytesIO((tmp_path / "turned.jpg").read_bytes()))
    grey = Image.fromarray(np.array([[256, 32_768]], dtype=np.uint16))
    images = [turned, grey, Image.new("RGB", (2, 2))]
    mentions = as_mentions([{"mention": "a", "text": "a", "image": image} for image in images], "x", needs_gold=False)
    records = [{"id": str(number), "name": "a", "image": image} for number, image in enumerate(images)]
    for found in (load_images(mentions), KnowledgeBase.from_records(records).images()):
        assert found[0].size == (8, 16) and found[2] is None
        assert [found[1].getpixel((x, 0))[0] for x in (0, 1)] == [1, 128]
    Image.effect_noise((64, 64), 80).save(tmp_path / "noise.png")
    broken = Image.open(io.BytesIO((tmp_path / "noise.png").read_bytes()[:900]))
    with pytest.raises(ValueError, match="row 0: `image`: picture in memory cannot be read"):
        as_mentions([{"mention": "a", "text": "a", "image": broken}], "x", needs_gold=False)


def test_paths_in_a_data_set_are_looked_at_without_its_pictures(tmp_path):
    table = Dataset.from_list([{"mention": "a", "text": "a", "image": {"bytes": None, "path": "http://host/a.png"}}])
    with pytest.raises(ValueError, match="row 0: `image` http://host/a.png is a URL"):
        as_mentions(table.cast_column("image", Picture()), "x", needs_gold=False)


def test_a_broken_picture_stops_nothing(mentions):
    broken = mentions.remove_columns("image").add_column("image", ["no/such.png"] * len(mentions))
    found = as_mentions(broken, "x", needs_gold=True)
    assert load_images(found) == [None] * len(mentions)


# ---- What is refused ----


def dataset(**columns) -> Dataset:
    rows = {"mention": ["a"], "text": ["a"], "entity_id": ["Q1"]} | columns
    return Dataset.from_dict({name: values for name, values in rows.items() if values is not None})


STREAM = dataset().to_iterable_dataset()
LABELS = dataset(entity_id=[0]).cast_column("entity_id", ClassLabel(names=["Q1"]))


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (DatasetDict(train=dataset(), test=dataset()), TypeError, "with the splits 'train', 'test'.*`dataset\\['train'\\]`"),
        (IterableDatasetDict(train=STREAM), TypeError, "with the splits 'train'"),
        ({"a": ROWS}, TypeError, "with the splits 'a'"),
        (STREAM, TypeError, "IterableDataset.*`streaming=True`"),
        ("mentions.csv", TypeError, "'mentions.csv': read a file with `load_mentions`"),
        (None, TypeError, "has the type NoneType: pass a `datasets.Dataset`"),
        (dataset().select([]), ValueError, "is empty"),
        ([], ValueError, "is empty"),
        (pd.DataFrame(ROWS)[:0], ValueError, "is empty"),
        (dataset(text=None, caption=["a"]), ValueError, "lacks the column `text`; it has .*Rename 'caption' to 'text'"),
        (dataset(entity_id=None, mention=None), ValueError, "lacks the columns `mention`, `entity_id`"),
        ([{"mention": "a", "text": "a"}], ValueError, "lacks the column `entity_id`"),
        (dataset(mention=[1]), ValueError, "column `mention` of .* has the type Value\\('int64'\\), not string"),
        (dataset(text=[["a"]]), ValueError, "column `text` of .* has the type List"),
        (LABELS, ValueError, "column `entity_id` of .* has the type ClassLabel"),
        (dataset(start=["0"]), ValueError, "column `start` of .* not a number"),
        (dataset(image=[[1, 2]]), ValueError, "column `image` of .* not a picture or a path"),
        ({"mention": "a", "text": ["a"]}, ValueError, "each value must be a list; mention is none"),
        ({"mention": ["a"], "text": ["a", "b"]}, ValueError, "different lengths: 1 of mention, 2 of text"),
        (["a"], ValueError, "row 0: is a str, not a dict"),
    ],
)  # fmt: skip
def test_one_sentence_names_the_argument(given, kind, message):
    with pytest.raises(kind, match=message) as error:
        as_mentions(given, "train_dataset", needs_gold=True)
    assert "`train_dataset`" in str(error.value)


def test_every_bad_row_is_named_with_its_field():
    rows = [
        {"mention": "a", "text": NAN, "entity_id": "Q1"},
        {"id": "m1", "mention": " ", "text": "a", "entity_id": "Q1"},
        {"mention": "a", "text": "a b", "entity_id": True},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "start": 4},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "start": -1},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "start": 0.5},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "image": 4},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "image": "https://me:secret@host/a.png"},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "start": 2},
        {"mention": "a", "text": "a b", "entity_id": "Q1", "start": 0, "end": 2},
        {"mention": "a\0", "text": "a b", "entity_id": "Q1"},
        {"mention": "B", "text": "a b", "entity_id": "Q1", "start": 2},
    ]
    with pytest.raises(ValueError) as error:
        as_mentions(rows, "train_dataset", needs_gold=True)
    first, *lines, _ = str(error.value).splitlines()
    assert first == "`train_dataset`: 11 problems"
    assert [line.strip()[:38] for line in lines] == [
        "row 0: `text` is missing or empty (men",
        "row 1, mention 'm1': `mention` is miss",
        "row 2: `entity_id` must be text, not T",
        "row 3: `start` 4 is outside the text o",
        "row 4: `start` -1 is outside the text ",
        "row 5: `start` must be a whole number,",
        "row 6: `image` must be a path or a pic",
        "row 7: `image` https://host/a.png is a",
        "row 8: at `start` 2 stands 'b', not th",
        "row 9: `start` 0 and `end` 2 give 'a '",
        "row 10: `mention` holds a null charact",
    ]


def test_bad_rows_of_a_data_set_are_named(mentions):
    texts = [None if row == 3 else text for row, text in enumerate(mentions["text"][:])]
    table = mentions.remove_columns("text").add_column("text", texts, feature=Value("string"))
    with pytest.raises(ValueError, match=f"row 3, mention {mentions['id'][3]!r}: `text` is missing"):
        as_mentions(table, "x", needs_gold=True)


# ---- Several data sets for evaluation ----


def test_evaluation_takes_one_or_several(mentions):
    assert as_eval_mentions(None) is None
    assert as_eval_mentions(mentions) is mentions
    assert plain(as_eval_mentions({name: [row[name] for row in ROWS] for name in ROWS[0]}))[0]["mention"] == "Ada"
    several = as_eval_mentions({"a": mentions, "b": ROWS, "c": pd.DataFrame(ROWS)})
    assert several["a"] is mentions and [len(several[name]) for name in "bc"] == [2, 2]
    assert as_eval_mentions(DatasetDict(a=mentions))["a"] is mentions
    with pytest.raises(ValueError, match=r"`eval_dataset\['b'\]` lacks the column `entity_id`"):
        as_eval_mentions({"a": mentions, "b": [{"mention": "a", "text": "a"}]})


def test_pictures_in_a_dict_of_columns_are_no_splits():
    columns = {"mention": ["a"], "text": ["a"], "entity_id": ["Q1"], "image": [{"bytes": b"x", "path": None}]}
    assert len(as_eval_mentions(columns)) == 1


def test_further_columns_of_a_data_set_are_kept():
    table = dataset(topic=["x"], candidates=[["Q1", "Q2"]])
    found = as_mentions(table, "x", needs_gold=True)
    assert found["candidates"][:] == [["Q1", "Q2"]] and found.features["candidates"] == List(Value("string"))
