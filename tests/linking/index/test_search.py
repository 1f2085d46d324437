import numpy as np
import pytest
import torch

from hf_mel.data import UnknownEntityError
from hf_mel.evaluation import dot_product
from hf_mel.linking.index import EntityIndex, SearchBackend, get_backend
from hf_mel.linking.index.backends import exact
from hf_mel.linking.index.backends.shortlist import shortlist
from hf_mel.linking.index.recall import AS_MENTIONS
from tests.linking.index.common import build, parts, people
from tests.linking.index.vectors import unit_vectors, vector_index
from tests.training.common import tiny_data


def brute_force(vectors: torch.Tensor, queries: torch.Tensor, allowed: np.ndarray, k: int):
    """Every score, sorted."""
    scores = dot_product(queries, vectors)[:, torch.tensor(allowed)].numpy()
    rows = np.flatnonzero(allowed)
    order = np.stack([np.lexsort((rows, -row)) for row in scores]) if scores.size else np.zeros(scores.shape, int)
    order = order[:, :k]
    return np.take_along_axis(scores, order, axis=1), rows[order]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> EntityIndex:
    """A thousand vectors with many copies, some of them removed."""
    base = unit_vectors(300, 24)
    copies = torch.randint(0, 300, (1000,), generator=torch.Generator().manual_seed(5))
    types = [["even", "any"] if row % 2 == 0 else ["any"] for row in range(1000)]
    index = vector_index(tmp_path_factory.mktemp("vectors") / "index", base[copies], types, shard_rows=130)
    index.remove([f"e{row}" for row in range(0, 1000, 7)])
    return index


@pytest.mark.parametrize("k", [1, 10, 999])
def test_equals_brute_force(index, k):
    vectors, queries = index.encodings(np.arange(1000))["embeds"], unit_vectors(70, 24, seed=9)
    expected = brute_force(vectors, queries, index.alive, k)
    assert (expected[0][:, 1:] == expected[0][:, :-1]).any() or k == 1, "there are ties"
    for block_rows in (1, 64, 333, 5000):
        if block_rows == 1 and k > 10:
            continue
        backend = get_backend("exact", index, block_rows=block_rows)
        scores, rows = index.search(queries, k, backend=backend)
        assert np.array_equal(rows, expected[1]) and np.array_equal(scores, expected[0]), block_rows
    assert rows.dtype == np.int64 and scores.dtype == np.float32
    assert rows.shape == (70, min(k, 857))


def test_alone_as_in_a_batch_and_in_any_order(index):
    queries = unit_vectors(70, 24, seed=9)
    scores, rows = index.search(queries, 5)
    for part in ([3], [69, 0, 3], list(range(69, -1, -1))):
        again = index.search(queries[part], 5)
        assert np.array_equal(again[0], scores[part]) and np.array_equal(again[1], rows[part])
    by_name = index.search({"embeds": queries, "alone": {"text": {"embeds": -queries}}}, 5)
    assert np.array_equal(by_name[1], rows)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("k", [1, 7, 64, 990])
def test_a_few_queries_to_the_last_bit(index, precision, k, tmp_path, monkeypatch):
    """They are compared in another way, with copies, removed rows and restrictions, and vectors of other lengths."""
    index = index if precision == "float32" else index.convert(tmp_path / "small", precision)
    queries = unit_vectors(8, 24, seed=9) * torch.tensor([[1e-3], [1], [10], [1], [1], [1], [1], [1e3]])
    allowed = np.arange(1000) % 3 > 0
    answers, used = [], []
    real = exact.shortlist
    monkeypatch.setattr(exact, "shortlist", lambda *args: used.append(1) or real(*args))
    for few in (0, 8):
        monkeypatch.setattr(exact, "FEW_QUERIES", few)
        backend = get_backend("exact", index, block_rows=100)
        for mask in (None, allowed):
            answers.append(index.search(queries, k, allowed=mask, backend=backend))
    assert len(used) == 2
    for plain, short in zip(answers[:2], answers[2:], strict=True):
        assert np.array_equal(plain[0], short[0]) and np.array_equal(plain[1], short[1])


def test_a_shortlist_where_rounding_decides():
    """Vectors that differ by so little that a plain product puts others first than the product of whole tiles."""
    generator = torch.Generator().manual_seed(0)
    base = unit_vectors(1, 700)
    vectors = base + 2e-9 * torch.randn(3000, 700, generator=generator)
    query = unit_vectors(1, 700, seed=4) + base
    best = dot_product(query, vectors).topk(40).indices[0].tolist()
    plain = (query @ vectors.T).topk(40).indices[0].tolist()
    if set(best) == set(plain):
        pytest.skip("both products round alike on this machine")
    blocks = [(first, vectors[first : first + 500]) for first in range(0, 3000, 500)]
    largest = float(vectors.norm(dim=1).amax())
    rows = shortlist(query, blocks, 40, torch.ones(3000, dtype=torch.bool), largest).tolist()
    assert set(best) <= set(rows) and rows == sorted(rows)


def test_a_few_queries_with_a_nan(index):
    queries = unit_vectors(2, 24)
    queries[1, 3] = torch.nan
    with pytest.raises(ValueError, match="mention 1 has a NaN score"):
        index.search(queries, 3, backend=get_backend("exact", index, block_rows=100))


@pytest.mark.parametrize("count", [0, 1, 40, 999])
def test_only_what_is_allowed(index, count):
    allowed = np.zeros(1000, dtype=np.bool_)
    allowed[np.random.default_rng(count).choice(1000, count, replace=False)] = True
    vectors, queries = index.encodings(np.arange(1000))["embeds"], unit_vectors(3, 24, seed=9)
    scores, rows = index.search(queries, 8, allowed=allowed)
    expected = brute_force(vectors, queries, allowed & index.alive, 8)
    assert np.array_equal(rows, expected[1]) and np.array_equal(scores, expected[0])
    assert rows.shape == (3, min(8, int((allowed & index.alive).sum())))


def test_restrictions(index):
    assert index.rows_of().sum() == len(index) == 857
    even = index.rows_of(types=["even"])
    assert even.tolist() == [row % 2 == 0 and row % 7 != 0 for row in range(1000)]
    assert np.array_equal(index.rows_of(types="even"), even)
    assert np.array_equal(index.rows_of(types=["even", "any"]), index.alive)
    assert np.flatnonzero(index.rows_of(ids=["e4", "e5", "e4"])).tolist() == [4, 5]
    assert np.flatnonzero(index.rows_of(["even"], ["e4", "e5"])).tolist() == [4]
    assert not index.rows_of(ids=[]).any() and not index.rows_of(types=[]).any()
    with pytest.raises(UnknownEntityError, match="2 ids not in this index: e7, x"):
        index.rows_of(ids=["e1", "e7", "x"])
    with pytest.raises(UnknownEntityError, match="1 id not in this index: 7. Ids are text"):
        index.rows_of(ids=[7])
    with pytest.raises(ValueError, match="no entity of this index has the type 'evn'; did you mean 'even'"):
        index.rows_of(types=["any", "evn"])


def test_a_type_that_only_removed_entities_have():
    index = build(kb=people(4))
    index.remove(index.ids)
    with pytest.raises(ValueError, match="has the type 'person'"):
        index.rows_of(types=["person"])


class Careless(SearchBackend):
    """Proposes the right rows and some more, in a bad order and with scores of its own."""

    name, exact = "careless", False

    def search(self, queries, k, allowed=None):
        scores, rows = self.index.search(queries, k, allowed=allowed)
        rows = torch.from_numpy(rows).flip(1)
        missing = torch.full((len(rows), 2), -1)
        return torch.zeros(len(rows), rows.shape[1] + 2), torch.cat([missing, rows], dim=1)


def test_what_a_backend_proposes_is_scored_with_the_stored_vectors(index):
    queries = unit_vectors(70, 24, seed=9)
    for k in (1, 5, 200):
        expected = index.search(queries, k)
        found = index.search(queries, k, backend=Careless(index))
        assert np.array_equal(found[1], expected[1]) and np.array_equal(found[0], expected[0])


def test_a_backend_that_finds_too_few(index):
    class Lazy(Careless):
        def search(self, queries, k, allowed=None):
            rows = torch.full((len(queries), k), -1)
            rows[:, 3] = 8
            return torch.zeros(rows.shape), rows

    scores, rows = index.search(unit_vectors(2, 24), 4, backend=Lazy(index))
    assert rows.tolist() == [[8, -1, -1, -1]] * 2 and np.isneginf(scores[:, 1:]).all() and (scores[:, 0] > -2).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"allowed": np.ones(3, dtype=np.bool_)}, "a bool for each of the 1,000 stored rows"),
        ({"allowed": np.ones(1000)}, "got float64"),
        ({"backend": "exat"}, "unknown backend 'exat'; did you mean 'exact'"),
    ],
)
def test_bad_questions(index, arguments, message):
    with pytest.raises(ValueError, match=message):
        index.search(unit_vectors(2, 24), **{"k": 3, **arguments})


def test_a_nan_is_refused(index):
    queries = unit_vectors(3, 24)
    queries[1, 0] = torch.nan
    with pytest.raises(ValueError, match="mention 1 has a NaN score"):
        index.search(queries, 2)


def test_a_model_that_matches_in_another_way(monkeypatch):
    """Without a vector whose dot product is the score, the model's `match` is used, and no other backend."""
    model, processor = parts()

    def match(mentions, entities):
        return -torch.cdist(mentions["embeds"], entities["embeds"])

    monkeypatch.setattr(type(model), "vector_name", None)
    monkeypatch.setattr(type(model), "match", lambda model, mentions, entities: match(mentions, entities))
    index = EntityIndex.build(model, processor, tiny_data().entities, encode_dtype="float32", shard_rows=6)
    assert index.manifest.vector_name is None and index.manifest.dim is None
    queries = index.encodings([2, 11])
    scores, rows = index.search(queries, 3, match=match)
    assert rows[:, 0].tolist() == [2, 11] and np.abs(scores[:, 0]).max() < 1e-3
    reduced = EntityIndex.build(model, processor, tiny_data().entities, encode_dtype="float32", precision="int8")
    assert reduced.manifest.recall["queries"] == AS_MENTIONS, "entities as they are stored cannot stand for mentions"
    assert reduced.manifest.proposals is None, "there is nothing to propose by"
    assert reduced.search(reduced.encodings([2, 11]), 1, match=match)[1][:, 0].tolist() == [2, 11]
    worst, _ = index.search(queries, 3, match=lambda m, e: -match(m, e))
    assert worst.min() > 0
    by_name = index.search(queries, 3, match=match, backend=get_backend("exact", index))
    assert np.array_equal(by_name[1], rows)
    with pytest.raises(ValueError, match="pass `match=model.match`"):
        index.search(queries, 3)
    with pytest.raises(ValueError, match="needs encoded queries"):
        index.search(queries["embeds"], 3, match=match)


def test_less_precision_is_kept_converted():
    index = build(precision="int8")
    scores, rows = index.search(index.encodings([3]), 4)
    again = index.search(index.encodings([3]), 4)
    assert np.array_equal(scores, again[0]) and rows[0, 0] == 3
    index.remove([index.ids[3]])
    assert 3 not in index.search(index.encodings([3]), 20)[1]
    index.add(*parts(), people(2))
    assert {20, 21} <= set(index.search(index.encodings([3]), 30)[1][0].tolist())
    small = get_backend("exact", index, resident_bytes=0)
    assert np.array_equal(
        index.search(index.encodings([3]), 5, backend=small)[0], index.search(index.encodings([3]), 5)[0]
    )
