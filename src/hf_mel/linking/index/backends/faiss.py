"""Search by faiss: a flat list, inverted lists or a graph, kept beside the index."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from transformers.utils import logging
from transformers.utils.logging import tqdm

from ....data.problems import nearest
from ..folder import writing
from ..lookup import EntityLookup
from ..manifest import write_bytes
from .neighbours import NeighbourBackend, rows_fingerprint, stored_vectors, vector_blocks


logger = logging.get_logger(__name__)

KINDS = ("flat", "ivf", "hnsw")
STORAGE = {"float32": "Flat", "float16": "SQfp16", "int8": "SQ8"}
FORMAT = 1
SEED = 1234
# With fewer points a list's centre is not worth much, and faiss complains; more than this many change it little.
POINTS_PER_LIST, TRAINING_POINTS_PER_LIST = 39, 256
# A restriction makes a search look at more of the lists or of the graph, at most so many times as much.
WIDEST = 16


class FaissBackend(NeighbourBackend):
    """
    Searches with faiss (`pip install "hf-mel[faiss]"`).

    The faiss index is made by one thread from fixed seeds, so that it is the same each time. It is kept in the folder
    `backends/` of the entity index and read again as long as its rows are those of the index; new rows are added to it,
    and removed ones are passed over. Once there are twice as many rows as it was trained on, it is made anew.

    Args:
        index ([`EntityIndex`]):
            The index to search.
        kind (`str`, *optional*, defaults to `"flat"`):
            `"flat"` compares with every row, and is exact. `"ivf"` compares with the rows of the `nprobe` nearest of
            `nlist` lists. `"hnsw"` walks a graph; it is the fastest, and takes the longest to build.
        storage (`str`, *optional*, defaults to `"float32"`):
            How faiss stores a number: `"float32"`, `"float16"` or `"int8"`. Only with `"float32"` is `"flat"` exact.
        nlist (`int`, *optional*):
            Lists of `"ivf"`. Defaults to four times the square root of the number of rows. There are never more than one
            for 39 rows: with fewer rows, the log says how many there are instead.
        nprobe (`int`, *optional*):
            Lists that a query looks into. Defaults to a quarter of all, and at least 8. How many it takes depends on the
            data: [`measure_recall`] tells.
        m (`int`, *optional*, defaults to 32):
            Neighbours of a row in the graph of `"hnsw"`.
        ef_construction (`int`, *optional*, defaults to 200):
            Rows looked at to place a row in the graph.
        ef_search (`int`, *optional*):
            Rows kept on a walk. Defaults to twice the rows asked for, and at least 128.
        num_proposals (`int`, *optional*):
            How many rows are proposed, if not more are wanted; see [`SearchBackend`].
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar while the index is built.

    Raises:
        `ImportError`: faiss is not installed. `ValueError`: an option that the kind does not have, or a wrong value.

    Example:

    ```python
    backend = get_backend("faiss", index, kind="hnsw")
    scores, rows = index.search(queries, k=10, backend=backend)
    ```
    """

    name = "faiss"
    _filters_itself = True

    # ---- Options ----

    def __init__(
        self,
        index: EntityLookup,
        *,
        kind: str = "flat",
        storage: str = "float32",
        nlist: int | None = None,
        nprobe: int | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
        ef_search: int | None = None,
        num_proposals: int | None = None,
        progress: bool = False,
    ):
        super().__init__(index, num_proposals)
        for option, value, valid in (("kind", kind, KINDS), ("storage", storage, tuple(STORAGE))):
            if value not in valid:
                raise ValueError(
                    f"faiss: unknown {option} {value!r}{nearest(value, valid)}; it is one of {', '.join(valid)}"
                )
        given = {"nlist": nlist, "nprobe": nprobe, "m": m, "ef_construction": ef_construction, "ef_search": ef_search}
        used = {"flat": (), "ivf": ("nlist", "nprobe"), "hnsw": ("m", "ef_construction", "ef_search")}[kind]
        for option, value in given.items():
            if value is not None and option not in used:
                raise ValueError(
                    f"faiss: {option} is no option of kind {kind!r}, which has {', '.join(used) or 'none'}"
                )
            if value is not None and value < 1:
                raise ValueError(f"faiss: {option} must be at least 1, got {value}")
        self.kind, self.storage, self.progress = kind, storage, progress
        self.complete = kind == "flat" and storage == "float32"
        self._nlist, self._nprobe, self._ef_search = nlist, nprobe, ef_search
        self._m, self._ef_construction = m or 32, ef_construction or 200
        self._library = _import_faiss()
        self._faiss = None
        self._state: dict = {}
        self.refresh()

    @property
    def file(self) -> Path | None:
        """Path of the file that describes the faiss file of the index; `None` for an index in a temporary folder."""
        if self.index._temporary is not None:
            return None
        options = {
            "flat": "",
            "ivf": f"-nlist{self._nlist or 'auto'}",
            "hnsw": f"-m{self._m}-ef{self._ef_construction}",
        }
        return Path(self.index.folder) / "backends" / f"faiss-{self.kind}-{self.storage}{options[self.kind]}.json"

    @property
    def size_bytes(self) -> int:
        """Bytes of the faiss index, as written to a file."""
        if self._faiss is None:
            return 0
        return len(self._library.serialize_index(self._faiss))

    # ---- Up to date ----

    def refresh(self) -> None:
        if not self.index.alive.any() or self._state.get("generation") == self.index.generation:
            return
        if self._faiss is None:
            self._read()
        rows = self._state.get("rows", 0)
        kept = (
            self._faiss is not None
            and self._faiss.ntotal == rows > 0  # not so if adding was interrupted
            and self._state["fingerprint"] == rows_fingerprint(self.index, rows)
        )
        # What was trained on half of what there is now was trained on something else.
        if not kept or (self._needs_training and self.index.num_rows > 2 * self._state["trained_on"]):
            self._faiss, self._state, rows = self._empty(), {}, 0
        with one_thread(self._library):
            self._add(rows)
        changed = rows < self.index.num_rows
        self._state |= {
            "format": FORMAT,
            "generation": self.index.generation,
            "rows": self.index.num_rows,
            "fingerprint": rows_fingerprint(self.index, self.index.num_rows),
        }
        if changed:
            self._write()
        self._largest_norm = self._state["largest_norm"]

    @property
    def _needs_training(self) -> bool:
        return self.kind == "ivf" or self.storage == "int8"

    def _empty(self):
        """A faiss index without rows."""
        description = {"flat": "", "ivf": f"IVF{self._lists()},", "hnsw": f"HNSW{self._m},"}[self.kind]
        description += STORAGE[self.storage]
        made = self._library.index_factory(self.index.manifest.dim, description, self._library.METRIC_INNER_PRODUCT)
        if self.kind == "ivf":
            made.cp.seed = SEED
            made.cp.min_points_per_centroid = 1  # `_lists` has seen to it, and has said so
        elif self.kind == "hnsw":
            made.hnsw.efConstruction = self._ef_construction
        return made

    def _lists(self) -> int:
        """Returns the number of lists: the number asked for, but no more than there are rows for."""
        rows = int(self.index.alive.sum())
        most = max(1, rows // POINTS_PER_LIST)
        if self._nlist is not None and self._nlist > most:
            logger.warning(
                f"faiss: nlist={self._nlist} is too many for {rows:,} rows, of which a list needs {POINTS_PER_LIST} "
                f"to train on: there will be {most}."
            )
        return min(self._nlist or max(1, round(4 * rows**0.5)), most)

    def _train(self) -> None:
        """Trains on living rows: all, or as many as faiss makes use of, drawn from a fixed seed."""
        rows = np.flatnonzero(self.index.alive)
        most = TRAINING_POINTS_PER_LIST * max(256, getattr(self._faiss, "nlist", 1))
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False))
        if len(rows):
            self._faiss.train(stored_vectors(self.index, rows).numpy())
        self._state["trained_on"] = self.index.num_rows

    def _add(self, first: int) -> None:
        """Adds the rows from `first` on."""
        if first == self.index.num_rows:
            return
        if not self._faiss.is_trained or (self._needs_training and not first):
            self._train()
        largest = self._state.get("largest_norm", 0.0)
        with tqdm(total=self.index.num_rows - first, desc=f"faiss {self.kind}", disable=not self.progress) as bar:
            for _, vectors in vector_blocks(self.index, first):
                self._faiss.add(vectors)
                largest = max(largest, float(np.linalg.norm(vectors, axis=1).max()))
                bar.update(len(vectors))
        self._state["largest_norm"] = largest

    # ---- Files ----

    def _read(self) -> None:
        """Takes up what was written, if it is whole."""
        if self.file is None or not self.file.exists():
            return
        try:
            state = json.loads(self.file.read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ValueError(f"its format is {state['format']}, this version reads {FORMAT}")
            path = self.file.parent / Path(state["file"]).name
            if _sha256(path) != state["sha256"]:  # faiss itself would read on, into whatever memory there is
                raise ValueError(f"{path.name} is not as it was written")
            self._faiss = self._library.read_index(str(path))
            self._state = state
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # Nothing is lost: it is made from the vectors of the index.
            logger.warning(f"{self.file}: cannot be read, and is made anew: {error}")
            self._faiss, self._state = None, {}

    def _write(self) -> None:
        """Keeps the faiss index beside the vectors. The small file that names it comes last, and takes effect at once."""
        if self.file is None:
            return
        path = self.file.with_suffix(f".{self._state['fingerprint'][:16]}.faiss")
        part = path.with_suffix(".part")
        try:
            with writing(self.index.folder):
                self.file.parent.mkdir(exist_ok=True)
                self._library.write_index(self._faiss, str(part))
                self._state |= {"file": path.name, "sha256": _sha256(part), "faiss": self._library.__version__}
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                os.replace(part, path)
                write_bytes(self.file, (json.dumps(self._state, indent=1) + "\n").encode())
                for old in (*self.file.parent.glob(f"{self.file.stem}.*.faiss"), *self.file.parent.glob("*.part")):
                    if old != path:
                        old.unlink()
        except (OSError, RuntimeError) as error:
            # A folder that cannot be written to can be searched all the same.
            logger.warning(f"{self.file}: not written, so that the next process has to build it again: {error}")

    # ---- Search ----

    def _nearest(self, queries: np.ndarray, k: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        share = float(mask.mean())
        options = {}
        if share < 1:
            options["sel"] = self._library.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        wider = min(WIDEST, 1 / share)
        if self.kind == "flat":
            return self._faiss.search(queries, k, params=self._library.SearchParameters(**options))
        if self.kind == "hnsw":
            options["efSearch"] = round(wider * max(self._ef_search or max(128, 2 * k), k))
            return self._faiss.search(queries, k, params=self._library.SearchParametersHNSW(**options))
        probes = round(wider * (self._nprobe or max(8, self._faiss.nlist // 4)))
        return self._probe(queries, min(k, int(mask.sum())), probes, options)

    def _probe(self, queries: np.ndarray, k: int, probes: int, options: dict) -> tuple[np.ndarray, np.ndarray]:
        """Looks into `probes` lists, and into more of them for queries whose lists hold too few rows."""
        lists = self._faiss.nlist
        scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        pending = np.arange(len(queries))
        while len(pending):
            parameters = self._library.SearchParametersIVF(nprobe=min(probes, lists), **options)
            scores[pending], rows[pending] = self._faiss.search(queries[pending], k, params=parameters)
            pending = pending[(rows[pending] < 0).any(axis=1)] if probes < lists else pending[:0]
            probes *= 4
        return scores, rows


@contextmanager
def one_thread(library) -> Iterator[None]:
    """Several threads would place rows in a graph in an order of their own."""
    threads = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(threads)


def _import_faiss():
    try:
        import faiss
    except ImportError as error:
        raise ImportError("the backend 'faiss' needs faiss: pip install \"hf-mel[faiss]\"") from error
    return faiss


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
