import numpy as np
import pytest
import torch

from hf_mel.linking.index import EntityIndex, SearchBackend, get_backend
from hf_mel.linking.index.recall import measure_recall
from tests.linking.index.vectors import NAME, appended, removed, unit_vectors, vector_index
from tests.training.common import tiny_data, tiny_linker, tiny_processor


class Forgetful(SearchBackend):
    """Finds the exact rows but for the first `missing` of each query."""

    name, exact = "forgetful", False
    size_bytes = 600

    def __init__(self, index, missing: int):
        super().__init__(index)
        self.missing, self.asked = missing, []

    def search(self, queries, k, allowed=None):
        self.asked.append(k)
        scores, rows = get_backend("exact", self.index).search(queries, k + self.missing, allowed)
        return scores[:, self.missing :], rows[:, self.missing :]


@pytest.fixture
def index(tmp_path) -> EntityIndex:
    return vector_index(tmp_path / "index", unit_vectors(60))


def mentions(count: int = 9) -> dict[str, torch.Tensor]:
    return {NAME: unit_vectors(count, seed=1)}


def test_the_share_of_the_exact_best_that_is_found(index):
    """The first of them is missed, so one of k is."""
    backend = Forgetful(index, 1)
    measured = measure_recall(index, backend, mentions(), ks=(1, 2, 10))
    assert measured == {
        "recall@1": 0.0,
        "recall@2": 0.5,
        "recall@10": 0.9,
        "queries": "mentions",
        "num_queries": 9,
        "bytes_per_entity": 10.0,
    }
    assert len(set(backend.asked)) == 3, "a search for few may find less than one for many"
    assert measure_recall(index, get_backend("faiss", index), mentions())["recall@100"] == 1.0


def test_by_hand(index):
    """Against counting sets of rows."""
    backend = get_backend("faiss", index, storage="int8")
    queries = mentions(40)
    _, exact = index.search(queries, 10)
    _, found = index.search(queries, 10, backend=backend)
    # The package scores what a backend proposes anew; the difference shows with few proposals alone.
    expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), found.tolist(), strict=True)])
    assert measure_recall(index, backend, queries)["recall@10"] == pytest.approx(expected)


def test_entities_without_themselves(index):
    """An index that finds each entity and nothing else has found nothing."""

    class Own(Forgetful):
        def search(self, queries, k, allowed=None):
            scores, rows = get_backend("exact", self.index).search(queries, k, allowed)
            return torch.where(rows == rows[:, :1], scores, -torch.inf), torch.where(rows == rows[:, :1], rows, -1)

    measured = measure_recall(index, Own(index, 0), ks=(1, 5))
    assert (measured["recall@1"], measured["recall@5"]) == (0.0, 0.0)
    assert (measured["queries"], measured["num_queries"]) == ("entities without themselves", 60)
    assert measure_recall(index, get_backend("exact", index), ks=(1, 59, 1000))["recall@1000"] == 1.0


def test_an_entity_need_not_be_the_first_for_itself(tmp_path):
    """A longer vector may score higher. What the search below misses is the first, whichever that is."""
    vectors = unit_vectors(60) * torch.linspace(0.2, 3, 60)[:, None]
    index = vector_index(tmp_path / "index", vectors)
    itself_first = ((vectors @ vectors.T).argmax(dim=1) == torch.arange(60)).float().mean().item()
    assert 0.2 < itself_first < 0.8
    assert measure_recall(index, Forgetful(index, 1), ks=(1,))["recall@1"] == pytest.approx(itself_first)


def test_copies_of_an_entity_are_as_good_as_each_other(tmp_path):
    """Which of three equal ones comes first is no loss; and none of them need be in its own list."""
    vectors = unit_vectors(60)
    vectors[10:13] = vectors[10]
    index = vector_index(tmp_path / "index", vectors)

    class Turned(Forgetful):
        def search(self, queries, k, allowed=None):
            scores, rows = get_backend("exact", self.index).search(queries, 60, allowed)
            order = (scores - 1e-9 * rows).argsort(dim=1, descending=True)
            turned = torch.where((rows >= 10) & (rows <= 12), 22 - rows, rows)
            return scores.gather(1, order)[:, :k], turned.gather(1, order)[:, :k]

    assert measure_recall(index, Turned(index, 0), {NAME: vectors[10:11]}, ks=(1, 2))["recall@1"] == 1.0
    assert measure_recall(index, get_backend("exact", index), ks=(1,))["recall@1"] == 1.0


def test_no_more_than_512_entities_the_same_each_time(tmp_path):
    index = vector_index(tmp_path / "index", unit_vectors(700))
    lossy = get_backend("faiss", index, kind="ivf", nlist=17, nprobe=1)
    first, again, other = (measure_recall(index, lossy, ks=(10,), seed=seed) for seed in (0, 0, 1))
    assert first["num_queries"] == 512 and first == again != other


@pytest.mark.parametrize("precision, least", [("float16", 0.99), ("bfloat16", 0.9), ("int8", 0.9)])
def test_another_precision(precision, least):
    """And what the build notes is this."""
    kb, model, processor = tiny_data().entities, tiny_linker(), tiny_processor()
    full = EntityIndex.build(model, processor, kb)
    reduced = EntityIndex.build(model, processor, kb, precision=precision)
    measured = measure_recall(full, reduced)
    assert least <= measured["recall@10"] <= 1
    assert measured["bytes_per_entity"] < measure_recall(full, full)["bytes_per_entity"]
    assert reduced.manifest.recall == measured


def test_rows_may_stand_elsewhere(tmp_path):
    """After a change or a compaction, entities are told by their ids."""
    vectors = unit_vectors(60)
    index = vector_index(tmp_path / "first", vectors)
    other = vector_index(tmp_path / "second", vectors)
    index, other = removed(index.folder, [3]), removed(other.folder, [3])
    assert measure_recall(index, other)["recall@10"] == 1
    with pytest.raises(ValueError, match="do not hold the same entities: 2 are in one alone, e60, e61"):
        measure_recall(index, appended(other.folder, unit_vectors(2)))


def test_one_entity_and_wrong_ks(tmp_path, index):
    alone = vector_index(tmp_path / "alone", unit_vectors(1))
    assert measure_recall(alone, alone)["num_queries"] == 0
    for ks in ((), (0, 1)):
        with pytest.raises(ValueError, match="ks must be numbers from 1 on"):
            measure_recall(index, index, ks=ks)
