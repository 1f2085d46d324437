"""Two-stage scoring: a product of vectors proposes, and the score itself decides."""

import numpy as np
import pytest
import torch

from hf_mel import Linker
from hf_mel.data import KnowledgeBase
from hf_mel.encoding import EntityInputs, encode_all
from hf_mel.linking.index import get_backend
from hf_mel.linking.index.recall import measure_recall
from hf_mel.models.encodings import map_tensors, select_rows
from tests.linking.index.common import build, people
from tests.linking.index.units import (
    KINDS,
    match_true,
    scored_index,
    units_index,
    units_mentions,
    units_parts,
)
from tests.linking.index.vectors import same, unit_vectors, vector_index
from tests.training.common import tiny_data


BACKENDS = ("two_stage", "faiss", "qdrant")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def index(kind):
    return units_index(kind=kind)


def search(index, kind="mimic", k=5, backend="two_stage", queries=None, allowed=None, **options):
    backend = get_backend(backend, index, **options)
    queries = units_mentions(kind) if queries is None else queries
    return index.search(queries, k, match=units_parts(kind)[0].match, backend=backend, allowed=allowed)


def proposed(index, kind, count) -> torch.Tensor:
    """By brute force."""
    vectors = torch.cat([block["dense"] for _, block in index.blocks()])
    products = units_mentions(kind)["dense"] @ vectors.T
    products[:, torch.from_numpy(~index.alive)] = -torch.inf
    return products.topk(count, dim=1).indices


# ---- What is found ----


@pytest.mark.parametrize("count", [1, 4, 19])
def test_the_best_of_what_is_proposed(kind, index, count):
    scores, rows = search(index, kind, k=3, num_proposals=count)
    exact = search(index, kind, k=20, backend="exact")
    score_of = [dict(zip(*each, strict=True)) for each in zip(exact[1].tolist(), exact[0].tolist(), strict=True)]
    for mention, among in enumerate(proposed(index, kind, max(count, 3)).tolist()):
        best = sorted(among, key=lambda row: -score_of[mention][row])[:3]
        assert rows[mention].tolist() == best
        expected = [score_of[mention][row] for row in best]
        np.testing.assert_allclose(scores[mention], expected, rtol=1e-5, atol=1e-6)


def test_the_score_is_not_the_product(kind, index):
    """Else the tests of this file would show nothing."""
    exact = search(index, kind, k=4, backend="exact")[1]
    assert any(set(a) != set(b) for a, b in zip(exact.tolist(), proposed(index, kind, 4).tolist(), strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_all_are_proposed_it_is_the_exact_search_bit_for_bit(kind, index, backend):
    for options in ({}, {"num_proposals": 20}):
        for k in (1, 7, 30):
            assert same(search(index, kind, k, backend, **options), search(index, kind, k, "exact"))


def test_ties_where_all_are_proposed(tmp_path):
    """Copies of an entity score alike, and come in the order of their rows; also beside those that are not."""
    true = torch.tensor([[1.0], [3.0], [3.0], [2.0], [3.0], [0.0]])
    index = scored_index(tmp_path / "index", torch.ones(6, 1), true)
    query = {"dense": torch.ones(1, 1), "true": torch.ones(1, 1)}
    for count in (5, 6):
        backend = get_backend("two_stage", index, num_proposals=count)
        scores, rows = index.search(query, 4, match=match_true, backend=backend)
        assert rows.tolist() == [[1, 2, 4, 3]] and scores.tolist() == [[3, 3, 3, 2]]


@pytest.mark.parametrize("backend", ["faiss", "qdrant"])
def test_libraries_propose_the_same(kind, index, backend):
    assert not get_backend(backend, index).exact and get_backend(backend, index).complete
    assert same(search(index, kind, 3, backend, num_proposals=6), search(index, kind, 3, num_proposals=6))


def test_a_mention_does_not_see_the_others(kind, index):
    scores, rows = search(index, kind, num_proposals=8)
    for number in range(len(rows)):
        alone = select_rows(units_mentions(kind), slice(number, number + 1))
        one = search(index, kind, num_proposals=8, queries=alone)
        assert same(one, (scores[number : number + 1], rows[number : number + 1]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_rows_that_are_allowed(index, kind, backend):
    allowed = np.arange(20) % 3 > 0
    _, rows = search(index, kind, 20, backend, allowed=allowed, num_proposals=4)
    assert rows.shape == (10, 13) and all(set(each) == set(np.flatnonzero(allowed)) for each in rows.tolist())
    scores, rows = search(index, kind, 2, backend, allowed=allowed, num_proposals=6)
    assert allowed[rows].all() and (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_removed_entities_never_come_back(backend):
    index = units_index()
    model, processor = units_parts()
    options = {"backend": get_backend(backend, index, num_proposals=6), "match": model.match}
    queries = units_mentions()
    best = sorted({index.ids[row] for row in index.search(queries, 2, **options)[1].ravel()})
    index.remove(best)
    for step in (lambda: None, lambda: index.add(model, processor, people(3)), index.compact):
        step()
        if backend == "qdrant" and index.num_rows == len(index):
            continue  # a collection in another's hands is made anew by `overwrite`, which is tested elsewhere
        _, rows = index.search(queries, 6, **options)
        assert (rows >= 0).all() and not {index.ids[row] for row in rows.ravel()} & set(best)
    new = encode_all(model, EntityInputs(people(3), processor))[0]["dense"]
    stored = index.store.take(index.rows(people(3).ids), ["dense"])["dense"]
    torch.testing.assert_close(stored, new)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_less_precision(precision):
    index = units_index(precision=precision)
    assert index.manifest.dim == index.manifest.tensors["dense"][0] == units_mentions()["dense"].shape[1]
    scores, rows = search(index, num_proposals=19)
    exact = search(index, backend="exact")
    assert np.array_equal(rows, exact[1])
    np.testing.assert_allclose(scores, exact[0], rtol=1e-5, atol=1e-6)
    assert index.manifest.recall["queries"] == index.manifest.proposals["queries"]
    assert 0.8 < index.manifest.recall["recall@10"] <= 1 and index.manifest.proposals["recall@10"] == 1


def test_where_the_product_is_the_score_it_is_the_exact_search():
    index = build()
    backend = get_backend("two_stage", index)
    assert backend.exact and index.manifest.proposal_name == index.manifest.vector_name == "embeds"
    queries = index.encodings([3, 5, 9])
    assert same(index.search(queries, 7, backend="two_stage"), index.search(queries, 7))


# ---- How many are proposed ----


class Asked:
    """Notes how many rows a backend is asked for."""

    def __init__(self, backend, monkeypatch):
        self.asked, search = [], backend.search
        monkeypatch.setattr(
            backend, "search", lambda q, k, allowed=None: self.asked.append(k) or search(q, k, allowed)
        )


def test_the_number_of_proposals(tmp_path, monkeypatch):
    dense = unit_vectors(600)
    index = scored_index(tmp_path / "index", dense, dense)
    query = {"dense": unit_vectors(2, seed=1), "true": unit_vectors(2, seed=1)}
    for options, k, expected in (
        ({}, 10, 256),
        ({}, 200, 416),
        ({"num_proposals": 30}, 10, 30),
        ({"num_proposals": 30}, 40, 40),
    ):
        backend = get_backend("two_stage", index, **options)
        noted = Asked(backend, monkeypatch)
        assert index.search(query, k, match=match_true, backend=backend)[1].shape == (2, k)
        assert noted.asked == [expected]
    vectors = vector_index(tmp_path / "vectors", dense)
    assert get_backend("faiss", vectors, storage="int8").proposals(10) == 36
    assert get_backend("faiss", vectors, storage="int8", num_proposals=50).proposals(10) == 50


def test_the_linker_names_it(index, kind):
    model, processor = units_parts(kind)
    linker = Linker(model, processor, index, backend="two_stage", num_proposals=7, num_candidates=3)
    assert linker.setup["num_proposals"] == 7 and linker.setup["exact"] is False
    row = tiny_data().mentions["test"][0]
    found = linker.link(row["mention"], row["text"], image=row["image"], top_k=3)
    one = select_rows(units_mentions(kind), slice(1))
    scores, rows = search(index, kind, 3, num_proposals=7, queries=one)
    assert [each.entity_id for each in found.candidates] == [index.ids[row] for row in rows[0]]
    np.testing.assert_allclose([each.score for each in found.candidates], scores[0], rtol=1e-4)
    assert "num_proposals" not in Linker(model, processor, index, backend="two_stage").setup
    assert "num_proposals" not in Linker(model, processor, index).setup


def test_what_makes_no_sense(index, kind):
    model, processor = units_parts(kind)
    queries = units_mentions(kind)
    for backend in BACKENDS:
        with pytest.raises(ValueError, match="num_proposals must be at least 1, got 0"):
            get_backend(backend, index, num_proposals=0)
        with pytest.raises(ValueError, match="pass `match=model.match`"):
            index.search(queries, 3, backend=get_backend(backend, index, num_proposals=5))
        with pytest.raises(ValueError, match="needs encoded queries"):
            index.search(queries["dense"], 3, match=model.match, backend=backend)
    with pytest.raises(ValueError, match="num_proposals: the backend 'exact' scores every entity"):
        Linker(model, processor, index, num_proposals=5)
    with pytest.raises(ValueError, match="num_proposals is for a backend that is named"):
        Linker(model, processor, index, backend=get_backend("two_stage", index), num_proposals=5)
    wrong = map_tensors(torch.clone, queries)
    wrong["text"]["global"][4] = torch.nan
    with pytest.raises(ValueError, match="mention 4 has a NaN score against the rows proposed for it"):
        search(index, kind, num_proposals=5, queries=wrong)


# ---- Recall ----


def test_recall_by_hand(tmp_path):
    """
    By `dense` the first mention proposes rows 0, 1, 2 and the second 5, 4, 3, in this order; by `true` the best of the
    first are 2, 0, 5, and of the second 0, 3, 4.
    """
    dense = torch.tensor([[6.0, 1.0], [5.0, 2.0], [4.0, 3.0], [3.0, 4.0], [2.0, 5.0], [1.0, 6.0]])
    true = torch.tensor([[5.0, 9.0], [1.0, 1.0], [9.0, 0.0], [0.0, 6.0], [2.0, 5.0], [4.0, 3.0]])
    index = scored_index(tmp_path / "index", dense, true)
    queries = {"dense": torch.eye(2), "true": torch.eye(2)}
    three = get_backend("two_stage", index, num_proposals=3)
    measured = measure_recall(index, three, queries, (1, 2, 3), match=match_true)
    # best 1: 2 is found, 0 is not; best 2: both, and 3 alone; best 3: 2 and 0 without 5, 3 and 4 without 0
    assert measured == {
        "recall@1": 1 / 2,
        "recall@2": 3 / 4,
        "recall@3": 4 / 6,
        "queries": "mentions",
        "num_queries": 2,
        "bytes_per_entity": None,
    }
    five = get_backend("two_stage", index, num_proposals=5)
    measured = measure_recall(index, five, queries, (1, 2, 3), match=match_true)
    assert [measured[f"recall@{k}"] for k in (1, 2, 3)] == [
        1 / 2,
        3 / 4,
        4 / 6,
    ]  # row 5, row 0: the last to be proposed
    # Entities in rows 2 and 0 stand for the mentions, and are not to find themselves: the best others are 0, 5 and 3, 4.
    own = measure_recall(index, three, queries, (1, 2), match=match_true, own=np.array([2, 0]))
    assert [own[f"recall@{k}"] for k in (1, 2)] == [1.0, 3 / 4]
    assert own["queries"] == "entities read as mentions, without themselves"
    with pytest.raises(ValueError, match="stored entities cannot stand for mentions.*pass `queries`"):
        measure_recall(index, three, match=match_true)


def test_a_rounding_is_no_miss(tmp_path):
    """The score of a pair may be a rounding off where it is computed among others; the entity is found all the same."""
    index = scored_index(tmp_path / "index", unit_vectors(40), unit_vectors(40))
    calls = []

    def rounded(mentions, entities):
        calls.append(1)
        return match_true(mentions, entities) - 1e-4 * len(calls)

    queries = {name: unit_vectors(6, seed=1) for name in ("dense", "true")}
    backend = get_backend("two_stage", index, num_proposals=30)
    assert measure_recall(index, backend, queries, (1, 5), match=rounded)["recall@5"] == 1


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_an_index_tells_what_its_proposals_find(precision, monkeypatch):
    from hf_mel.linking.index.backends import base

    monkeypatch.setattr(base, "NUM_PROPOSALS", 3)
    kb = tiny_data().entities
    index = units_index(precision=precision)
    model, processor = units_parts()
    queries = encode_all(model, _as_mentions(kb, processor))[0]
    backend = get_backend("two_stage", index)
    expected = measure_recall(index, backend, queries, match=model.match, own=np.arange(20))
    told = dict(index.manifest.proposals)
    assert told.pop("num_proposals") == backend.proposals(1) == 18  # 2 k + 16 of them for the best one
    expected.pop("bytes_per_entity")
    assert told == expected and told["num_queries"] == 20
    assert index.convert(index.folder / "copy", "int8").manifest.proposals is None if precision == "float32" else True
    assert build().manifest.proposals is None


def _as_mentions(kb: KnowledgeBase, processor):
    inputs = EntityInputs(kb, processor)
    inputs.side = "mention"
    return inputs
