"""Search by Qdrant: embedded in this process, or a server or a cluster, which is the way past one machine."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.utils import logging
from transformers.utils.logging import tqdm

from ....data.problems import nearest
from ..lookup import EntityLookup
from .neighbours import NeighbourBackend, rows_fingerprint, vector_blocks


if TYPE_CHECKING:
    from qdrant_client import QdrantClient


logger = logging.get_logger(__name__)

FORMAT = 1
KEY = "hf_mel"
"""Key of the collection's metadata that describes its content."""
OF_VECTORS = ("on_disk", "datatype")
QUERIES_AT_ONCE = 64
DELETED_AT_ONCE = 10_000
# A restriction is sent as a filter where this is short; else more is fetched and the rest left out.
MOST_IDS, MOST_TYPES = 1_000, 64


class QdrantBackend(NeighbourBackend):
    """
    Searches with Qdrant (`pip install "hf-mel[qdrant]"`): a point for each living row, whose id is the row, with the
    payload `entity_id` and `types`.

    Without `client`, `url` and `path` Qdrant runs in the memory of this process, is filled when it is made, and exact. A
    server or a cluster keeps its collection: later processes find it up to date, upload what was added and delete what was
    removed. An upload that was interrupted goes on where it stopped.

    Args:
        index ([`EntityIndex`]):
            The index to search.
        url (`str`, *optional*):
            A server or cluster, such as `"http://localhost:6333"`; Qdrant 1.16 or later.
        api_key (`str`, *optional*):
            Its key. Defaults to the environment variable `QDRANT_API_KEY`.
        path (`str` or `Path`, *optional*):
            Run in this process, and keep the points in this folder. One process at a time can open it. Qdrant writes it
            with pickle: do not open a folder that you did not write.
        client (`QdrantClient`, *optional*):
            A client of your own, in place of `url`, `api_key` and `path`.
        collection (`str`, *optional*, defaults to `"hf-mel"`):
            Its name. A collection that holds something else than rows of this index is refused.
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace such a collection instead.
        exact (`bool`, *optional*, defaults to `False`):
            Make a server compare with every vector. It always does so within this process. With `datatype="float16"` a
            best row can be missed all the same, and the backend does not call itself exact.
        collection_options (`Mapping`, *optional*):
            Arguments of `QdrantClient.create_collection`, such as `shard_number`, `replication_factor`,
            `write_consistency_factor`, `on_disk_payload`, `hnsw_config` or `quantization_config`; also `on_disk` and
            `datatype` of the vectors. Used when the collection is made.
        search_options (`Mapping`, *optional*):
            Fields of `qdrant_client.models.SearchParams`, such as `hnsw_ef` or `quantization`.
        client_options (`Mapping`, *optional*):
            Further arguments of `QdrantClient` for `url`, such as `timeout` or `prefer_grpc`.
        batch_size (`int`, *optional*, defaults to 512):
            Points uploaded at once.
        num_proposals (`int`, *optional*):
            How many rows are proposed, if not more are wanted; see [`SearchBackend`].
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar during an upload.

    Raises:
        `ImportError`: qdrant-client is not installed. `ValueError`: options that exclude each other or do not exist, or a
            collection of something else. `OSError`: the server does not answer, or refuses.

    Example:

    ```python
    backend = get_backend("qdrant", index, url="https://qdrant.example.org:6333", collection="wikidata-people")
    scores, rows = index.search(queries, k=10, backend=backend)
    ```
    """

    name = "qdrant"

    # ---- Options ----

    def __init__(
        self,
        index: EntityLookup,
        *,
        url: str | None = None,
        api_key: str | None = None,
        path: str | Path | None = None,
        client: "QdrantClient | None" = None,
        collection: str = "hf-mel",
        overwrite: bool = False,
        exact: bool = False,
        collection_options: Mapping[str, Any] | None = None,
        search_options: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
        batch_size: int = 512,
        num_proposals: int | None = None,
        progress: bool = False,
    ):
        super().__init__(index, num_proposals)
        given = [name for name, value in (("client", client), ("url", url), ("path", path)) if value is not None]
        if len(given) > 1:
            raise ValueError(f"qdrant: {' and '.join(given)} exclude each other")
        if url is None and (api_key is not None or client_options):
            raise ValueError("qdrant: api_key and client_options are for a server, and there is no url")
        if batch_size < 1:
            raise ValueError(f"qdrant: batch_size must be at least 1, got {batch_size}")
        self._library = _import_qdrant()
        self.collection, self.batch_size, self.progress = collection, batch_size, progress
        self._private = not given
        self._overwrite = overwrite or self._private
        self._collection_options = _checked_options(self._library, collection_options or {})
        self._where = "qdrant" if url is None else url.rpartition("@")[2]  # without a password
        with self._named_errors():
            self.client = client if client is not None else self._connect(url, api_key, path, client_options or {})
        self.local = _is_local(self.client)
        self.complete, self._asked_exact = self.local, exact
        self._search_params = self._parameters(dict(search_options or {}), exact)
        self._generation: int | None = None
        self._types: dict[str, np.ndarray] | None = None
        self.refresh()

    def _connect(self, url: str | None, api_key: str | None, path: str | Path | None, options: Mapping[str, Any]):
        client = self._library.QdrantClient
        if url is not None:
            return client(url=url, api_key=api_key or os.environ.get("QDRANT_API_KEY"), **options)
        if path is None:
            return client(":memory:")
        try:
            return client(path=str(path))
        except RuntimeError as error:  # its way to say that the folder is locked
            raise OSError(f"{path}: {error}") from error

    def _parameters(self, options: dict[str, Any], exact: bool):
        models = self._library.models
        _check_names("search_options", options, models.SearchParams.model_fields)
        if self.local:
            return None  # it compares with every vector, and warns of parameters that it has no use for
        if exact:
            options = {"exact": True, "quantization": models.QuantizationSearchParams(ignore=True), **options}
        return models.SearchParams(**options) if options else None

    def close(self) -> None:
        """Closes the client; a folder can then be opened by another process."""
        self.client.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turns an error of the server into an `OSError` that names the server."""
        from grpc import RpcError
        from qdrant_client.http.exceptions import ApiException

        try:
            yield
        except (ApiException, RpcError) as error:
            raise OSError(f"{self._where}, collection {self.collection!r}: {error}") from error

    # ---- Up to date ----

    def refresh(self) -> None:
        if self._generation == self.index.generation or not self.index.alive.any():
            return
        with self._named_errors():
            state, held = self._synchronised()
            if held != len(self.index) and self._overwrite:
                self.client.delete_collection(self.collection)
                state, held = self._synchronised()
            if held != len(self.index):
                raise ValueError(
                    f"{self._what} holds {held:,} points, and the index {len(self.index):,} entities: something else "
                    "wrote to it. `overwrite=True` replaces it."
                )
            self._save(state | {"generation": self.index.generation})
            stored = self.client.get_collection(self.collection).config.params.vectors.datatype
        # In half precision the best row may not look it, however many are compared.
        self.complete = self.local or (self._asked_exact and stored in (None, self._library.models.Datatype.FLOAT32))
        self._generation, self._types, self._largest_norm = self.index.generation, None, state["largest_norm"]
        # What is in this process alone is replaced whenever it has to be; another's data only once, and when told to.
        self._overwrite = self._private

    def _synchronised(self) -> tuple[dict[str, Any], int]:
        """Makes the collection hold the living rows; what is noted of it, and how many points it then holds."""
        state = self._state() or self._create()
        self._upload(state)
        self._delete_removed()
        return state, self.client.count(self.collection, exact=True).count

    @property
    def _what(self) -> str:
        return f"{self._where}: the collection {self.collection!r}"

    def _state(self) -> dict[str, Any] | None:
        """Returns the description of what the collection holds of this index; `None` if the collection has to be created."""
        if not self.client.collection_exists(self.collection):
            return None
        metadata = self.client.get_collection(self.collection).config.metadata or {}
        state, problem = metadata.get(KEY), None
        if state is None:
            problem = "was not made from an index"
        elif state["format"] != FORMAT:
            problem = f"was written in format {state['format']}, and this version reads format {FORMAT}"
        elif state["rows"] > self.index.num_rows or state["generation"] > self.index.generation:
            problem = "is ahead of this index: load the index again if it was changed meanwhile"
        elif state["fingerprint"] != rows_fingerprint(self.index, state["rows"]):
            problem = "holds vectors of another index, or of this one before it was compacted"
        if problem is None:
            return state
        if not self._overwrite:
            raise ValueError(
                f"{self._what} {problem}. Name another collection, or give `overwrite=True` to replace it."
            )
        if not self._private:
            logger.warning(f"{self._what} {problem}, and is replaced")
        self.client.delete_collection(self.collection)
        return None

    def _create(self) -> dict[str, Any]:
        models = self._library.models
        state = {"format": FORMAT, "rows": 0, "generation": 0, "largest_norm": 0.0}
        state["fingerprint"] = rows_fingerprint(self.index, 0)
        of_vectors = {name: value for name, value in self._collection_options.items() if name in OF_VECTORS}
        others = {name: value for name, value in self._collection_options.items() if name not in OF_VECTORS}
        vectors = models.VectorParams(size=self.index.manifest.dim, distance=models.Distance.DOT, **of_vectors)
        # Plain dictionaries, such as come from a file, become what the client knows how to send.
        made = models.CreateCollection(vectors=vectors, **others)
        options = {name: getattr(made, name) for name in others}
        self.client.create_collection(self.collection, vectors_config=vectors, metadata={KEY: state}, **options)
        if not self.local:
            self.client.create_payload_index(self.collection, "types", models.PayloadSchemaType.KEYWORD)
        if KEY not in (self.client.get_collection(self.collection).config.metadata or {}):
            self.client.delete_collection(self.collection)
            raise ValueError(f"{self._where} keeps no metadata of a collection: Qdrant 1.16 or later is needed")
        return state

    def _save(self, state: dict[str, Any]) -> None:
        self.client.update_collection(self.collection, metadata={KEY: state})

    def _upload(self, state: dict[str, Any]) -> None:
        """Adds the rows that the collection does not have, and notes from time to time how far it has come."""
        first, total = state["rows"], self.index.num_rows
        with tqdm(total=total - first, desc=f"Uploading to {self.collection}", disable=not self.progress) as bar:
            for begin, vectors in vector_blocks(self.index, first):
                for start in range(0, len(vectors), self.batch_size):
                    part = vectors[start : start + self.batch_size]
                    self._upsert(np.arange(begin + start, begin + start + len(part)), part)
                    bar.update(len(part))
                fingerprint = rows_fingerprint(self.index, begin + len(vectors))
                state["largest_norm"] = max(state["largest_norm"], float(np.linalg.norm(vectors, axis=1).max()))
                if fingerprint is not None:  # a change to the index ended here: what is noted can be checked
                    state |= {"rows": begin + len(vectors), "fingerprint": fingerprint}
                    self._save(state)

    def _upsert(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        living = self.index.alive[rows]
        rows, vectors = rows[living], vectors[living]
        if not len(rows):
            return
        ids, types = self.index.ids, self.index.types(rows)
        payloads = [{"entity_id": ids[row], "types": list(of)} for row, of in zip(rows.tolist(), types, strict=True)]
        points = self._library.models.Batch(ids=rows.tolist(), vectors=vectors.tolist(), payloads=payloads)
        self.client.upsert(self.collection, points=points, wait=True)

    def _delete_removed(self) -> None:
        removed = np.flatnonzero(~self.index.alive).tolist()
        for begin in range(0, len(removed), DELETED_AT_ONCE):
            points = self._library.models.PointIdsList(points=removed[begin : begin + DELETED_AT_ONCE])
            self.client.delete(self.collection, points_selector=points, wait=True)

    # ---- Search ----

    def _nearest(self, queries: np.ndarray, k: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        models = self._library.models
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        common = {"limit": k, "filter": self._filter(mask), "params": self._search_params, "with_payload": False}
        for begin in range(0, len(queries), QUERIES_AT_ONCE):
            part = queries[begin : begin + QUERIES_AT_ONCE]
            requests = [models.QueryRequest(query=query.tolist(), **common) for query in part]
            with self._named_errors():
                answers = self.client.query_batch_points(self.collection, requests=requests)
            for place, answer in enumerate(answers, start=begin):
                found = len(answer.points)
                rows[place, :found] = [point.id for point in answer.points]
                scores[place, :found] = [point.score for point in answer.points]
        return scores, rows

    def _filter(self, mask: np.ndarray):
        """A restriction as Qdrant's filter, where it can be said in few words."""
        models, alive = self._library.models, self.index.alive
        excluded = np.flatnonzero(alive & ~mask)
        if not len(excluded):
            return None
        types = self._covering_types(mask)
        if types is not None:
            return models.Filter(must=[models.FieldCondition(key="types", match=models.MatchAny(any=types))])
        if len(excluded) <= MOST_IDS and not self.local:  # which would look through the list once for each point
            return models.Filter(must_not=[models.HasIdCondition(has_id=excluded.tolist())])
        return None

    def _covering_types(self, mask: np.ndarray) -> list[str] | None:
        """The types whose entities are exactly those of the mask, if there are such, and few."""
        if self._types is None:
            rows = np.flatnonzero(self.index.alive)
            found: dict[str, list[int]] = {}
            for row, types in zip(rows.tolist(), self.index.types(rows), strict=True):
                for name in types:
                    found.setdefault(name, []).append(row)
            largest_first = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
            self._types = {name: np.array(of) for name, of in largest_first}
        missing, chosen = mask.copy(), []
        for name, rows in self._types.items():
            if mask[rows].all() and missing[rows].any():
                missing[rows] = False
                chosen.append(name)
        return chosen if not missing.any() and len(chosen) <= MOST_TYPES else None


def _is_local(client: "QdrantClient") -> bool:
    """Returns `True` if a client runs Qdrant in this process."""
    options = client.init_options
    return options.get("location") == ":memory:" or options.get("path") is not None


def _checked_options(library, options: Mapping[str, Any]) -> dict[str, Any]:
    taken = {"vectors", "sparse_vectors", "metadata"}
    valid = [name for name in library.models.CreateCollection.model_fields if name not in taken]
    _check_names("collection_options", options, [*valid, *OF_VECTORS])
    if options.get("datatype") not in (None, "float32", "float16"):
        raise ValueError(f"qdrant: datatype must be float32 or float16, got {options['datatype']!r}")
    return dict(options)


def _check_names(what: str, given: Mapping[str, Any], valid) -> None:
    unknown = [name for name in given if name not in valid]
    if unknown:
        hints = ", ".join(f"{name!r}{nearest(name, valid)}" for name in unknown)
        raise ValueError(f"qdrant: {what} has no {hints}; it has {', '.join(valid)}")


def _import_qdrant():
    try:
        import qdrant_client
    except ImportError as error:
        raise ImportError("the backend 'qdrant' needs qdrant-client: pip install \"hf-mel[qdrant]\"") from error
    return qdrant_client
