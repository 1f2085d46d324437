"""Stored shards of an index: vectors and columns by row, read from a memory map."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ...models.encodings import cat_rows, flatten, select_rows, unflatten, whole
from .manifest import SHARD_FOLDER, Manifest, Shard, write_bytes
from .precision import is_scale, restore_tensor, stored_names


SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        ("aliases", pa.list_(pa.string())),
        ("description", pa.string()),
        ("attributes", pa.string()),
        ("types", pa.list_(pa.string())),
        ("image_status", pa.string()),
        ("thumbnail", pa.binary()),
        ("digest", pa.string()),
    ]
)
"""Columns of a stored entity. `digest` is that of the record it came from, picture included."""

# Few enough that one entity is read in a millisecond.
_ROW_GROUP = 128
_KEPT_GROUPS = 512


class Store:
    """
    The rows of an index. Every file is open as soon as this is made, so that a reader keeps what it has when a writer
    removes the files.

    Args:
        folder (`Path`): The folder of the index.
        manifest ([`Manifest`]): What lies in it.

    Raises:
        `ValueError`: a file is damaged; it is named.
    """

    def __init__(self, folder: Path, manifest: Manifest):
        self.folder = folder
        self.manifest = manifest
        self.num_rows = manifest.num_rows
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self._vectors = [_open_vectors(folder / shard.vectors) for shard in manifest.shards]
        self._tables = [_open_table(folder / shard.table) for shard in manifest.shards]
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._groups: OrderedDict[tuple[int, int, tuple[str, ...]], pa.Table] = OrderedDict()

    # ---- Vectors ----

    def take(self, rows: np.ndarray, names: Sequence[str] | None = None) -> dict[str, torch.Tensor]:
        """Tensors of rows, restored, in the order of `rows`; only the pages that hold them are read."""
        rows = self._checked(rows)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(shards, kind="stable")
        taken = self.empty(len(rows), names)
        for part in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1) if len(rows) else ():
            shard = int(shards[part[0]])
            local = torch.from_numpy(rows[part] - self._starts[shard])
            for name, value in taken.items():
                stored = self._vectors[shard]
                some = {found: stored[found][local] for found in stored_names(name, stored)}
                value[torch.from_numpy(part)] = restore_tensor(some, name)
        return taken

    def range(self, first: int, stop: int, names: Sequence[str] | None = None) -> dict[str, torch.Tensor]:
        """Tensors of consecutive rows, restored; those of one shard in full precision are not copied."""
        parts: list[dict[str, torch.Tensor]] = []
        for shard, begin in enumerate(self._starts[:-1].tolist()):
            low, high = max(first, begin), min(stop, int(self._starts[shard + 1]))
            if low < high:
                some = {name: value[low - begin : high - begin] for name, value in self._vectors[shard].items()}
                parts.append({name: restore_tensor(some, name) for name in self.names(names)})
        return cat_rows(parts) if parts else self.empty(0, names)

    def stored(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """All tensors of rows as they are stored, scales included."""
        rows = self._checked(rows)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        parts = []
        for shard in np.unique(shards):  # ascending, as `rows` has to be
            local = torch.from_numpy(rows[shards == shard] - self._starts[shard])
            parts.append(select_rows(self._vectors[shard], local))
        return cat_rows(parts)

    @cached_property
    def whole_names(self) -> list[str]:
        """Names of the tensors of `model.encode`, without those of single modalities."""
        return list(flatten(whole(unflatten(self.manifest.tensors))))

    def names(self, names: Sequence[str] | None = None) -> list[str]:
        """The tensors asked for, by default all."""
        return list(self.manifest.tensors) if names is None else list(names)

    def empty(self, count: int, names: Sequence[str] | None = None) -> dict[str, torch.Tensor]:
        """Tensors to be filled."""
        shapes = {name: self.manifest.tensors[name] for name in self.names(names)}
        return {name: torch.zeros(count, *shape, dtype=self._dtype(name)) for name, shape in shapes.items()}

    def _dtype(self, name: str) -> torch.dtype:
        if not self._vectors:
            return torch.float32
        dtype = self._vectors[0][name].dtype
        return torch.float32 if dtype.is_floating_point or dtype == torch.int8 else dtype

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not (0 <= rows.min() and rows.max() < self.num_rows):
            raise IndexError(f"rows must be within 0..{self.num_rows - 1}, got {rows.min()}..{rows.max()}")
        return rows

    # ---- Columns ----

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column, kept after the first time."""
        if name not in self._columns:
            parts = [table.read(columns=[name]).column(name) for table in self._tables]
            chunks = [chunk for part in parts for chunk in part.chunks]
            self._columns[name] = pa.chunked_array(chunks, type=SCHEMA.field(name).type)
        return self._columns[name]

    def records(self, rows: np.ndarray, names: Sequence[str]) -> list[dict]:
        """Some columns of some rows, read from their row groups alone."""
        records = []
        for row in self._checked(rows).tolist():
            shard = int(np.searchsorted(self._starts, row, side="right")) - 1
            local = row - int(self._starts[shard])
            table = self._group(shard, local // _ROW_GROUP, tuple(names))
            records.append(table.slice(local % _ROW_GROUP, 1).to_pylist()[0])
        return records

    def _group(self, shard: int, number: int, names: tuple[str, ...]) -> pa.Table:
        key = shard, number, names
        if key not in self._groups:
            self._groups[key] = self._tables[shard].read_row_group(number, columns=list(names))
            if len(self._groups) > _KEPT_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]

    def table(self, rows: np.ndarray) -> pa.Table:
        """All columns of rows, which ascend."""
        rows = self._checked(rows)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        parts = [
            self._tables[shard].read().take(pa.array(rows[shards == shard] - self._starts[shard]))
            for shard in np.unique(shards)
        ]
        return pa.concat_tables(parts or [SCHEMA.empty_table()])


def _open_vectors(path: Path) -> dict[str, torch.Tensor]:
    """Memory-mapped tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy it again, or build the index again") from error


def _open_table(path: Path) -> pq.ParquetFile:
    try:
        # Mapped by torch, which keeps no file open: an index of many shards would run out of open files.
        size = path.stat().st_size
        content = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        return pq.ParquetFile(pa.BufferReader(pa.py_buffer(content.numpy())))
    except (pa.ArrowInvalid, OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy it again, or build the index again") from error


# ---- Writing ----


def write_shard(folder: Path, number: int, tensors: dict[str, torch.Tensor], table: pa.Table) -> Shard:
    """
    Writes the two files of a shard.

    Args:
        folder (`Path`): The folder of the index.
        number (`int`): The number of the shard.
        tensors (`dict[str, torch.Tensor]`): As they are to be stored; see `precision.reduce_tensors`.
        table (`pyarrow.Table`): With the columns of `SCHEMA`.
    """
    name = f"{number:06d}"
    (folder / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    vectors, columns = save(tensors), _parquet(table)
    shard = Shard(
        name=name,
        rows=table.num_rows,
        vector_bytes=len(vectors),
        table_bytes=len(columns),
        vector_sha256=hashlib.sha256(vectors).hexdigest(),
        table_sha256=hashlib.sha256(columns).hexdigest(),
        images=count_states(table.column("image_status").to_pylist()),
    )
    write_bytes(folder / shard.vectors, vectors)
    write_bytes(folder / shard.table, columns)
    return shard


def row_shapes(folder: Path, shard: Shard) -> dict[str, list[int]]:
    """The shape of a row of each tensor of a shard."""
    tensors = _open_vectors(folder / shard.vectors)
    return {name: list(value.shape[1:]) for name, value in tensors.items() if not is_scale(name)}


def count_states(states: Sequence[str]) -> dict[str, int]:
    """Counts the records with each state of a picture, by name."""
    return {state: states.count(state) for state in sorted(set(states))}


def add_states(counts: Sequence[dict[str, int]], less: dict[str, int] | None = None) -> dict[str, int]:
    """The sum of counts, without those of removed entities."""
    names = sorted({name for count in counts for name in count})
    total = {name: sum(count.get(name, 0) for count in counts) - (less or {}).get(name, 0) for name in names}
    return {name: number for name, number in total.items() if number}


def _parquet(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    codecs = {_leaf(field): "zstd" for field in SCHEMA} | {"thumbnail": "none"}  # JPEG is compressed already
    dictionaries = ["types.list.element", "image_status"]
    with pq.ParquetWriter(sink, SCHEMA, compression=codecs, use_dictionary=dictionaries) as writer:
        writer.write_table(table.cast(SCHEMA), row_group_size=_ROW_GROUP)
    return sink.getvalue()


def _leaf(field: pa.Field) -> str:
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
