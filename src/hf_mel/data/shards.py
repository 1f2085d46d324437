"""Parquet in shards, as the Hub's viewer likes it: small row groups, a page index, pictures inside."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from datasets import Image as ImageFeature

from .tables import CHUNK


_ROW_OF = {"mentions": "a mention", "entities": "an entity", "wikidata": "an entity"}
_ROW_OF |= {"corpus": "an entity", "queries": "a mention", "qrels": "a mention and its entity"}


class ShardWriter:
    """Writes tables one after the other, and begins a new file when the last one has grown large enough.

    Where a file ends depends on nothing but the tables, so the same tables give the same bytes.

    Args:
        features (`Features`): the columns.
        path_of (`Callable[[int], Path]`): where the shard of this number goes.
        max_shard_bytes (`int`, *optional*): a shard that is not smaller is closed; by default there is one.
        first (`int`, *optional*, defaults to 0): the number of the first shard.
        on_close (`Callable[[Path], None]`, *optional*): called with each shard as soon as it is whole.
        row_group_size (`int`, *optional*, defaults to 100): rows of a row group; more where rows have no pictures.
    """

    def __init__(
        self, features: Features, path_of: Callable[[int], Path], *, max_shard_bytes: int | None = None, first: int = 0,
        on_close: Callable[[Path], None] | None = None, row_group_size: int = CHUNK,
    ):  # fmt: skip
        self.schema = features.arrow_schema
        self.paths: list[Path] = []
        self._path_of = path_of
        self._max_shard_bytes = max_shard_bytes
        self._first = first
        self._on_close = on_close
        self._row_group_size = row_group_size
        self._options = _writer_options(features)
        self._file = self._writer = None

    def write(self, table: pa.Table) -> None:
        """Adds a table, as row groups of at most `row_group_size` rows."""
        if self._writer is None:
            self._open()
        self._writer.write_table(table.cast(self.schema), row_group_size=self._row_group_size)
        if self._max_shard_bytes is not None and self._file.tell() >= self._max_shard_bytes:
            self._close()

    def finish(self) -> list[Path]:
        """Closes the last shard. If nothing was written there is one without rows."""
        if self._writer is None and not self.paths and self._first == 0:
            self._open()
        if self._writer is not None:
            self._close()
        return self.paths

    def abandon(self) -> None:
        """Closes the file that is being written, which is of no use then."""
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            self._writer = None

    def _open(self) -> None:
        path = self._path_of(self._first + len(self.paths))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "wb")  # noqa: SIM115 (closed in `_close`)
        self._writer = pq.ParquetWriter(self._file, self.schema, **self._options)
        self.paths.append(path)

    def _close(self) -> None:
        self.abandon()
        if self._on_close is not None:
            self._on_close(self.paths[-1])


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(config: str, digests: Iterable[str]) -> str:
    """Describes a config for the YAML of a card: what a row is, and a digest of its files.

    `datasets` keeps what it has read of a folder under the folder's name and this part of the card. Without a digest, a
    folder that was built again, or another one of the same name, would give the rows of the first.
    """
    content = hashlib.sha256("".join(digests).encode()).hexdigest()
    return f"One row {_ROW_OF[config]}. Content: {content[:32]}"


def _writer_options(features: Features) -> dict:
    """Pictures are compressed already, and their first and last bytes say nothing: no codec, dictionary or statistics."""
    pictures = {name for name, feature in features.items() if isinstance(feature, ImageFeature)}
    leaves = [leaf for leaf in _leaves(features.arrow_schema) if leaf.removesuffix(".bytes") not in pictures]
    codecs = dict.fromkeys(leaves, "zstd") | {f"{name}.bytes": "none" for name in pictures}
    return {"compression": codecs, "use_dictionary": leaves, "write_statistics": leaves, "write_page_index": True}


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns that Parquet stores, by their dotted paths."""
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, schema).close()
    stored = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [stored.column(number).path for number in range(len(stored))]
