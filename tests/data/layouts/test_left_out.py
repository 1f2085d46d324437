"""Mentions without usable text are left out, counted and named, by one rule in all layouts; only `strict` refuses them."""

import json

import pytest

from hf_mel.data import build_benchmark, load_benchmark, load_data, load_layout
from hf_mel.data.layouts.left_out import NAMED
from hf_mel.doctor import diagnose

from .fixtures import write_ghmfc, write_json, write_kgmel, write_melbench, write_mimic, write_wikidiverse


LINE_BREAKS = "`mention` is '\\n\\n', which is no text"

# Layout: its writer, a file, the place of a caption in it, fields of sentence and mentions, the ids of train, those of the caption.
RELEASES = {
    "mimic": (write_mimic, "WIKIMEL_train.json", [1], "sentence", "mentions", "0 1 2 3 4 5", "1"),
    "ghmfc": (write_ghmfc, "melbench/Wikidata-MEL.json", ["10"], "sentence", "mentions", "10-0 10-1 10-2 10-3 12-0",
              "10-0 10-1 10-2 10-3"),
    "melbench": (write_melbench, "Wikidata-MEL.json", ["10"], "sentence", "mentions", "10-0 10-1 10-2 10-3 12-0",
                 "10-0 10-1 10-2 10-3"),
    "kgmel": (write_kgmel, "WikiDiverse.json", [0], "sentence", "mention", "train-0-0 train-0-1 train-0-2 train-2-0 train-2-1 "
              "train-1-0", "train-0-0 train-0-1 train-0-2"),
    "wikidiverse": (write_wikidiverse, "train_w_10cands.json", [1], 0, 2, "train-0 train-1 train-2 train-3 train-4", "train-1"),
}  # fmt: skip


def damaged(layout, folder, field, value):
    """A release in which the sentence of a caption, or its second mention (its only one, if it has no other), is `value`."""
    write, name, (place,), sentence, mention, *_ = RELEASES[layout]
    path = write(folder, pictures=False) / name
    records = json.loads(path.read_text())
    record = records[place]
    if field == "text":
        record[sentence] = value
    elif isinstance(record[mention], list):
        record[mention][1] = value
    else:
        record[mention] = value
    path.write_text(json.dumps(records))
    return folder


def expected(layout, field):
    """Ids of train that stay, and those that do not."""
    *_, ids, of_caption = RELEASES[layout]
    gone = of_caption.split() if field == "text" else of_caption.split()[:2][-1:]
    return [each for each in ids.split() if each not in gone], gone


@pytest.mark.parametrize("layout", RELEASES)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("mention", "\n\n", LINE_BREAKS),
        ("mention", "", "`mention` is '', which is no text"),
        ("mention", 1984, "`mention` is null or no string"),
        ("mention", "\u200b ", "`mention` is '\\u200b ', which is no text"),
        ("text", " ", "`text` is ' ', which is no text"),
        ("text", None, "`text` is null or no string"),
    ],
)
def test_left_out_counted_and_named(layout, field, value, reason, tmp_path, caplog):
    folder = damaged(layout, tmp_path, field, value)
    stay, gone = expected(layout, field)
    data = load_layout(layout, folder)
    assert data.mentions["train"]["id"][:] == stay
    assert data.report["splits"]["train"]["mentions"] == len(stay)
    assert [counts["left_out"] for counts in data.report["splits"].values()] == [len(gone), 0, 0]
    named = [{"split": "train", "record": each, "reason": reason} for each in gone]
    assert data.report["records_left_out"] == named
    some = "1 record" if len(gone) == 1 else f"{len(gone)} records"
    assert f"(layout '{layout}'): left out {some} that cannot be used: split 'train'" in caplog.text
    with pytest.raises(ValueError) as raised:
        load_layout(layout, folder, strict=True)
    message = str(raised.value)
    assert f"(layout '{layout}'): {len(gone)} problem" in message and "--strict" in message
    assert all(f"split 'train', mention '{each}': {reason}" in message for each in gone)


@pytest.mark.parametrize("layout", RELEASES)
def test_a_whole_release_loses_nothing(layout, tmp_path):
    ids = RELEASES[layout][5].split()
    data = load_layout(layout, RELEASES[layout][0](tmp_path, pictures=False), strict=True)
    assert data.mentions["train"]["id"][:] == ids
    assert data.report["records_left_out"] == [] and data.report["splits"]["train"]["left_out"] == 0


def test_in_the_passage_level_of_wikidiverse(tmp_path):
    folder = write_wikidiverse(tmp_path, "passage", pictures=False)
    records = json.loads((folder / "train.json").read_text())
    records[1][3][0][0] = "\n\n"
    write_json(folder, train=records)
    data = load_layout("wikidiverse", folder)
    assert data.mentions["train"]["id"][:] == ["train-0-0", "train-0-1", "train-1-1", "train-1-2"]
    assert data.report["records_left_out"] == [{"split": "train", "record": "train-1-0", "reason": LINE_BREAKS}]


def test_a_name_of_quoted_spaces_is_no_text(tmp_path):
    data = load_layout("mimic", damaged("mimic", tmp_path, "mention", "%20"))
    assert data.report["records_left_out"] == [
        {"split": "train", "record": "1", "reason": "`mention` is ' ', which is no text"}
    ]


def test_in_splits_that_are_dealt_out(tmp_path):
    captions = {
        str(i): {"sentence": f"Sentence {i}.", "mentions": ["Sentence", "\n"], "entities": ["P", "P"], "answer": ["Q1", "Q1"]}
        for i in range(NAMED + 10)
    }  # fmt: skip
    captions["3"]["sentence"] = None
    report = load_layout("melbench", write_json(tmp_path, **{"Wikidata-MEL": captions})).report
    # Each caption loses its second mention, caption 3 its first, too. The list is bounded, the counts are not.
    assert sum(counts["left_out"] for counts in report["splits"].values()) == NAMED + 11
    assert sum(counts["mentions"] for counts in report["splits"].values()) == NAMED + 9
    assert len(report["records_left_out"]) == NAMED


def test_a_split_without_any_usable_mention_is_no_release(tmp_path):
    folder = write_mimic(tmp_path, pictures=False)
    records = json.loads((folder / "WIKIMEL_test.json").read_text())
    write_json(folder, WIKIMEL_test=[{**record, "mentions": ["a list"]} for record in records])
    with pytest.raises(ValueError, match="none of the 2 mentions of split 'test' can be used, such as mention '7'"):
        load_layout("mimic", folder)


@pytest.mark.parametrize("layout", RELEASES)
def test_without_pictures(layout, tmp_path, caplog):
    data = load_layout(layout, RELEASES[layout][0](tmp_path), pictures=False, check_images=True, strict_images=True)
    tables = [*data.mentions.values(), data.entities.dataset]
    assert {status for table in tables for status in table["image_status"][:]} == {"none"}
    assert data.report["pictures"] == [] and data.report["no_pictures"] is True
    assert "picture " not in caplog.text and "pictures " not in caplog.text


def test_leaked_captions_are_dropped_from_train(tmp_path):
    whole = load_layout("kgmel", write_kgmel(tmp_path, pictures=False))
    data = load_layout("kgmel", tmp_path, drop_leaked=True)
    # Caption 1 is in train and validation; those that share no words with another split stay.
    assert [each for each in whole.mentions["train"]["id"][:] if each not in data.mentions["train"]["id"][:]] == [
        "train-1-0"
    ]
    assert data.report["splits"]["train"]["leaked"] == data.report["leaked_captions"] == 1
    assert "leaked" not in data.report["splits"]["validation"] and "leaked_captions" not in whole.report
    for split in ("validation", "test"):
        assert data.mentions[split]["id"][:] == whole.mentions[split]["id"][:]


def test_captions_leak_by_their_words(tmp_path):
    texts = ["The Old Town.", "the  old, town", "Another town.", "...", "The old town", "..."]
    captions = {
        str(i): {"sentence": text, "mentions": [text, text], "entities": ["T", "T"], "answer": ["Q1", "Q1"]}
        for i, text in enumerate(texts)
    }  # fmt: skip
    splits = {"train": ["0", "1", "2", "3"], "dev": ["5"], "test": ["4"]}
    write_json(tmp_path, **{"Wikidata-MEL": captions}, splits=splits)
    found = diagnose(load_layout("melbench", tmp_path)).finding("caption_leakage")
    assert (found.details["train_captions_to_drop"], found.details["train_mentions_to_drop"]) == (2, 6)
    data = load_layout("melbench", tmp_path, drop_leaked=True)
    # Two mentions each of two spellings of one caption, and of one without words.
    assert data.mentions["train"]["id"][:] == ["2-0", "2-1"]
    assert (data.report["splits"]["train"]["leaked"], data.report["leaked_captions"]) == (6, 2)
    assert diagnose(data).finding("caption_leakage") is None


def test_in_a_build(tmp_path):
    raw = damaged("ghmfc", tmp_path / "raw", "mention", "\n\n")
    report = build_benchmark("wikimel", raw, tmp_path / "wikimel")
    assert report["splits"]["train"]["left_out"] == 1 and report["splits"]["train"]["mentions"] == 4
    assert load_data(tmp_path / "wikimel").report["records_left_out"][0]["record"] == "10-1"
    with pytest.raises(ValueError, match=r"mention '10-1'.*\n.*--strict"):
        build_benchmark("wikimel", raw, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()
    with pytest.raises(ValueError, match="mention '10-1'"):
        load_benchmark("wikimel", raw_dir=raw, strict=True)
