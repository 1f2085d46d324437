import hashlib
import os
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from hf_mel.data import (
    ENTITY_FEATURES,
    MENTION_FEATURES,
    SPLITS,
    check_mentions,
    content_fingerprint,
    load_images,
    make_miniature,
    make_miniature_tokenizer,
    miniature_vocabulary,
)
from hf_mel.data.miniature.pictures import COLOURS, SHAPES, _inside, colour_picture
from hf_mel.data.miniature.words import FIRST_NAMES, OCCUPATIONS, typo
from tests.processes import run_python


@pytest.fixture(scope="module")
def data():
    return make_miniature()


@pytest.fixture(scope="module")
def mentions(data):
    return [{"split": split, **row} for split in SPLITS for row in data.mentions[split].remove_columns("image")]


def by_kind(mentions, kind):
    found = [mention for mention in mentions if mention["topic"] == kind]
    assert found
    return found


def fingerprints(data):
    return [data.entities.fingerprint, *(content_fingerprint(data.mentions[split]) for split in SPLITS)]


def test_sizes_schema_and_report(data, mentions):
    assert {split: len(table) for split, table in data.mentions.items()} == {
        "train": 1200,
        "validation": 200,
        "test": 300,
    }
    assert all(table.features == MENTION_FEATURES for table in data.mentions.values())
    assert data.entities.dataset.features == ENTITY_FEATURES
    assert len(data.entities) == 160 and data.entities.image_count == 160
    checked = check_mentions(data.mentions, data.entities)
    for split in SPLITS:
        rows = [mention for mention in mentions if mention["split"] == split]
        counts = data.report["splits"][split]
        assert counts["kinds"] == Counter(row["topic"] for row in rows)
        assert counts["images"] == Counter(row["image_status"] for row in rows)
        assert counts["nil"] == len(rows) // 50 == checked["splits"][split]["nil"]
        assert checked["splits"][split]["not_in_text"] == checked["splits"][split]["offset_mismatch"] == 0


def test_no_sentence_stands_twice(mentions):
    assert len({mention["text"] for mention in mentions}) == len(mentions)


def test_each_kind_can_be_solved_by_what_it_says_and_by_nothing_less(data, mentions):
    kb = data.entities
    families = defaultdict(list)
    for row, name in enumerate(kb.names()):
        families[name.split()[1]].append(row)
    assert Counter(len(rows) for rows in families.values()) == {5: 32}
    words = [set(text.replace(".", " ").replace(",", " ").split()) for text in kb.texts()]

    def fitting(mention):
        said = set(mention["text"].replace(".", " ").replace(",", " ").split())
        clues = said & set().union(*(words[row] for row in families[mention["mention"]]))
        return [row for row in families[mention["mention"]] if clues <= words[row]]

    for mention in by_kind(mentions, "text"):
        assert kb.row(mention["entity_id"]) in fitting(mention)
        assert len(fitting(mention)) == 1
    assert all(len(fitting(mention)) == 5 for mention in by_kind(mentions, "image"))
    assert all(len(fitting(mention)) == 2 for mention in by_kind(mentions, "both"))
    assert not any(mention["mention"] in families for mention in by_kind(mentions, "nil"))
    names = set(kb.names())
    assert all(mention["mention"] == mention["entity_name"] for mention in by_kind(mentions, "name"))
    for mention in by_kind(mentions, "typo"):
        assert mention["mention"] not in names
        assert mention["mention"].split()[1] == mention["entity_name"].split()[1]


def test_pictures_identify_where_they_should(data, mentions):
    """A nearest portrait by colours finds the gold of `image` mentions; `both` leaves two of a family."""
    kb = data.entities
    portraits = np.stack([np.asarray(image, float) for image in kb.images()])
    families = defaultdict(list)
    for row, name in enumerate(kb.names()):
        families[name.split()[1]].append(row)
    centre, corner = (slice(None), slice(13, 19), slice(13, 19)), (slice(None), slice(0, 3), slice(0, 3))
    grounds = portraits[corner].mean((1, 2))
    right = []
    for row, mention in enumerate(data.mentions["test"].remove_columns("image")):
        if mention["topic"] not in ("image", "both"):
            continue
        picture = np.asarray(load_images(data.mentions["test"], [row])[0], float)[None]
        family = families[mention["mention"]]
        gold = family.index(kb.row(mention["entity_id"]))
        if mention["topic"] == "image":
            distance = np.abs(picture - portraits[family]).mean((1, 2, 3))
            distance += np.abs(picture[corner].mean((1, 2)) - grounds[family]).mean(1)
            right.append(distance.argmin() == gold)
        else:
            assert picture[centre].std(axis=(1, 2)).max() < 20  # one colour, no shape
    assert np.mean(right) > 0.9


def test_a_colour_is_shared_by_two_of_a_family(data):
    def colour(image):
        pixels = np.asarray(image, float).reshape(-1, 1, 3)
        counts = (np.abs(pixels - np.asarray(COLOURS, float)).max(axis=2) < 13).sum(axis=0)
        return int(counts.argmax())

    colours = [colour(image) for image in data.entities.images(range(50))]
    for start in range(0, 50, 5):
        first, second, third, fourth, fifth = colours[start : start + 5]
        assert first == fourth and second == third
        assert len({first, second, fifth}) == 3


def test_all_looks_differ():
    kb = make_miniature(num_entities=200, num_train=1, num_validation=1, num_test=1).entities
    small = np.stack([np.asarray(image.resize((8, 8)), float) for image in kb.images()])
    distances = np.abs(small[:, None] - small[None]).max(axis=(2, 3, 4)) + 255 * np.eye(200)
    # A look's colour differs somewhere by far more than noise: 12 at most a pixel, about 2 in a mean of 16.
    assert distances.min() > 20


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_their_area(shape):
    axis = (np.arange(400) + 0.5) / 200 - 1
    area = _inside(shape, axis[None, :], axis[:, None]).mean() * 4
    # Triangle: apex (0, -1), base y = 0.9 from -0.95 to 0.95. Cross: two bars 0.7 x 2 less the middle.
    expected = {"circle": np.pi, "square": 1.7**2, "triangle": 0.95 * 1.9, "cross": 2 * 1.4 - 0.49, "diamond": 2.0}
    expected["ring"] = np.pi * 0.65
    assert area == pytest.approx(expected[shape], rel=0.02)


def test_lexical_traps(data):
    first_family = [name.split()[0] for name in data.entities.names(range(5))]
    assert first_family[:2] == ["Marta", "Marga"]
    typos = {typo(name) for name in FIRST_NAMES}
    assert len(typos) == len(FIRST_NAMES)
    assert not typos & set(FIRST_NAMES)
    assert [typo("Hanna"), typo("Marta")] == ["Hana", "Matra"]


def test_two_builds_and_another_process_agree(tmp_path):
    small = dict(num_entities=15, num_train=60, num_validation=5, num_test=5)
    state = (random.getstate()[1][:3], np.random.get_state()[1][:3].tolist())
    first = fingerprints(make_miniature(3, **small))
    assert first == fingerprints(make_miniature(3, **small))
    assert state == (random.getstate()[1][:3], np.random.get_state()[1][:3].tolist())
    program = (
        "from hf_mel.data import *\n"
        f"data = make_miniature(3, **{small})\n"
        "print(data.entities.fingerprint, *(content_fingerprint(data.mentions[split]) for split in SPLITS))"
    )
    done = run_python(program, env=dict(os.environ), cwd=tmp_path)
    assert done.stdout.split() == first, done.stderr
    assert not set(fingerprints(make_miniature(4, **small))) & set(first)


def test_the_default_is_pinned(data):
    """Published numbers rest on this very data. A change of it needs a line in the changelog."""
    texts = hashlib.sha256()
    pixels = hashlib.sha256(b"".join(image.tobytes() for image in data.entities.images()))
    for name, text in zip(data.entities.names(), data.entities.texts(), strict=True):
        texts.update(f"{name}\t{text}\n".encode())
    for split in SPLITS:
        table = data.mentions[split]
        for row in zip(table["mention"][:], table["text"][:], table["entity_id"][:], strict=True):
            texts.update(f"{row}\n".encode())
        pixels.update(b"".join(image.tobytes() for image in load_images(table) if image is not None))
    assert texts.hexdigest()[:16] == "e955741c75bdfbee"
    assert pixels.hexdigest()[:16] == "6fca406e29e3d78f"


@pytest.mark.parametrize("seed", [0, 1, 25])
def test_the_vocabulary_covers_every_seed(seed):
    data = make_miniature(seed, num_train=300, num_validation=50, num_test=50)
    tokenizer = make_miniature_tokenizer()
    texts = data.entities.names() + data.entities.texts()
    for split in SPLITS:
        texts += data.mentions[split]["text"][:] + data.mentions[split]["mention"][:]
    ids = tokenizer(texts)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert max(map(len, ids)) <= tokenizer.model_max_length


def test_the_vocabulary_is_small_sorted_and_unique():
    vocabulary = miniature_vocabulary()
    assert vocabulary == sorted(set(vocabulary))
    assert len(vocabulary) < 300
    assert all(word == word.lower() and not set(word) & set(" {}") for word in vocabulary)
    assert set(OCCUPATIONS) <= set(vocabulary)


def test_tokenizer_form(tmp_path):
    tokenizer = make_miniature_tokenizer()
    batch = tokenizer(
        ["Holt"], ["A PAINTER, unheard."], padding="max_length", max_length=10, return_token_type_ids=True
    )
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    assert tokens == ["[CLS]", "holt", "[SEP]", "a", "painter", ",", "[UNK]", ".", "[SEP]", "[PAD]"]
    assert batch["token_type_ids"][0] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id] == [
        0,
        1,
        2,
        3,
    ]
    assert len(tokenizer) == len(miniature_vocabulary()) + 4
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again("Holt, the painter.")["input_ids"] == tokenizer("Holt, the painter.")["input_ids"]


def test_small_ones_and_limits():
    tiny = make_miniature(num_entities=5, num_train=1, num_validation=1, num_test=1, image_size=8)
    assert tiny.entities.images([4])[0].size == (8, 8)
    assert colour_picture((0, 0, 0), 8, "k").shape == (8, 8, 3)
    for wrong, message in (
        (dict(num_entities=4), "5 to 200"),
        (dict(num_entities=201), "5 to 200"),
        (dict(num_test=0), "num_test=0: each split needs at least one"),
        (dict(num_entities=5, num_train=200_000), "ask for fewer mentions"),
    ):
        with pytest.raises(ValueError, match=message):
            make_miniature(**wrong)
