"""Answers do not depend on how the work was cut: batch size, order, chunks, candidates asked for, or the exact backend."""

import random

import pytest

from hf_mel import EntityIndex, KnowledgeBase, LinkedMention, Linker, MentionQuery
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    model, processor, kb = tiny_linker(), tiny_processor(), tiny_data().entities
    folder = tmp_path_factory.mktemp("invariance") / "index"
    # Small shards, so that a search has to cross their borders, and a row that is gone.
    index = EntityIndex.build(model, processor, kb, folder, encode_dtype="float32", shard_rows=6)
    index.remove([kb.ids[4]])
    return index


def queries() -> list[MentionQuery]:
    rows = [row for split in ("train", "test") for row in tiny_data().mentions[split]][:24]
    return [MentionQuery(row["mention"], row["text"], image=row["image"], id=row["id"]) for row in rows]


def linked(index, asked, top_k=3, **options) -> dict[str, LinkedMention]:
    linker = Linker(tiny_linker(), tiny_processor(), index, num_candidates=8, **options)
    return {answer.id: answer for answer in linker.link_queries(asked, top_k=top_k)}


def assert_same(answers: dict[str, LinkedMention], expected: dict[str, LinkedMention]):
    assert answers.keys() == expected.keys() and len(expected) == 24
    for key, answer in answers.items():
        for one, other in zip(answer.candidates, expected[key].candidates, strict=True):
            assert one.entity_id == other.entity_id
            for name in ("score", "text_score", "image_score", "retrieval_score"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-6)
        assert answer.margin == pytest.approx(expected[key].margin, abs=4e-6)


@pytest.fixture(scope="module")
def expected(index):
    return linked(index, queries())


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_batch_size(index, expected, batch_size):
    assert_same(linked(index, queries(), batch_size=batch_size), expected)


def test_order(index, expected):
    shuffled = queries()
    random.Random(0).shuffle(shuffled)
    assert_same(linked(index, shuffled), expected)


def test_calls(index, expected):
    """Many calls with some of the mentions each."""
    asked, answers = queries(), {}
    for begin in range(0, len(asked), 7):
        answers |= linked(index, asked[begin : begin + 7])
    assert_same(answers, expected)


@pytest.mark.parametrize(("backend", "library"), [("faiss", "faiss"), ("qdrant", "qdrant_client")])
def test_exact_backends(index, expected, backend, library):
    pytest.importorskip(library)
    assert_same(linked(index, queries(), backend=backend), expected)


def test_how_many_are_shown(index, expected):
    more = linked(index, queries(), top_k=8)
    for key, answer in more.items():
        assert [each.entity_id for each in answer.candidates[:3]] == [
            each.entity_id for each in expected[key].candidates
        ]
        assert len(answer.candidates) == 8


def test_an_index_that_was_changed_is_one_that_was_built_so(index, expected, tmp_path):
    """The entities in another order, in several steps, with one that came and went."""
    model, processor, kb = tiny_linker(), tiny_processor(), tiny_data().entities
    gone = kb.ids[4]
    parts = [KnowledgeBase(kb.dataset.select(rows)) for rows in (range(10, 20), range(3, 10), range(3))]
    other = EntityIndex.build(model, processor, parts[0], tmp_path / "index", encode_dtype="float32")
    for part in parts[1:]:
        other.add(model, processor, part)
    other.remove([gone])
    assert len(other) == len(index) == 19
    assert_same(linked(other, queries()), expected)
    other.compact()
    assert other.num_rows == 19
    assert_same(linked(other, queries()), expected)
