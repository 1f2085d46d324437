"""Mistakes and weights of a tiny split, by hand."""

import io

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from hf_mel.data import MENTION_FEATURES, KnowledgeBase
from hf_mel.data.thumbnails import small_jpeg
from hf_mel.linking import Linker
from hf_mel.reporting import mistakes
from hf_mel.reporting.mistakes import link_split, worst_mistakes

from .common import GivenIndex, GivenLinker, tiny_parts


def picture(colour: str) -> Image.Image:
    image = Image.new("RGB", (20, 10), colour)
    image.putpixel((0, 0), (1, 2, 3))  # one of a single colour would count as blank
    return image


# Mention, gold, scores of the entities A, B, C, picture and its weight.
ROWS = [
    ("right", "A", [0.9, 0.5, 0.1], "red", 0.25),
    ("bad", "A", [0.25, 0.5, 0.125], "lime", 0.5),  # B by 0.25
    ("nobody", None, [0.9, 0.8, 0.7], None, 0.0),
    ("worse", "B", [0.5, 0.0, 0.25], None, 0.0),  # A by 0.5
    ("tied", "C", [0.5, 0.25, 0.5], "blue", 0.75),  # no mistake
    ("lost", "Z", [0.9, 0.8, 0.7], "blue", 0.125),
    ("also bad", "C", [0.0, 0.75, 0.5], None, 0.0),  # B by 0.25, after the other
]


@pytest.fixture
def mentions():
    columns = {
        "id": [f"m{number}" for number in range(len(ROWS))],
        "mention": [row[0] for row in ROWS],
        "text": [f"The {row[0]} one." for row in ROWS],
        "start": [4] * len(ROWS),
        "entity_id": [row[1] for row in ROWS],
        "image": [None if row[3] is None else picture(row[3]) for row in ROWS],
    }
    empty = {name: [None] * len(ROWS) for name in MENTION_FEATURES if name not in columns}
    return Dataset.from_dict(columns | empty, features=MENTION_FEATURES)


@pytest.fixture
def entities():
    records = [{"id": "A", "name": "name A", "image": picture("orange")}, {"id": "B", "name": "name B"}]
    return KnowledgeBase.from_records(records)


def given(removed=(), weights=True, sees=True, **kwargs) -> GivenLinker:
    index = GivenIndex(["A", "B", "C"], [0.5, 0.0, 0.125], small_jpeg(picture("cyan")), list(removed), **kwargs)
    by_mention = {row[0]: row[4] for row in ROWS}
    return GivenLinker(index, {row[0]: row[2] for row in ROWS}, by_mention if weights else None, sees)


@pytest.mark.parametrize("block", [1, 2, 100])
def test_margins_by_hand(mentions, monkeypatch, block):
    monkeypatch.setattr(mistakes, "BLOCK", block)
    linked = link_split(given(), mentions)
    assert linked.rows.tolist() == [0, 1, 3, 4, 6] and (linked.num_nil, linked.num_lost) == (1, 1)
    assert linked.margins == pytest.approx([-0.4, 0.25, 0.5, 0.0, 0.25], abs=1e-6)
    assert linked.rival_rows.tolist() == [1, 1, 0, 0, 1]
    assert linked.rows[linked.worst(9)].tolist() == [3, 1, 6], (
        "largest margin first, of equal ones the earlier mention"
    )
    assert linked.rows[linked.worst(2)].tolist() == [3, 1]


def test_the_shown_mistakes(mentions, entities):
    linker = given()
    found = worst_mistakes(linker, mentions, entities, link_split(linker, mentions), 3)
    assert [(each.mention_id, each.gold.id, each.predicted.id, each.margin) for each in found] == [
        ("m3", "B", "A", 0.5),
        ("m1", "A", "B", 0.25),
        ("m6", "C", "B", 0.25),
    ]
    worst, second, third = found
    assert (worst.before, worst.mention, worst.after) == ("The ", "worse", " one.")
    assert (worst.gold.score, worst.predicted.score, worst.image_weight) == (0.0, 0.5, 0.0)
    assert worst.jpeg is None and worst.predicted.name == "name A"
    colour = Image.open(io.BytesIO(second.jpeg)).getpixel((15, 5))
    assert colour[1] > 200 > 60 > colour[0], "the picture of that mention, which is lime"
    assert worst.predicted.jpeg == small_jpeg(entities.images([0])[0])
    assert worst.gold.jpeg is None, "the data say that it has no picture"
    assert third.gold.jpeg == linker.index.thumbnail, "not in the data: as in the index"


def test_weights_are_those_of_pictures(mentions):
    linked = link_split(given(), mentions)
    assert linked.mention_weights.tolist() == [0.25, 0.5, 0.75, 0.125]
    assert linked.entity_weights.tolist() == [0.5, 0.125]
    assert linked.weights_of_judged.tolist() == [0.25, 0.5, 0.0, 0.75, 0.0]
    only_weights = link_split(given(tensors=("embeds", "image_weight")), mentions)
    assert only_weights.entity_weights.tolist() == [0.5, 0.125]
    assert link_split(given(removed=[0]), mentions).entity_weights.tolist() == [0.125]


@pytest.mark.parametrize("blind", [{"sees": False}, {"weights": False}])
def test_without_a_gate_there_are_no_weights(mentions, blind):
    linked = link_split(given(**blind), mentions)
    assert not len(linked.mention_weights) and not len(linked.entity_weights) and linked.weights_of_judged is None


def test_an_index_of_one_entity_knows_no_mistake(mentions, entities):
    linker = given(removed=[1, 2])
    linked = link_split(linker, mentions)
    assert linked.rival_rows.tolist() == [-1, -1] and linked.num_lost == 4
    assert worst_mistakes(linker, mentions, entities, linked, 5) == []


def test_a_real_linker_agrees_with_the_whole_matrix(reported_data):
    mentions = reported_data.mentions["test"]
    model, processor = tiny_parts()
    linker = Linker(model, processor, reported_data.entities)
    linked = link_split(linker, mentions)
    queries = mistakes._queries(linker, mentions, range(len(mentions)))
    vectors = linker.encode_queries(queries)["embeds"].numpy()
    scores = vectors @ np.concatenate([block["embeds"].numpy() for _, block in linker.index.blocks()]).T
    for row, gold, margin, rival in zip(linked.rows, linked.gold_rows, linked.margins, linked.rival_rows, strict=True):
        others = np.delete(scores[row], gold)
        assert margin == pytest.approx(others.max() - scores[row, gold], abs=1e-5)
        assert scores[row, rival] == pytest.approx(others.max(), abs=1e-6) and rival != gold
    pictures = np.array(mentions["image_status"][:]) == "ok"
    assert 0 < pictures.sum() < len(mentions) and len(linked.mention_weights) == pictures.sum()
    assert len(linked.entity_weights) == reported_data.entities.image_count
    assert (linked.mention_weights > 0).all()
