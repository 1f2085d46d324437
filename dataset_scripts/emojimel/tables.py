"""Writes the tables of EmojiMEL as Parquet in the layout that `load_dataset` reads."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from hf_mel.data import ENTITY_FEATURES, SPLITS
from hf_mel.data.emojimel import EMOJIMEL_FEATURES


ROWS_PER_GROUP = 500


def write_dataset(mentions: dict[str, list[dict]], entities: list[dict], folder: Path) -> list[Path]:
    """One Parquet file a split; the same rows give the same bytes with the same version of pyarrow."""
    files = [_write(mentions[split], EMOJIMEL_FEATURES, folder / "mentions" / _shard(split)) for split in SPLITS]
    return [*files, _write(entities, ENTITY_FEATURES, folder / "entities" / _shard("train"))]


def _shard(split: str) -> str:
    return f"{split}-00000-of-00001.parquet"


def _write(rows: list[dict], features: Features, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    pq.write_table(table, path, compression="zstd", compression_level=19, row_group_size=ROWS_PER_GROUP)
    return path
