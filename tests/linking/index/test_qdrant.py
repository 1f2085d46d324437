import shutil

import numpy as np
import pytest
import torch

from hf_mel.data import KnowledgeBase
from hf_mel.linking.index import EntityIndex, get_backend
from hf_mel.linking.index.backends import neighbours, qdrant
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


qdrant_client = pytest.importorskip("qdrant_client")
QdrantClient, models = qdrant_client.QdrantClient, qdrant_client.models

TYPES = [["painter", "person"], ["city"], ["person"], []]


class Server:
    """A client of a server, as far as a client within the process can play one: it is not known to be local."""

    def __init__(self):
        self.real = QdrantClient(":memory:")
        self.init_options = {"url": "http://localhost:6333"}
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self.real, name)

        def called(*args, **kwargs):
            self.calls.append((name, kwargs))
            return method(*args, **kwargs)

        return called

    def create_payload_index(self, *args):
        self.calls.append(("create_payload_index", args))

    def all(self, name) -> list:
        return [kwargs for called, kwargs in self.calls if called == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("qdrant") / "index"
    vector_index(place, clustered_vectors(400), TYPES * 100, shard_rows=150)
    return place


@pytest.fixture
def index(folder, tmp_path) -> EntityIndex:
    shutil.copytree(folder, tmp_path / "index")
    return EntityIndex.load(tmp_path / "index")


@pytest.fixture(scope="module")
def queries() -> torch.Tensor:
    return unit_vectors(20, seed=1)


def held(backend) -> dict[int, dict]:
    """All points: payload by id."""
    points, _ = backend.client.scroll(backend.collection, limit=10_000)
    return {point.id: point.payload for point in points}


# ---- What is found ----


@pytest.mark.parametrize("k", [1, 7, 100, 500])
def test_in_this_process_it_is_the_exact_backend_to_the_last_bit(index, queries, k):
    backend = get_backend("qdrant", index)
    assert backend.exact and backend.local
    assert same(index.search(queries, k, backend=backend), index.search(queries, k))


def test_emojimel_gives_the_same_top_k():
    index, queries = emojimel_index()
    backend = get_backend("qdrant", index)
    assert len(index) == 416
    for k in (1, 10, 64):
        assert same(index.search(queries, k, backend=backend), index.search(queries, k))
    types = index.types()
    chosen = index.rows_of(types=[next(name for of in types for name in of)]) if any(types) else index.alive
    assert same(index.search(queries, 10, allowed=chosen, backend=backend), index.search(queries, 10, allowed=chosen))


def test_what_a_point_holds(index):
    points = held(get_backend("qdrant", index))
    assert len(points) == 400
    assert points[4] == {"entity_id": "e4", "types": ["painter", "person"]}
    assert points[7] == {"entity_id": "e7", "types": []}


# ---- Restrictions ----


@pytest.mark.parametrize("client", [lambda: None, Server], ids=["embedded", "server"])
@pytest.mark.parametrize("scan", [0, 10_000], ids=["filter", "scan"])
def test_a_restriction_loses_no_candidate(index, queries, client, scan, monkeypatch):
    monkeypatch.setattr(neighbours, "FULL_SCAN_ROWS", scan)
    index = removed(index.folder, [0, 9])
    backend = get_backend("qdrant", index, client=client())
    for allowed in (
        index.rows_of(types=["person"]),
        index.rows_of(types=["city", "painter"]),
        index.rows_of(ids=["e5", "e77"]),
        ~index.rows_of(ids=["e5", "e77"]),
        np.arange(400) % 7 == 0,
        np.zeros(400, bool),
    ):
        found = index.search(queries, 10, allowed=allowed, backend=backend)
        assert same(found, index.search(queries, 10, allowed=allowed))


def test_types_and_few_ids_are_left_to_the_server(index, queries, monkeypatch):
    monkeypatch.setattr(neighbours, "FULL_SCAN_ROWS", 0)
    backend = get_backend("qdrant", index, client=Server())

    def sent(allowed):
        backend.client.calls.clear()
        index.search(queries[:1], 5, allowed=allowed, backend=backend)
        (call,) = backend.client.all("query_batch_points")
        return call["requests"][0].filter

    (condition,) = sent(index.rows_of(types=["city", "painter"])).must
    assert condition.key == "types" and sorted(condition.match.any) == ["city", "painter"]
    (condition,) = sent(index.rows_of(types=["person"])).must
    assert condition.match.any == ["person"], "painters are persons: one type says it"
    (condition,) = sent(~index.rows_of(ids=["e5", "e77"])).must_not
    assert condition.has_id == [5, 77]
    monkeypatch.setattr(qdrant, "MOST_IDS", 1)
    assert sent(~index.rows_of(ids=["e5", "e77"])) is None
    assert sent(None) is None


# ---- Changes of the index ----


def test_an_uploaded_collection_is_used_again_and_follows_the_index(index, queries):
    client = Server()
    get_backend("qdrant", index, client=client)
    assert sum(len(call["points"].ids) for call in client.all("upsert")) == 400
    client.calls.clear()
    get_backend("qdrant", EntityIndex.load(index.folder), client=client)
    assert not client.all("upsert") and not client.all("delete")
    appended(index.folder, unit_vectors(30, seed=4))
    changed = removed(index.folder, [3, 410])
    backend = get_backend("qdrant", changed, client=client)
    assert [call["points"].ids for call in client.all("upsert")] == [[row for row in range(400, 430) if row != 410]]
    assert set(held(backend)) == set(range(430)) - {3, 410}
    assert same(changed.search(queries, 50, backend=backend), changed.search(queries, 50))


def test_a_backend_follows_its_index(tmp_path):
    """The same objects, through the changes that users make."""
    kb = tiny_data().entities
    first, rest = (KnowledgeBase(kb.dataset.select(rows)) for rows in (range(15), range(15, 20)))
    model, processor = tiny_linker(), tiny_processor()
    index = EntityIndex.build(model, processor, first, tmp_path / "index")
    backend = get_backend("qdrant", index)
    queries = unit_vectors(5, 8)
    for change in (
        lambda: index.add(model, processor, rest),
        lambda: index.remove(kb.ids[3:6]),
        lambda: index.compact(),
        lambda: index.remove(index.ids),
    ):
        change()
        assert same(index.search(queries, 17, backend=backend), index.search(queries, 17))


def test_an_interrupted_upload_goes_on(index, queries, monkeypatch):
    client = Server()
    upsert, calls = client.real.upsert, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return upsert(*args, **kwargs)

    monkeypatch.setattr(client.real, "upsert", failing)
    with pytest.raises(KeyboardInterrupt):
        get_backend("qdrant", index, client=client, batch_size=50)
    client.calls.clear()
    backend = get_backend("qdrant", index, client=client, batch_size=50)
    # three batches of the first shard were noted, the one after it was not
    assert [call["points"].ids[0] for call in client.all("upsert")] == [150, 200, 250, 300, 350]
    assert same(index.search(queries, 50, backend=backend), index.search(queries, 50))


def test_points_that_went_missing_are_noticed(index):
    client = Server()
    backend = get_backend("qdrant", index, client=client)
    client.real.delete(backend.collection, points_selector=models.PointIdsList(points=[7]))
    with pytest.raises(ValueError, match=r"'hf-mel' holds 399 points, and the index 400 entities"):
        get_backend("qdrant", EntityIndex.load(index.folder), client=client)
    assert len(held(get_backend("qdrant", index, client=client, overwrite=True))) == 400


# ---- Collections of something else ----


def test_a_collection_of_something_else_is_not_touched(index, queries):
    client = Server()
    client.real.create_collection(
        "mine", vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT), metadata={"a": 1}
    )
    with pytest.raises(ValueError, match="'mine' was not made from an index. Name another collection"):
        get_backend("qdrant", index, client=client, collection="mine")
    assert client.real.get_collection("mine").config.params.vectors.size == 3
    backend = get_backend("qdrant", index, client=client, collection="mine", overwrite=True)
    assert same(index.search(queries, 5, backend=backend), index.search(queries, 5))


def test_a_collection_of_another_index_is_not_touched(index, tmp_path, caplog):
    client = Server()
    get_backend("qdrant", index, client=client)
    other = vector_index(tmp_path / "other", unit_vectors(400), shard_rows=150)
    with pytest.raises(ValueError, match="holds vectors of another index, or of this one before it was compacted"):
        get_backend("qdrant", other, client=client)
    get_backend("qdrant", other, client=client, overwrite=True)
    assert "and is replaced" in caplog.text
    assert held(get_backend("qdrant", other, client=client))[5]["types"] == []


@pytest.mark.parametrize("change", [lambda place: appended(place, unit_vectors(3)), lambda place: removed(place, [3])])
def test_an_index_older_than_the_collection(index, change):
    """An old copy would miss what was removed from the collection since."""
    client = Server()
    get_backend("qdrant", change(index.folder), client=client)
    with pytest.raises(ValueError, match="is ahead of this index: load the index again"):
        get_backend("qdrant", index, client=client)


# ---- Kept in a folder ----


def test_a_folder_is_filled_once(queries, tmp_path):
    index = vector_index(tmp_path / "index", unit_vectors(40))
    backend = get_backend("qdrant", index, path=tmp_path / "points")
    with pytest.raises(OSError, match="points: .*already accessed"):
        get_backend("qdrant", index, path=tmp_path / "points")
    backend.close()
    again = get_backend("qdrant", index, path=tmp_path / "points", batch_size=1)
    assert again.exact and same(index.search(queries, 9, backend=again), index.search(queries, 9))
    again.close()


# ---- A server ----


def test_a_client_for_a_url(index, monkeypatch):
    """Made without connecting: the class that would is not called."""
    made = []

    def client(**options):
        made.append(options)
        return Server()

    monkeypatch.setattr("qdrant_client.QdrantClient", client)
    options = {"timeout": 60, "prefer_grpc": True}
    backend = get_backend("qdrant", index, url="https://q.example:6333", api_key="secret", client_options=options)
    assert made == [{"url": "https://q.example:6333", "api_key": "secret", **options}]
    assert not backend.exact and not backend.local
    monkeypatch.setenv("QDRANT_API_KEY", "from the environment")
    get_backend("qdrant", index, url="https://q.example:6333")
    assert made[1] == {"url": "https://q.example:6333", "api_key": "from the environment"}


def test_a_collection_for_a_cluster(index):
    client = Server()
    options = {
        "shard_number": 6,
        "replication_factor": 2,
        "on_disk": True,
        "datatype": "float16",
        "hnsw_config": {"m": 32},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
    }
    get_backend("qdrant", index, client=client, collection="people", collection_options=options)
    (made,) = client.all("create_collection")
    assert made["shard_number"] == 6 and made["replication_factor"] == 2
    assert made["hnsw_config"] == models.HnswConfigDiff(m=32)
    assert made["quantization_config"].scalar.type == models.ScalarType.INT8
    vectors = made["vectors_config"]
    assert (vectors.size, vectors.distance, vectors.on_disk) == (16, models.Distance.DOT, True)
    assert vectors.datatype == models.Datatype.FLOAT16
    (indexed,) = client.all("create_payload_index")
    assert indexed[:2] == ("people", "types")


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_how_a_server_searches(index, queries):
    client = Server()
    backend = get_backend("qdrant", index, client=client, search_options={"hnsw_ef": 256})
    index.search(queries[:1], 5, backend=backend)
    assert client.all("query_batch_points")[-1]["requests"][0].params == models.SearchParams(hnsw_ef=256)
    backend = get_backend("qdrant", index, client=client, exact=True)
    assert backend.exact
    assert same(index.search(queries, 5, backend=backend), index.search(queries, 5))
    parameters = client.all("query_batch_points")[-1]["requests"][0].params
    assert parameters.exact and parameters.quantization.ignore
    half = {"collection_options": {"datatype": "float16"}, "collection": "half", "exact": True}
    assert not get_backend("qdrant", index, client=client, **half).exact


def test_an_old_server_keeps_no_metadata(index):
    client = Server()
    create = client.real.create_collection
    client.real.create_collection = lambda *args, metadata, **kwargs: create(*args, **kwargs)
    with pytest.raises(ValueError, match="keeps no metadata of a collection: Qdrant 1.16 or later is needed"):
        get_backend("qdrant", index, client=client)
    assert not client.real.collection_exists("hf-mel")


@pytest.mark.loopback
def test_a_server_that_does_not_answer(index):
    """Port 9 of this machine: nobody listens there."""
    with pytest.raises(OSError, match="http://127.0.0.1:9, collection 'hf-mel': "):
        get_backend(
            "qdrant", index, url="http://127.0.0.1:9", client_options={"check_compatibility": False, "timeout": 5}
        )


# ---- Options ----


@pytest.mark.parametrize(
    "options, message",
    [
        ({"url": "http://localhost", "path": "x"}, "url and path exclude each other"),
        ({"api_key": "x"}, "api_key and client_options are for a server, and there is no url"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"collection_options": {"shards": 3}}, "collection_options has no 'shards'; it has shard_number, "),
        ({"collection_options": {"shard_nmber": 3}}, "no 'shard_nmber'; did you mean 'shard_number'"),
        ({"collection_options": {"datatype": "uint8"}}, "datatype must be float32 or float16, got 'uint8'"),
        ({"search_options": {"hnswef": 3}}, "search_options has no 'hnswef'; did you mean 'hnsw_ef'"),
    ],
)
def test_wrong_options(index, options, message):
    with pytest.raises(ValueError, match=message):
        get_backend("qdrant", index, **options)
