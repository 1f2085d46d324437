"""EmojiMEL: the shipped data hold what its card says, and no shortcut leads to the answer."""

import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from hf_mel.data import SPLITS, check_mentions
from hf_mel.data.emojimel import EMOJIMEL_FEATURES, EMOJIMEL_PATH, load_emojimel
from hf_mel.data.images import undecoded


SCRIPTS = Path(__file__).parents[2] / "dataset_scripts" / "emojimel"
VENDORS = {"train": {"noto", "fluent"}, "validation": {"openmoji"}, "test": {"openmoji"}}
QUALITIES = {
    "text": {"low_quality", "low_value", "low_relevance", "missing"},
    "image": {"good", "medium"},
    "both": {"two_entities", "medium", "low_relevance"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_emojimel(cache_dir=str(tmp_path_factory.mktemp("emojimel_cache")))


@pytest.fixture(scope="module")
def rows(data):
    """The mentions of each split as dicts, pictures undecoded."""
    return {split: undecoded(table).to_list() for split, table in data.mentions.items()}


@pytest.fixture(scope="module")
def sharing(data):
    """The ids of the entities that have a name or alias, by it."""
    found = {}
    for row in data.entities.dataset.remove_columns("image"):
        for name in {row["name"].lower(), *(alias.lower() for alias in row["aliases"])}:
            found.setdefault(name, set()).add(row["id"])
    return found


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in ("draws", "templates", "texts", "mentions"):
        sys.modules.pop(name, None)


def everything(rows: dict) -> list[dict]:
    return [row for split in SPLITS for row in rows[split]]


# ---- Contents ----


def test_size_counts_and_report(data):
    assert sum(path.stat().st_size for path in EMOJIMEL_PATH.rglob("*") if path.is_file()) < 4_000_000
    assert list(data.mentions) == list(SPLITS)
    assert len(data.entities) == data.report["entities"] == data.entities.image_count == 416
    assert data.entities.text_field == "description"
    splits = data.report["splits"]
    assert sum(splits[split]["source"]["written"] for split in SPLITS) >= 1500
    assert splits["test"]["source"].keys() == splits["validation"]["source"].keys() == {"written"}
    for counts in splits.values():
        assert sum(counts["kind"].values()) == sum(counts["image_quality"].values()) == counts["mentions"]
        assert counts["image_status"]["none"] == counts["image_quality"]["missing"]
        assert counts["image_status"].keys() == {"ok", "none"}
        assert 0.015 < counts["nil"] / counts["mentions"] < 0.1
        assert counts["returning"] <= counts["mentions"] - counts["nil"]


def test_nothing_is_wrong_with_the_mentions(data):
    checked = check_mentions(data.mentions, data.entities)
    for counts in checked["splits"].values():
        assert counts["not_in_text"] == counts["offset_mismatch"] == 0
    assert checked["test_sentences_in_train"] == 0


def test_offsets_and_names(data, rows):
    for row in everything(rows):
        assert row["text"][row["start"] : row["end"]] == row["mention"], row["id"]
        if row["entity_id"] is not None:
            assert data.entities.names([data.entities.row(row["entity_id"])]) == [row["entity_name"]]


def test_entities_have_definitions_types_and_aliases(data):
    for row in data.entities.dataset.remove_columns("image"):
        assert row["description"].endswith(".") and len(row["description"].split()) >= 5, row["id"]
        assert len(row["types"]) == 1 and row["aliases"], row["id"]
    assert len(set(data.entities.texts())) == len(data.entities)


def test_every_picture_decodes_and_its_absence_is_recorded(data, rows):
    for row in everything(rows) + undecoded(data.entities.dataset).to_list():
        assert (row["image"] is None) == (row["image_status"] == "none") == (row.get("image_quality") == "missing")
        if row["image"] is not None:
            with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
                assert (picture.format, picture.size, picture.mode) == ("WEBP", (64, 64), "RGB")
                assert any(low != high for low, high in picture.getextrema())


def test_load_dataset_reads_the_folder(data, tmp_path):
    mentions = load_dataset(str(EMOJIMEL_PATH), cache_dir=str(tmp_path))
    assert mentions.column_names == data.mentions.column_names
    assert mentions["test"].features == EMOJIMEL_FEATURES
    assert mentions["test"]["text"][:] == data.mentions["test"]["text"][:]
    entities = load_dataset(str(EMOJIMEL_PATH), "entities", split="train", cache_dir=str(tmp_path))
    assert entities["id"][:] == data.entities.ids


def test_attributions_travel_with_the_data():
    notices = (EMOJIMEL_PATH / "NOTICES.md").read_text(encoding="utf-8")
    for wanted in ("Twemoji", "CC BY 4.0", "modified", "OpenMoji", "CC BY-SA 4.0", "Noto", "Fluent", "MIT License"):
        assert wanted in notices


# ---- Ambiguity, kinds, pictures ----


def test_names_are_ambiguous(rows, sharing):
    assert sum(len(ids) > 1 for ids in sharing.values()) >= 120
    for row in everything(rows):
        if row["entity_id"] is None or row["language"] != "en":
            continue
        named = sharing[row["mention"].lower()]
        assert row["entity_id"] in named, row["id"]
        assert row["kind"] == "text" or len(named) > 1, row["id"]


def test_kinds_are_balanced(data):
    for split in SPLITS:
        counts = data.report["splits"][split]["kind"]
        assert counts.keys() == QUALITIES.keys()
        assert min(counts.values()) > 0.12 * sum(counts.values())
        assert max(counts.values()) < 0.6 * sum(counts.values())


def test_kinds_have_their_qualities(data, rows, scripts):
    from texts import read_entities

    codes = {id: entity.hexcode for id, entity in read_entities().items()}
    numbers = {"missing": 0, "low_relevance": 5, "two_entities": 2}
    for row in everything(rows):
        assert row["image_quality"] in QUALITIES[row["kind"]], row["id"]
        assert len(row["glyphs"]) == numbers.get(row["image_quality"], 1), row["id"]
        if row["entity_id"] is not None:
            drawn = any(glyph.split("/")[1] == codes[row["entity_id"]] for glyph in row["glyphs"])
            assert drawn == (row["image_quality"] not in ("missing", "low_value")), row["id"]


def test_two_entities_of_a_picture_share_the_mention(rows, sharing, scripts):
    from texts import read_entities

    ids = {entity.hexcode: id for id, entity in read_entities().items()}
    found = [row for row in everything(rows) if row["image_quality"] == "two_entities"]
    assert len(found) > 400
    for row in found:
        shown = {ids[glyph.split("/")[1]] for glyph in row["glyphs"]}
        assert len(shown) == 2 and shown <= sharing[row["mention"].lower()], row["id"]
    # Left and right say nothing.
    first = [ids[row["glyphs"][0].split("/")[1]] == row["entity_id"] for row in found]
    assert 0.42 < np.mean(first) < 0.58


def test_mentions_in_other_languages(rows):
    for split in SPLITS:
        foreign = [row for row in rows[split] if row["language"] != "en"]
        assert len(foreign) >= 3
    assert {"de", "es", "fr", "it"} <= {row["language"] for row in rows["test"]}
    assert {row["kind"] for row in rows["test"] if row["language"] != "en"} >= {"text", "image"}


# ---- Splits ----


def test_splits_share_no_sentence_and_no_drawing(rows):
    sentences = [row["text"].lower() for row in everything(rows)]
    assert len(set(sentences)) == len(sentences)
    for split in SPLITS:
        assert {glyph.split("/")[0] for row in rows[split] for glyph in row["glyphs"]} == VENDORS[split]
    entities = {split: {row["entity_id"] for row in rows[split]} - {None} for split in SPLITS}
    assert not entities["validation"] & entities["test"]
    pictures = {split: {row["image"]["bytes"] for row in rows[split] if row["image"]} for split in SPLITS}
    assert sum(map(len, pictures.values())) == len(set.union(*pictures.values()))


def test_many_entities_of_test_are_not_in_training(rows):
    known = {row["entity_id"] for row in rows["train"]}
    for split in ("validation", "test"):
        unseen = [row["entity_id"] not in known for row in rows[split] if row["entity_id"] is not None]
        assert 0.2 < np.mean(unseen) < 0.6


def test_written_sentences_are_no_templates(rows):
    """No three words at the beginning of a sentence open more than one percent of the written ones."""
    for split in ("validation", "test"):
        begins = Counter(" ".join(row["text"].split()[:3]) for row in rows[split])
        assert begins.most_common(1)[0][1] <= max(3, 0.01 * len(rows[split])), begins.most_common(3)


# ---- Texts and draws of the build ----


def test_the_texts_are_those_of_the_dataset(rows, scripts):
    from texts import read_all, read_entities

    entities = read_entities()
    for split, sentences in read_all(entities).items():
        written = {
            (row["text"], row["mention"], row["start"], row["kind"])
            for row in rows[split]
            if row["source"] == "written"
        }
        assert {(each.text, each.mention, each.start, each.kind) for each in sentences} == written


@pytest.mark.parametrize(
    "line",
    [
        "bat-animal text No mention here.",
        "bat-animal text A [bat] and a [moth].",
        "bat-animal sound A [bat].",
        "bat text A [bat].",
        "bat-animal both/bat A [bat].",
    ],
)
def test_a_wrong_line_is_refused_with_its_place(scripts, tmp_path, line):
    from texts import read_entities, read_sentences

    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "01.txt").write_text(f"# a comment\nbat-animal text A [bat] slept.\n{line}\n")
    with pytest.raises(ValueError, match=r"01\.txt, line 3"):
        read_sentences("test", read_entities(), tmp_path)


def test_draws_depend_on_their_name_alone(scripts):
    from draws import Draw

    assert Draw("1F600", "split").uniform() == Draw("1F600", "split").uniform()
    assert Draw("1F600", "split").uniform() != Draw("1F601", "split").uniform()
    assert Draw("1F600", "split", seed="other").uniform() != Draw("1F600", "split").uniform()
    assert Draw("ab", "c").uniform() != Draw("a", "bc").uniform()
    draw = Draw("all")
    assert sorted(draw.shuffled(range(20))) == list(range(20))
    assert {draw.below(3) for _ in range(100)} == {0, 1, 2}
    assert 600 < sum(Draw(number).weighted({"often": 2, "seldom": 1}) == "often" for number in range(1000)) < 730


def test_templates_fill_names_of_known_entities_only(scripts):
    from templates import fill
    from texts import read_entities

    entities = read_entities()
    taken = {"my bat."}
    sentences = fill(entities, {"bat-animal", "anchor"}, taken)
    assert {sentence.entity.id for sentence in sentences} == {"bat-animal"}  # nothing shares the name of the anchor
    assert {sentence.kind for sentence in sentences} == {"text", "image", "both"}
    for sentence in sentences:
        assert sentence.text[sentence.start :].startswith(sentence.mention)
        assert "[" not in sentence.text and sentence.text != "My bat."
        assert (sentence.shown is None) == (sentence.kind != "both")
    assert {sentence.shown for sentence in sentences} <= {None, "bat-cricket", "bat-table-tennis"}
