import sys

import numpy as np
import pytest
import torch

from hf_mel.linking.index import get_backend
from hf_mel.linking.index.backends import neighbours
from hf_mel.linking.index.backends.neighbours import NeighbourBackend, rows_fingerprint, vector_blocks
from hf_mel.linking.index.rescore import score_rows
from tests.linking.index.vectors import appended, removed, same, unit_vectors, vector_index


class Library(NeighbourBackend):
    """Finds `most` rows at most, and notes how many were asked for."""

    name = "library"

    def __init__(self, index, complete: bool, most: int = 10**9):
        super().__init__(index)
        self.complete, self.most, self.asked = complete, most, []

    def refresh(self):
        pass

    def _nearest(self, queries, k, mask):
        self.asked.append((len(queries), k))
        scores = queries @ self.index.encodings(np.arange(self.index.num_rows))["embeds"].numpy().T
        rows = np.argsort(scores, axis=1)[:, ::-1][:, :k]
        found = np.arange(rows.shape[1]) < self.most
        return np.where(found, np.take_along_axis(scores, rows, axis=1), -np.inf), np.where(found, rows, -1)


@pytest.fixture
def vectors() -> torch.Tensor:
    vectors = unit_vectors(500)
    vectors[100:400] = vectors[100]
    return vectors


def test_more_is_fetched_until_the_kth_place_is_left_behind(tmp_path, vectors, monkeypatch):
    index = vector_index(tmp_path / "index", vectors)
    queries = torch.cat([vectors[100:101], unit_vectors(3, seed=1)])
    library = Library(index, complete=True)
    monkeypatch.setattr(library, "_scan", None)
    assert same(index.search(queries, 20, backend=library), index.search(queries, 20))
    # all four ask for 16 more than the 20; those that meet the 300 equal rows go on until they have seen all of them
    (first, wide), *_, (last, widest) = library.asked
    assert (first, wide, widest) == (4, 36, 500) and 1 <= last < 4 and len(library.asked) == 3


@pytest.mark.parametrize("complete", [True, False])
def test_what_a_library_does_not_find_is_scanned(tmp_path, vectors, complete):
    index = vector_index(tmp_path / "index", vectors)
    queries = unit_vectors(6, seed=1)
    library = Library(index, complete, most=7)
    scores, rows = library.search(queries, 20)
    assert same((scores.numpy(), rows.numpy()), index.search(queries, 20))
    few, _ = library.search(queries, 5)
    np.testing.assert_allclose(
        few.numpy(), index.search(queries, 5)[0], rtol=1e-6
    )  # products of other shapes may round otherwise


def test_a_scan_of_many_rows_is_that_of_the_exact_backend(tmp_path, monkeypatch):
    index = vector_index(tmp_path / "index", unit_vectors(500))
    queries, allowed = unit_vectors(6, seed=1), np.arange(500) % 3 == 0
    answers = []
    for bound in (10_000, 10):
        monkeypatch.setattr(neighbours, "FULL_SCAN_ROWS", bound)
        answers.append(index.search(queries, 20, allowed=allowed, backend=Library(index, False, most=2)))
    assert same(*answers) and same(answers[0], index.search(queries, 20, allowed=allowed))


def test_blocks_of_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 100)
    vectors = unit_vectors(370)
    index = vector_index(tmp_path / "index", vectors, shard_rows=250)
    assert [(first, len(block)) for first, block in vector_blocks(index)] == [
        *((0, 100), (100, 100), (200, 50)),
        *((250, 100), (350, 20)),
    ]
    assert np.array_equal(np.concatenate([block for _, block in vector_blocks(index, 120)]), vectors[120:])


def test_the_fingerprint_of_the_first_rows(tmp_path):
    index = vector_index(tmp_path / "index", unit_vectors(300), shard_rows=200)
    before = rows_fingerprint(index, 300)
    assert rows_fingerprint(index, 250) is None and rows_fingerprint(index, 200) != before
    longer = removed(index.folder, [7])
    longer = appended(longer.folder, unit_vectors(10, seed=2))
    assert rows_fingerprint(longer, 300) == before != rows_fingerprint(longer, 310)
    other = vector_index(tmp_path / "other", unit_vectors(300, seed=3), shard_rows=200)
    assert rows_fingerprint(other, 300) != before


def test_scores_of_rows(tmp_path):
    vectors, queries = unit_vectors(100), unit_vectors(70, seed=1)
    index = vector_index(tmp_path / "index", vectors)
    rows = np.arange(70)[:, None] + np.array([0, 3, 30])
    rows[5, 1] = -1
    expected = np.einsum("qd,qkd->qk", queries, vectors[rows])
    expected[5, 1] = -np.inf
    for given in (queries, {"embeds": queries}):
        np.testing.assert_allclose(score_rows(index, given, rows), expected, atol=1e-6)


# ---- Every search engine ----


@pytest.mark.parametrize("name, library", [("faiss", "faiss"), ("qdrant", "qdrant_client")])
def test_equal_vectors_come_in_the_order_of_their_rows(tmp_path, vectors, name, library):
    """300 copies: far more than are fetched in addition to the k, and an engine may order them in its own way."""
    pytest.importorskip(library)
    index = vector_index(tmp_path / "index", vectors)
    queries = torch.cat([vectors[100:101], unit_vectors(3, seed=1)])
    found = index.search(queries, 20, backend=get_backend(name, index))
    assert found[1][0].tolist() == list(range(100, 120))
    assert same(found, index.search(queries, 20))


@pytest.mark.parametrize("name, library", [("faiss", "faiss"), ("qdrant", "qdrant_client")])
def test_without_its_library(tmp_path, monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf'pip install "hf-mel\[{name}\]"'):
        get_backend(name, vector_index(tmp_path / "index", unit_vectors(10)))


def test_a_model_that_compares_in_another_way(tmp_path):
    index = vector_index(tmp_path / "index", unit_vectors(10))
    index.manifest.model.update(vector_name=None, proposal_name=None)
    for name in ("faiss", "qdrant"):
        with pytest.raises(ValueError, match=f"backend {name!r} compares vectors by their dot product"):
            get_backend(name, index)
