"""From rows to the shards of one table, which can be left at any moment and taken up again."""

from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
from datasets import Features
from datasets.utils import tqdm

from ..shards import ShardWriter, file_digest
from ..tables import PictureLog, PictureRule, arrow_table, chunks
from .pool import Workers
from .state import BuildState, Shard, joined, rows_digest


def write_table(
    table: str, rows: Iterator[dict], features: Features, rule: PictureRule, state: BuildState, workers: Workers,
    max_shard_bytes: int, progress: tqdm,
) -> None:  # fmt: skip
    """Writes what is not written yet of a table, and notes each shard in the state.

    Args:
        table (`str`): `"mentions/train"`, say: folder and beginning of the file names.
        rows (`Iterator[dict]`): all rows, those that are written too.
        features (`Features`): the columns.
        rule ([`PictureRule`]): what happens to the pictures.
        state ([`BuildState`]): what is written already.
        workers ([`Workers`]): who opens the pictures.
        max_shard_bytes (`int`): when a shard is full.
        progress (`tqdm`): advanced by the rows.
    """
    progress.update(state.rows(table))
    shards = _Shards(table, state)
    writer = ShardWriter(
        features,
        lambda number: state.folder / f"{table}-{number:05d}.parquet",
        max_shard_bytes=max_shard_bytes,
        first=len(state.tables.get(table, [])),
        on_close=shards.close,
    )
    try:
        tasks = ((chunk, features, rule) for chunk in chunks(islice(rows, state.rows(table), None)))
        for part, size, log, digest in workers.map(convert, tasks):
            shards.add(len(part), size, log, digest)
            writer.write(part)
            progress.update(len(part))
        shards.last = True
        writer.finish()
    finally:
        writer.abandon()


def convert(rows: list[dict], features: Features, rule: PictureRule) -> tuple[pa.Table, int, PictureLog, str]:
    """Work of one process: returns rows as a table with their pictures, its size, the findings, and a digest of the rows."""
    digest = rows_digest(rows)  # before the pictures are read: one that changes meanwhile is read again next time
    table, log = arrow_table(rows, features, rule)
    return table, table.nbytes, log, digest


class _Shards:
    """Adds up what goes into the shard that is being written."""

    def __init__(self, table: str, state: BuildState):
        self.table = table
        self.state = state
        self.last = False
        self._begin()

    def _begin(self) -> None:
        self._rows = self._size = 0
        self._log = PictureLog()
        self._digests: list[str] = []

    def add(self, rows: int, size: int, log: PictureLog, digest: str) -> None:
        self._rows += rows
        self._size += size
        self._log.update(log)
        self._digests.append(digest)

    def close(self, path) -> None:
        shard = Shard(
            file=path.relative_to(self.state.folder).as_posix(),
            rows=self._rows,
            file_bytes=path.stat().st_size,
            table_bytes=self._size,
            sha256=file_digest(path),
            digest=joined(self._digests),
            last=self.last,
            by_status=dict(self._log.by_status),
            broken=self._log.broken,
        )
        self.state.add(self.table, shard)
        self._begin()
