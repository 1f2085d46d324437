"""EmojiMEL: the shipped data hold what its card says, and no shortcut leads to the answer."""

import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_mel.data import SPLITS, check_mentions
from hf_mel.data.emojimel import EMOJIMEL_FEATURES, EMOJIMEL_PATH, load_emojimel
from hf_mel.data.images import undecoded


SCRIPTS = Path(__file__).parents[2] / "dataset_scripts" / "emojimel"
QUALITIES = {
    "text": {"low_quality", "low_value", "low_relevance", "missing"},
    "image": {"good", "medium"},
    "both": {"medium", "low_relevance"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load_emojimel(cache_dir=str(tmp_path_factory.mktemp("emojimel_cache")))


@pytest.fixture(scope="module")
def rows(data):
    """The mentions of each split as dicts, pictures undecoded."""
    return {split: undecoded(table).to_list() for split, table in data.mentions.items()}


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in ("draws", "phrases", "posts", "knowledge_base"):
        sys.modules.pop(name, None)


# ---- What is in it ----


def test_size_counts_and_report(data):
    assert sum(path.stat().st_size for path in EMOJIMEL_PATH.rglob("*") if path.is_file()) < 4_000_000
    assert list(data.mentions) == list(SPLITS)
    assert len(data.entities) == data.report["entities"] == data.entities.image_count == 1380
    assert data.entities.text_field == "description"
    splits = data.report["splits"]
    assert [splits[split]["mentions"] for split in SPLITS] == [2728, 418, 1300]
    assert splits["test"]["source"] == {"generated": 1180, "written": 120}
    assert splits["train"]["source"].keys() == splits["validation"]["source"].keys() == {"generated"}
    for counts in splits.values():
        assert counts["nil"] == 0
        assert sum(counts["kind"].values()) == sum(counts["image_quality"].values()) == counts["mentions"]
        assert counts["image_status"]["none"] == counts["image_quality"]["missing"]
        assert counts["image_status"].keys() == {"ok", "none"}


def test_nothing_is_wrong_with_the_mentions(data):
    checked = check_mentions(data.mentions, data.entities)
    for counts in checked["splits"].values():
        assert counts["not_in_text"] == counts["offset_mismatch"] == counts["nil"] == 0
    assert checked["test_sentences_in_train"] == 0


def test_offsets_and_names(data, rows):
    for row in sum(rows.values(), []):
        assert row["text"][row["start"] : row["end"]] == row["mention"], row["id"]
        assert data.entities.names([data.entities.row(row["entity_id"])]) == [row["entity_name"]]


def test_every_picture_decodes_and_its_absence_is_said(data, rows):
    for row in sum(rows.values(), []) + undecoded(data.entities.dataset).to_list():
        assert (row["image"] is None) == (row["image_status"] == "none")
        assert row.get("image_quality") == "missing" or row["image"] is not None
        if row["image"] is not None:
            with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
                assert (picture.format, picture.size, picture.mode) == ("WEBP", (48, 48), "RGB")
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
    for wanted in (
        "Twemoji",
        "CC BY 4.0",
        "modified",
        "OpenMoji",
        "CC BY-SA 4.0",
        "Noto",
        "UNICODE LICENSE V3",
        "MIT",
    ):
        assert wanted in notices


# ---- It asks what it says it asks ----


def test_every_mention_is_ambiguous_and_its_entity_has_the_word(data, rows, scripts):
    from knowledge_base import words_of

    texts = zip(data.entities.names(), data.entities.texts(), strict=True)
    words = [words_of(name) | words_of(text) for name, text in texts]
    shared = Counter(word for entity in words for word in entity)
    for row in sum(rows.values(), []):
        assert 3 <= shared[row["mention"]] <= 60, row["mention"]
        assert row["mention"] in words[data.entities.row(row["entity_id"])], row["id"]


def test_kinds_have_their_qualities(rows):
    for row in sum(rows.values(), []):
        assert row["image_quality"] in QUALITIES[row["kind"]], row["id"]
        entity_is_drawn = any(glyph.endswith(f"/{row['entity_id']}") for glyph in row["glyphs"])
        assert entity_is_drawn == (row["image_quality"] not in ("missing", "low_value")), row["id"]
        assert len(row["glyphs"]) == {"missing": 0, "low_relevance": 5}.get(row["image_quality"], 1)


def _counts(row: dict) -> list[float]:
    """What can be counted on the surface of a post."""
    text, words = row["text"], row["text"].split()
    hashtags = [word for word in words if word.startswith("#")]
    return [
        len(hashtags), len(words), len(text), row["start"], len(row["mention"]), max(map(len, words)),
        float(np.mean([len(word) for word in words])), float(np.mean([len(word) for word in hashtags] or [0])),
        *(text.count(mark) for mark in ".,?!:/()"), sum(letter.isupper() for letter in text),
    ]  # fmt: skip


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("classifier", ["linear", "forest"])
def test_no_surface_count_tells_the_kind(rows, split, classifier):
    """Cross-validated accuracy stays within 5 points of guessing the most frequent kind: 3 standard errors at 1,180."""
    models = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "forest": RandomForestClassifier(50, min_samples_leaf=10, random_state=0),
    }
    generated = [row for row in rows[split] if row["source"] == "generated"]
    kinds = np.array([row["kind"] for row in generated])
    majority = max(np.mean(kinds == kind) for kind in QUALITIES)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    counts = np.array([_counts(row) for row in generated])
    assert majority < 0.36
    assert cross_val_score(models[classifier], counts, kinds, cv=folds).mean() < majority + 0.05
    # The same test sees a shortcut where there is one: the words of the context alone, unpadded.
    leaked = counts.copy()
    leaked[:, 0] = [{"text": 3, "both": 1, "image": 0}[kind] for kind in kinds]
    assert cross_val_score(models[classifier], leaked, kinds, cv=folds).mean() > 0.9


# ---- Splits ----


def test_splits_share_no_sentence_and_no_drawing(rows):
    sentences = [row["text"].lower() for row in sum(rows.values(), [])]
    assert len(set(sentences)) == len(sentences)
    for get in (lambda row: row["glyphs"], lambda row: [row["image"]["bytes"]] if row["image"] else []):
        found = {split: {item for row in rows[split] for item in get(row)} for split in SPLITS}
        assert not found["train"] & found["test"]
        assert not found["train"] & found["validation"]
        assert not found["validation"] & found["test"]


def test_entities_are_split_and_some_come_back_drawn_by_another_vendor(rows):
    known = {row["entity_id"] for row in rows["train"]}
    assert {glyph.split("/")[0] for row in rows["train"] for glyph in row["glyphs"]} == {"noto"}
    for split, least in (("validation", 50), ("test", 150)):
        returning = [row for row in rows[split] if row["entity_id"] in known]
        assert least <= len(returning) < len(rows[split]) / 3
        assert {glyph.split("/")[0] for row in returning for glyph in row["glyphs"]} == {"openmoji"}
        unseen = {row["entity_id"] for row in rows[split]} - known
        assert {row["entity_id"] for row in returning}.isdisjoint(unseen)
    validation = {row["entity_id"] for row in rows["validation"]}
    assert not validation & {row["entity_id"] for row in rows["test"]}


def test_posts_are_varied(rows):
    """No phrase around the mention carries more than a few percent of the posts."""
    generated = [row for row in rows["train"] if row["source"] == "generated"]
    around = Counter(
        (row["text"][max(0, row["start"] - 12) : row["start"]], row["text"][row["end"] : row["end"] + 12])
        for row in generated
    )
    assert around.most_common(1)[0][1] < 0.03 * len(generated)


# ---- The draws of the build ----


def test_draws_depend_on_their_name_alone(scripts):
    from draws import Draw

    assert Draw("1F600", "split").uniform() == Draw("1F600", "split").uniform() == pytest.approx(0.1266, abs=1e-4)
    assert Draw("1F600", "split").uniform() != Draw("1F601", "split").uniform()
    assert Draw("1F600", "split", seed="other").uniform() != Draw("1F600", "split").uniform()
    assert Draw("ab", "c").uniform() != Draw("a", "bc").uniform()
    draw = Draw("all")
    assert sorted(draw.shuffled(range(20))) == list(range(20))
    assert {draw.below(3) for _ in range(100)} == {0, 1, 2}
    assert 600 < sum(Draw(number).weighted({"often": 2, "seldom": 1}) == "often" for number in range(1000)) < 730


def test_halves_and_splits(scripts):
    from knowledge_base import halves, split_of

    shown, held = halves("1F436", ["dog", "face", "pet", "puppy", "pet"])
    assert len(shown) == len(held) == 2 and sorted(shown + held) == ["dog", "face", "pet", "puppy"]
    assert halves("1F436", ["pet", "puppy", "face", "dog"]) == (shown, held)
    shares = Counter(split_of(f"{number:X}") for number in range(4000))
    assert shares["train"] / 4000 == pytest.approx(0.65, abs=0.03)
    assert shares["test"] / 4000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("context", [[], ["puppy"], ["puppy", "barking", "leash"]])
def test_a_post_holds_its_context_and_the_same_number_of_places(scripts, context):
    from draws import Draw
    from posts import neutral_fillers, write_post

    fillers = neutral_fillers({"today", "weekly"})
    assert "today" not in fillers and "weekly" not in fillers
    places = set()
    for number in range(60):
        post = write_post(Draw(number), "animal", context, [5, 6, 7], fillers)
        assert post == write_post(Draw(number), "animal", context, [5, 6, 7], fillers)
        assert post.sentence[post.start : post.end] == "animal"
        assert "{" not in post.sentence and "a animal" not in post.sentence
        assert all(word in post.sentence.lower() for word in context)
        places.add(post.sentence.count("#"))
    assert places == {1, 2, 3, 4, 5}
