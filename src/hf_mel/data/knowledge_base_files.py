"""Entity tables from records, JSON lines and Parquet, checked; and back to Parquet with the pictures inside."""

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict
from datasets import Image as ImageFeature
from datasets.table import embed_table_storage
from PIL import Image

from .images import image_status, undecoded
from .problems import Problems, listed, nearest
from .schema import ENTITY_FEATURES, IMAGE_STATUS, build_dataset


logger = logging.getLogger(__name__)

_REQUIRED = ("id", "name")
_TEXT = ("id", "name", "description", "attributes", "image_status")
_LISTS = ("aliases", "types")
# Small row groups keep random access to pictures cheap; `datasets` writes the same number.
_ROWS_PER_GROUP = 100


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


# ---- Records and JSON lines ----


def entities_from_records(
    records: Iterable[dict], *, subject: str = "entity records", places: list[str] | None = None,
    base_dir: Path | None = None, strict_images: bool = False, problems: Problems | None = None,
) -> Dataset:  # fmt: skip
    """Checks dicts with the keys of `ENTITY_FEATURES` and puts them into a table.

    Args:
        records (`Iterable[dict]`): the entities.
        subject (`str`, *optional*): what they are, for the error.
        places (`list[str]`, *optional*): where each record is, for example `"line 3"`; `"record 3"` by default.
        base_dir (`Path`, *optional*): where relative picture paths start.
        strict_images (`bool`, *optional*, defaults to `False`): raise for a picture that is not there.
        problems (`Problems`, *optional*): what was found wrong before; raised together with the rest.
    """
    records = list(records)
    places = places or [f"record {number}" for number in range(1, len(records) + 1)]
    if problems is None:
        problems = Problems(subject, f"Allowed fields are {listed(ENTITY_FEATURES)}; `id` and `name` are needed.")
    columns: dict[str, list] = {name: [] for name in ENTITY_FEATURES}
    first: dict[str, str] = {}
    missing_pictures = []
    for number, (place, record) in enumerate(zip(places, records, strict=True)):
        if not _check_record(record, place, problems):
            continue
        if first.setdefault(record["id"], place) != place:
            problems.add(place, f"`id` {record['id']!r} is already that of {first[record['id']]}")
        image, status = _picture(record, base_dir, strict_images)
        if status == "missing_file":
            missing_pictures.append(record["id"])
        row = {"source_row": number, **record, "image": image, "image_status": status}
        for name in ENTITY_FEATURES:
            columns[name].append((row.get(name) or []) if name in _LISTS else row.get(name))
    problems.raise_if_any()
    if missing_pictures:
        logger.warning(
            "%s: %d pictures are not there: %s", subject, len(missing_pictures), listed(missing_pictures, 5)
        )
    return build_dataset(columns, ENTITY_FEATURES)


def _check_record(record, place: str, problems: Problems) -> bool:
    before = len(problems)
    if not isinstance(record, dict):
        problems.add(place, f"is {type(record).__name__}, not an object with fields")
        return False
    for name in record:
        if name not in ENTITY_FEATURES:
            problems.add(place, f"field {name!r} is unknown{nearest(name, ENTITY_FEATURES)}")
    for name in _REQUIRED:
        value = record.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            problems.add(place, f"`{name}` is missing or empty (entity {record.get('id') or record.get('name')!r})")
    for name in _TEXT:
        value = record.get(name)
        if value is not None and not isinstance(value, str):
            problems.add(place, f"`{name}` must be text, not {value!r:.60}")
    for name in _LISTS:
        value = record.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            problems.add(place, f"`{name}` must be a list of texts, not {value!r:.60}")
    source_row = record.get("source_row")
    if source_row is not None and (isinstance(source_row, bool) or not isinstance(source_row, int)):
        problems.add(place, f"`source_row` must be a whole number, not {source_row!r:.60}")
    status, image = record.get("image_status"), record.get("image")
    if isinstance(status, str) and status not in IMAGE_STATUS:
        problems.add(place, f"`image_status` {status!r} is unknown; use one of {listed(IMAGE_STATUS)}")
    if status == "ok" and image is None:
        problems.add(place, "`image_status` is 'ok', but there is no `image`")
    if image is not None and not isinstance(image, (str, os.PathLike, dict, bytes, Image.Image)):
        problems.add(place, f"`image` must be a path or a picture, not {type(image).__name__}")
    return len(problems) == before


def _picture(record: dict, base_dir: Path | None, strict: bool) -> tuple[dict | None, str]:
    """The picture as `datasets.Image` stores it, and its status."""
    image = record.get("image")
    if image is None or image == "":
        return None, record.get("image_status") or "none"
    if isinstance(image, Image.Image):
        return ImageFeature().encode_example(image), "ok"
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}, "ok"
    if isinstance(image, dict) and image.get("bytes") is not None:
        return {"bytes": image["bytes"], "path": image.get("path")}, "ok"
    path = Path(base_dir or ".").absolute() / (image.get("path") if isinstance(image, dict) else image)
    status = image_status(path, strict=strict, record=record["id"])
    return ({"bytes": None, "path": str(path)} if status == "ok" else None), status


def _read_json_lines(path: Path, strict_images: bool) -> Dataset:
    problems = Problems(str(path), f"Each line is one JSON object; allowed fields are {listed(ENTITY_FEATURES)}.")
    records, places = [], []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                records.append(json.loads(line))
                places.append(f"line {number}")
            except json.JSONDecodeError as error:
                problems.add(f"line {number}", f"is not JSON: {error.msg} at character {error.colno}")
    if not records and not problems:
        raise ValueError(f"{path} holds no entity: there is nothing to link to")
    return entities_from_records(
        records, subject=str(path), places=places, base_dir=path.parent, strict_images=strict_images, problems=problems
    )


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
        return _read_json_lines(path, strict_images)
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
    schema = ENTITY_FEATURES.arrow_schema
    parts: list[Path] = []
    writer, written, complete = None, 0, False
    try:
        for batch in undecoded(dataset).with_format("arrow").iter(_ROWS_PER_GROUP):
            if writer is None or (max_bytes is not None and written >= max_bytes):
                if writer is not None:
                    writer.close()
                parts.append(folder / f".entities-{os.getpid()}-{len(parts)}.tmp")
                writer, written = pq.ParquetWriter(parts[-1], schema), 0
            table = embed_table_storage(pa.table(batch.columns, schema=schema))
            writer.write_table(table.cast(schema), row_group_size=_ROWS_PER_GROUP)
            written += table.nbytes
        if writer is None:
            parts.append(folder / f".entities-{os.getpid()}-0.tmp")
            writer = pq.ParquetWriter(parts[-1], schema)
        writer.close()
        complete = True
    finally:
        if not complete:
            if writer is not None:
                writer.close()
            for part in parts:
                part.unlink(missing_ok=True)
    return parts
