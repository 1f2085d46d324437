"""Entity tables from JSON lines and Parquet, checked; and back to Parquet with the pictures inside."""

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict
from datasets.table import embed_table_storage

from .images import undecoded
from .own.entities import entities_from_json_lines
from .problems import Problems, listed, nearest
from .schema import ENTITY_FEATURES
from .shards import ShardWriter
from .tables import CHUNK


_REQUIRED = ("id", "name")
_LISTS = ("aliases", "types")


def complete_entities(dataset: Dataset) -> Dataset:
    """The table with exactly the columns and types of `ENTITY_FEATURES`; optional ones that are missing are null."""
    if isinstance(dataset, DatasetDict):
        raise TypeError(f"a knowledge base is one table, not the splits {listed(dataset)}: pass one of them")
    _check_columns(dataset.column_names, "the dataset of entities")
    length = len(dataset)
    for name in ENTITY_FEATURES:
        if name in dataset.column_names:
            continue
        if name == "source_row":
            values = list(range(length))
        elif name == "image_status":
            values = _derived_status(dataset)
        else:
            values = [[] for _ in range(length)] if name in _LISTS else [None] * length
        dataset = dataset.add_column(name, values, feature=ENTITY_FEATURES[name])
    dataset = dataset.select_columns(list(ENTITY_FEATURES))
    return dataset if dataset.features == ENTITY_FEATURES else dataset.cast(ENTITY_FEATURES)


def _derived_status(dataset: Dataset) -> list[str]:
    """`ok` for each row with a picture; reads the validity of the column, not the pictures."""
    if "image" not in dataset.column_names:
        return ["none"] * len(dataset)
    batches = undecoded(dataset.select_columns(["image"])).with_format("arrow").iter(1_000)
    valid = [flag for batch in batches for flag in batch.column("image").is_valid().to_pylist()]
    return ["ok" if flag else "none" for flag in valid]


def _check_columns(names: Iterable[str], where: str) -> None:
    problems = Problems(
        where, f"Needed are {listed(_REQUIRED)}; allowed are {listed(ENTITY_FEATURES)}. Rename or remove the others."
    )
    names = list(names)
    for name in _REQUIRED:
        if name not in names:
            problems.add(f"column {name!r}", f"is missing{nearest(name, names)}")
    for name in names:
        if name not in ENTITY_FEATURES:
            problems.add(f"column {name!r}", f"is unknown{nearest(name, ENTITY_FEATURES)}")
    problems.raise_if_any()


# ---- Files ----


def read_entities(path: str | os.PathLike, *, strict_images: bool = False, cache_dir: str | None = None) -> Dataset:
    """Reads what [`KnowledgeBase.load`] takes."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no knowledge base at {path}: pass a folder of .parquet files, a .parquet or a .jsonl"
        )
    if path.is_dir():
        files = sorted(path.glob("*.parquet")) or sorted(path.glob("entities/*.parquet"))
        if not files:
            raise FileNotFoundError(f"{path} holds no .parquet file, nor does {path / 'entities'}")
        return _read_parquet(files, cache_dir)
    if path.suffix == ".parquet":
        return _read_parquet([path], cache_dir)
    if path.suffix == ".jsonl":
        return entities_from_json_lines(path, strict_images=strict_images)
    raise ValueError(f"{path}: unknown suffix {path.suffix!r}; a knowledge base is .parquet, .jsonl or a folder")


def _read_parquet(files: list[Path], cache_dir: str | None) -> Dataset:
    rows = 0
    for file in files:
        try:
            names = pq.read_schema(file).names
            rows += pq.read_metadata(file).num_rows
        except pa.ArrowInvalid as error:
            raise ValueError(f"{file} is not a Parquet file ({error}): write it again") from error
        _check_columns(names, str(file))
    if not rows:
        raise ValueError(f"{listed(files)} holds no entity: there is nothing to link to")
    return Dataset.from_parquet([str(file) for file in files], cache_dir=cache_dir)


def write_entities(dataset: Dataset, path: str | os.PathLike, *, max_shard_bytes: int) -> list[str]:
    """Writes `<path>.parquet`, or shards `entities-00000-of-0000N.parquet` into the folder `path`.

    Pictures are read a hundred at a time, so memory stays small. A file appears under its name when it is whole.
    """
    path = Path(path)
    single = path.suffix == ".parquet"
    folder = path.parent if single else path
    folder.mkdir(parents=True, exist_ok=True)
    parts = _write_parts(dataset, folder, None if single else max_shard_bytes)
    if single:
        targets = [path]
    else:
        targets = [folder / f"entities-{i:05d}-of-{len(parts):05d}.parquet" for i in range(len(parts))]
    for part, target in zip(parts, targets, strict=True):
        os.replace(part, target)
    if not single:
        for stale in set(folder.glob("entities-*-of-*.parquet")) - set(targets):
            stale.unlink()  # an earlier save with more shards would be read together with this one
    return [str(target) for target in targets]


def _write_parts(dataset: Dataset, folder: Path, max_bytes: int | None) -> list[Path]:
    writer = ShardWriter(
        ENTITY_FEATURES, lambda number: folder / f".entities-{os.getpid()}-{number}.tmp", max_shard_bytes=max_bytes
    )
    complete = False
    try:
        for batch in undecoded(dataset).with_format("arrow").iter(CHUNK):
            writer.write(embed_table_storage(pa.table(batch.columns, schema=ENTITY_FEATURES.arrow_schema)))
        parts = writer.finish()
        complete = True
    finally:
        if not complete:
            writer.abandon()
            for part in writer.paths:
                part.unlink(missing_ok=True)
    return parts
