import json
import shutil

import numpy as np
import pytest
import torch

from hf_mel.data import KnowledgeBase
from hf_mel.linking.index import EntityIndex, get_backend
from hf_mel.linking.index.backends import faiss as faiss_backend
from hf_mel.linking.index.backends import neighbours
from tests.linking.index.vectors import (
    appended,
    clustered_vectors,
    emojimel_index,
    removed,
    same,
    unit_vectors,
    vector_index,
)
from tests.training.common import tiny_data, tiny_linker, tiny_processor


faiss = pytest.importorskip("faiss")

KINDS = [
    {"kind": "flat"},
    {"kind": "flat", "storage": "int8"},
    {"kind": "ivf", "nlist": 20},
    {"kind": "ivf", "nlist": 20, "storage": "int8"},
    {"kind": "hnsw", "m": 16},
    {"kind": "hnsw", "m": 16, "storage": "float16"},
]
ROWS = 1500
ids = lambda options: "-".join(map(str, options.values()))  # noqa: E731


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return clustered_vectors(ROWS)


@pytest.fixture(scope="module")
def queries(vectors) -> torch.Tensor:
    mixed = vectors[:: ROWS // 50] + 0.1 * unit_vectors(50, seed=5)
    return mixed / mixed.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def folder(vectors, tmp_path_factory):
    place = tmp_path_factory.mktemp("faiss") / "index"
    vector_index(place, vectors, [["even" if row % 2 == 0 else "odd"] for row in range(ROWS)])
    return place


@pytest.fixture
def index(folder, tmp_path) -> EntityIndex:
    shutil.copytree(folder, tmp_path / "index")
    return EntityIndex.load(tmp_path / "index")


def found(index, backend, queries, k=10, **options) -> float:
    """The share of the exact best rows."""
    exact, rows = (index.search(queries, k, backend=by, **options)[1] for by in ("exact", backend))
    return np.mean([len(set(left) & set(right)) / k for left, right in zip(exact, rows, strict=True)])


# ---- What is found ----


@pytest.mark.parametrize("k", [1, 7, 100, 5000])
def test_flat_is_the_exact_backend_to_the_last_bit(index, queries, k):
    backend = get_backend("faiss", index)
    assert backend.exact
    assert same(index.search(queries, k, backend=backend), index.search(queries, k))


@pytest.mark.parametrize("options", KINDS, ids=ids)
def test_every_kind_finds_the_best_rows_with_their_scores(index, queries, options):
    backend = get_backend("faiss", index, **options)
    assert backend.exact == (options == {"kind": "flat"})
    assert found(index, backend, queries) > 0.97
    scores, rows = index.search(queries, 10, backend=backend)
    stored = index.encodings(rows)["embeds"]
    np.testing.assert_allclose(scores, torch.einsum("qd,qkd->qk", queries, stored), atol=1e-6)
    assert (np.diff(scores) <= 0).all()


def test_a_wider_search_finds_more(tmp_path):
    """Else the options do nothing and the recall above says nothing."""
    index = vector_index(tmp_path / "index", unit_vectors(3000))
    queries = unit_vectors(50, seed=1)
    for kind, narrow, wide in (
        ("ivf", {"nlist": 60, "nprobe": 2}, {"nlist": 60, "nprobe": 60}),
        ("hnsw", {"m": 4, "ef_construction": 8, "ef_search": 1}, {"m": 4, "ef_construction": 8, "ef_search": 3000}),
    ):
        little, much = (found(index, get_backend("faiss", index, kind=kind, **by), queries) for by in (narrow, wide))
        assert little < 0.8 < 0.98 < much


def test_lists_that_are_too_short_are_not_the_end(tmp_path, monkeypatch):
    index = vector_index(tmp_path / "index", unit_vectors(3000))
    backend = get_backend("faiss", index, kind="ivf", nlist=70, nprobe=1)
    monkeypatch.setattr(backend, "_scan", None)
    scores, rows = index.search(unit_vectors(50, seed=1), 600, backend=backend)
    assert (rows >= 0).all() and all(len(set(row)) == 600 for row in rows.tolist())


def test_answers_do_not_depend_on_batch_or_threads(index, queries):
    backend = get_backend("faiss", index, kind="hnsw")
    whole = index.search(queries, 10, backend=backend)
    alone = [index.search(queries[row : row + 1], 10, backend=backend) for row in range(len(queries))]
    assert same(whole, [np.concatenate(parts) for parts in zip(*alone, strict=True)])
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        assert same(whole, index.search(queries, 10, backend=backend))
        get_backend("faiss", index, kind="ivf")
        assert faiss.omp_get_max_threads() == 2, "another number is the caller's"
    finally:
        faiss.omp_set_num_threads(threads)


# ---- Restrictions ----


@pytest.mark.parametrize("options", KINDS, ids=ids)
@pytest.mark.parametrize("scan", [0, 10_000], ids=["filter", "scan"])
def test_a_restriction_loses_no_candidate(index, queries, options, scan, monkeypatch):
    """Not even one to rows that the library seldom meets."""
    monkeypatch.setattr(neighbours, "FULL_SCAN_ROWS", scan)
    backend = get_backend("faiss", index, **options)
    if not scan and options["kind"] != "hnsw":  # faiss itself keeps to the restriction
        monkeypatch.setattr(backend, "_scan", None)
    for allowed in (index.rows_of(types=["odd"]), index.rows_of(ids=[f"e{row}" for row in range(0, 600, 50)])):
        scores, rows = index.search(queries, 10, allowed=allowed, backend=backend)
        assert rows.shape == (50, 10) and (rows >= 0).all() and allowed[rows].all()
        assert found(index, backend, queries, allowed=allowed) > (0.97 if scan == 0 else 0.9999)
    few = index.rows_of(ids=["e5", "e77"])
    scores, rows = index.search(queries, 10, allowed=few, backend=backend)
    assert rows.shape == (50, 2) and {tuple(sorted(row)) for row in rows.tolist()} == {(5, 77)}
    assert index.search(queries, 10, allowed=np.zeros(ROWS, bool), backend=backend)[1].shape == (50, 0)


# ---- Changes of the index ----


@pytest.mark.parametrize("options", KINDS, ids=ids)
def test_new_rows_are_found_and_removed_ones_are_not(index, queries, options):
    get_backend("faiss", index, **options)
    new = unit_vectors(40, seed=9)
    appended(index.folder, new)
    gone = index.search(queries, 1)[1][:, 0]
    changed = removed(index.folder, gone)
    backend = get_backend("faiss", changed, **options)
    assert changed.search(new, 1, backend=backend)[1][:, 0].tolist() == list(range(ROWS, ROWS + 40))
    scores, rows = changed.search(queries, 20, backend=backend)
    assert not np.isin(rows, gone).any() and (rows >= 0).all()
    assert found(changed, backend, queries) > 0.97
    if backend.exact:
        assert same((scores, rows), changed.search(queries, 20))


def test_only_new_rows_are_added(index, monkeypatch):
    get_backend("faiss", index, kind="ivf")
    changed = appended(index.folder, unit_vectors(40, seed=9))
    trained = []
    monkeypatch.setattr(faiss.IndexIVFFlat, "train", lambda *_: trained.append(1))
    backend = get_backend("faiss", changed, kind="ivf")
    assert not trained and backend._faiss.ntotal == ROWS + 40
    # and from the file of it
    again = get_backend("faiss", EntityIndex.load(index.folder), kind="ivf")
    assert not trained and again._faiss.ntotal == ROWS + 40
    assert len(list((index.folder / "backends").iterdir())) == 2


def test_what_was_trained_on_less_than_half_is_trained_again(index):
    first = get_backend("faiss", index, kind="ivf")
    assert first._faiss.nlist == ROWS // 39
    changed = appended(index.folder, clustered_vectors(ROWS + 100, seed=9))
    assert get_backend("faiss", changed, kind="ivf")._faiss.nlist == (2 * ROWS + 100) // 39


def test_a_backend_follows_its_index(tmp_path):
    """The same objects, through the changes that users make."""
    kb = tiny_data().entities
    first, rest = (KnowledgeBase(kb.dataset.select(rows)) for rows in (range(15), range(15, 20)))
    model, processor = tiny_linker(), tiny_processor()
    index = EntityIndex.build(model, processor, first, tmp_path / "index")
    backend = get_backend("faiss", index)
    queries = unit_vectors(5, 8)
    for change in (
        lambda: index.add(model, processor, rest),
        lambda: index.remove(kb.ids[3:6]),
        lambda: index.compact(),
    ):
        change()
        assert same(index.search(queries, 17, backend=backend), index.search(queries, 17))
    assert backend._faiss.ntotal == 17


def test_a_file_of_other_vectors_is_not_used(index, queries):
    get_backend("faiss", index)
    shutil.copytree(index.folder / "backends", index.folder.parent / "kept")
    other = vector_index(index.folder.parent / "other", unit_vectors(ROWS, seed=8))
    shutil.copytree(index.folder.parent / "kept", other.folder / "backends")
    assert same(other.search(queries, 10, backend=get_backend("faiss", other)), other.search(queries, 10))


def test_adding_that_was_interrupted_is_begun_again(index, queries, monkeypatch):
    """Rows must not be added twice."""
    backend = get_backend("faiss", index)
    backend.index = index = appended(index.folder, unit_vectors(3000, seed=4))

    def interrupted(*arguments):
        yield next(neighbours.vector_blocks(*arguments))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(faiss_backend, "vector_blocks", interrupted)
        backend.refresh()
    assert backend._faiss.ntotal == ROWS + 1000
    assert same(index.search(queries, 10, backend=backend), index.search(queries, 10))
    assert backend._faiss.ntotal == ROWS + 3000


# ---- Files ----


@pytest.mark.parametrize("damage", ["data", "state", "short", "missing"])
def test_a_damaged_file_is_made_anew(index, queries, damage, caplog):
    get_backend("faiss", index)
    (data,) = (index.folder / "backends").glob("*.faiss")
    (state,) = (index.folder / "backends").glob("*.json")
    before = data.read_bytes()
    if damage == "data":
        data.write_bytes(before[:-4] + b"\0\0\0\1")
    elif damage == "state":
        state.write_text(state.read_text()[:40])
    elif damage == "short":
        data.write_bytes(before[:1000])
    else:
        data.unlink()
    backend = get_backend("faiss", index)
    assert f"{state}: cannot be read, and is made anew" in caplog.text
    assert same(index.search(queries, 10, backend=backend), index.search(queries, 10))
    assert data.read_bytes() == before


def test_what_a_killed_process_left_is_tidied(index):
    (index.folder / "backends").mkdir()
    (index.folder / "backends" / "faiss-flat-float32.0123456789abcdef.part").write_bytes(b"half")
    (index.folder / "backends" / "faiss-flat-float32.0123456789abcdef.faiss").write_bytes(b"not named")
    get_backend("faiss", index)
    names = sorted(path.name for path in (index.folder / "backends").iterdir())
    assert len(names) == 2 and names[0].startswith("faiss-flat-float32.") and names[1] == "faiss-flat-float32.json"
    assert "0123456789abcdef" not in names[0]


def test_a_file_of_a_later_version_is_made_anew(index, caplog):
    get_backend("faiss", index)
    (state,) = (index.folder / "backends").glob("*.json")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"format": 2}))
    get_backend("faiss", index)
    assert "its format is 2, this version reads 1" in caplog.text


def test_a_folder_that_cannot_be_written_is_searched(index, queries, caplog):
    (index.folder / "backends").write_text("in the way")
    backend = get_backend("faiss", index)
    assert "not written" in caplog.text
    assert same(index.search(queries, 10, backend=backend), index.search(queries, 10))


def test_a_temporary_index_has_no_files():
    index = EntityIndex.build(tiny_linker(), tiny_processor(), tiny_data().entities)
    backend = get_backend("faiss", index, kind="hnsw")
    assert backend.file is None and not (index.folder / "backends").exists()
    assert backend.size_bytes > 20 * 8 * 4


def test_the_same_file_each_time_and_with_two_threads(index):
    contents, threads = [], faiss.omp_get_max_threads()
    try:
        for number in (1, 2, 2):
            faiss.omp_set_num_threads(number)
            shutil.rmtree(index.folder / "backends", ignore_errors=True)
            for options in ({"kind": "hnsw"}, {"kind": "ivf"}):
                get_backend("faiss", index, **options)
            contents.append({path.name: path.read_bytes() for path in (index.folder / "backends").iterdir()})
    finally:
        faiss.omp_set_num_threads(threads)
    assert len(contents[0]) == 4 and contents[0] == contents[1] == contents[2]


# ---- Small and empty ----


def test_too_few_rows_for_the_lists(tmp_path, caplog):
    index = vector_index(tmp_path / "index", unit_vectors(100))
    backend = get_backend("faiss", index, kind="ivf", nlist=50)
    assert "nlist=50 is too many for 100 rows, of which a list needs 39 to train on: there will be 2" in caplog.text
    assert backend._faiss.nlist == 2
    queries = unit_vectors(4, seed=1)
    assert same(index.search(queries, 10, backend=backend), index.search(queries, 10))


@pytest.mark.parametrize("options", KINDS, ids=ids)
def test_one_row_and_none(tmp_path, options):
    index = vector_index(tmp_path / "index", unit_vectors(1))
    queries = unit_vectors(4, seed=1)
    options = {name: value for name, value in options.items() if name != "nlist"}
    backend = get_backend("faiss", index, **options)
    assert index.search(queries, 10, backend=backend)[1].tolist() == [[0]] * 4
    empty = removed(index.folder, [0])
    backend = get_backend("faiss", empty, **options)
    assert empty.search(queries, 10, backend=backend)[1].shape == (4, 0)
    assert index.search(queries[:0], 10, backend=get_backend("faiss", index, **options))[1].shape == (0, 1)


# ---- Options ----


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "hnws"}, "unknown kind 'hnws'; did you mean 'hnsw'"),
        ({"storage": "int4"}, "unknown storage 'int4'; did you mean 'int8'"),
        ({"kind": "flat", "nprobe": 4}, "nprobe is no option of kind 'flat', which has none"),
        ({"kind": "ivf", "m": 4}, "m is no option of kind 'ivf', which has nlist, nprobe"),
        ({"kind": "hnsw", "ef_search": 0}, "ef_search must be at least 1, got 0"),
    ],
)
def test_wrong_options(index, options, message):
    with pytest.raises(ValueError, match=message):
        get_backend("faiss", index, **options)


def test_queries_that_are_no_numbers(index, queries):
    queries = queries.clone()
    queries[3, 2] = float("nan")
    with pytest.raises(ValueError, match="query 3 holds a NaN"):
        index.search(queries, 5, backend=get_backend("faiss", index))


# ---- EmojiMEL ----


def test_emojimel_flat_is_exact():
    index, queries = emojimel_index()
    for k in (1, 10, 64):
        assert same(index.search(queries, k, backend=get_backend("faiss", index)), index.search(queries, k))
