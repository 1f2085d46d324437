"""Checks of a build: of its rows before pictures are opened, and of the Parquet files."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, DatasetInfo, Features, SplitDict, SplitInfo
from datasets.table import InMemoryTable

from ..checks import check_mentions
from ..fingerprint import content_fingerprint
from ..knowledge_base import KnowledgeBase
from ..layouts import RawBenchmark
from ..schema import ENTITY_FEATURES
from ..shards import described
from ..tables import PictureRule, table_in_memory
from .state import BuildState


_PICTURE_COLUMNS = ("image", "image_status")


def check_rows(raw: RawBenchmark, features: Features) -> tuple[dict, dict[str, str]]:
    """Refuses what cannot be used, by its texts alone, before hours are spent on pictures.

    Returns:
        `tuple[dict, dict[str, str]]`: what [`check_mentions`] counts with `entities`, `text_field` and the number of
        distinct `sentences`; and by table a fingerprint of its texts.

    Raises:
        `ValueError`: lists what is wrong with the entities, or with the mentions.
    """
    entities = _texts(raw.entities(), ENTITY_FEATURES)
    kb = KnowledgeBase(entities)
    mentions = DatasetDict({split: _texts(rows, features) for split, rows in raw.mentions.items()})
    counts = check_mentions(mentions, kb)
    sentences = {sentence for table in mentions.values() for sentence in table["text"][:]}
    counts |= {"entities": len(kb), "text_field": kb.text_field, "sentences": len(sentences)}
    fingerprints = {f"mentions/{split}": _fingerprint(table) for split, table in mentions.items()}
    return counts, {**fingerprints, "entities/train": _fingerprint(entities)}


def _texts(rows: Iterable[dict], features: Features) -> Dataset:
    return table_in_memory(({**row, "image": None} for row in rows), features, PictureRule())[0]


def _fingerprint(table: Dataset) -> str:
    return content_fingerprint(table.remove_columns(_PICTURE_COLUMNS))


def check_written(state: BuildState, fingerprints: dict[str, str]) -> None:
    """Reads the written files back and holds their texts, column by column, to those that were checked.

    Raises:
        `OSError`: the files hold something else.
    """
    for table, expected in fingerprints.items():
        parts = [_read_texts(state.folder / shard.file) for shard in state.tables[table]]
        if _fingerprint(Dataset(InMemoryTable(pa.concat_tables(parts).combine_chunks()))) != expected:
            raise OSError(
                f"{table} reads back as something else than was written: the input changed meanwhile, or the disk is "
                "full or faulty. Build again"
            )


def _read_texts(file: Path) -> pa.Table:
    with pq.ParquetFile(file) as opened:
        names = [name for name in opened.schema_arrow.names if name != "image"]
        table = opened.read(columns=names)
    return table.append_column("image", pa.nulls(len(table)))


def dataset_infos(state: BuildState, features: Features) -> dict[str, DatasetInfo]:
    """Features, splits, sizes and a digest of the files by config, for the card."""
    infos = {}
    for config, columns in (("mentions", features), ("entities", ENTITY_FEATURES)):
        tables = {table: shards for table, shards in state.tables.items() if table.startswith(f"{config}/")}
        if not tables:
            continue  # a knowledge base without mentions
        splits, digests, download = SplitDict(), [], 0
        for table, shards in tables.items():
            size = sum(shard.table_bytes for shard in shards)
            splits.add(SplitInfo(table.split("/")[1], num_bytes=size, num_examples=state.rows(table)))
            download += sum(shard.file_bytes for shard in shards)
            digests += [shard.sha256 for shard in shards]
        total = sum(split.num_bytes for split in splits.values())
        infos[config] = DatasetInfo(
            description=described(config, digests),
            features=columns,
            splits=splits,
            download_size=download,
            dataset_size=total,
        )
    return infos
