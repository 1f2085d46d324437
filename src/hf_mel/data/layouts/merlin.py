"""Layout `merlin`: MERLIN as it lies on the Hub, a config for each of five languages, with the one split train.

A row is `Article Title`, `Entity Name` (the mention), `Wikidata ID`, `English Wikipedia Title`, `Image Name` (the picture).
A local copy holds `<language>/train-*.parquet`, or JSON lines `<language>/train.jsonl` or `<language>.jsonl`, in which
`Image Name` is the name of a file in `images/`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, Features, Image, Value

from ..problems import listed
from .base import SPLIT_NAMES, LayoutOptions, RawBenchmark, add_offsets, is_nil, string_or_none
from .names import choose_benchmark, entries, leads_out
from .records import LeftOut, first_record, read_lines


BENCHMARK = "merlin"
LANGUAGES = ("hi", "id", "ja", "ta", "vi")
_TITLE, _MENTION, _ID, _NAME, _IMAGE = (
    "Article Title", "Entity Name", "Wikidata ID", "English Wikipedia Title", "Image Name",
)  # fmt: skip
_SPLIT = re.compile(rf"({'|'.join(SPLIT_NAMES)})\b")
_SUFFIXES = (".parquet", ".jsonl")

Records = Iterator[tuple[int, str, dict]]
"""Number in its file, place and fields of each record."""


def is_merlin(folder: Path) -> bool:
    """Returns `True` if the folder holds files of a language with the columns of MERLIN."""
    return bool(_files(folder))


def read_merlin(options: LayoutOptions) -> RawBenchmark:
    """Reads all languages in a folder, or the one whose folder `raw_dir` is.

    The column `language` tells them apart. The release has no knowledge base: it is the gold entities of what is read, by
    their English title, or by their id where a title is missing. A row without a Wikidata id is NIL.
    """
    choose_benchmark(BENCHMARK, options.raw_dir, [BENCHMARK], options.benchmark)
    files = _files(options.raw_dir)
    if not files:
        raise FileNotFoundError(
            f"layout 'merlin' needs files that are not there: {options.raw_dir / 'hi' / 'train-*.parquet'} or the same of "
            f"another language ({listed(LANGUAGES)}), with the columns {_TITLE!r}, {_MENTION!r} and {_ID!r}"
        )

    def records(language: str, path: Path, bad: LeftOut) -> Records:
        images = options.images or path.parent / "images"
        read = _parquet if path.suffix == ".parquet" else _json_lines
        for number, place, record in read(path, bad):
            yield number, place, {**record, _IMAGE: _picture(record.get(_IMAGE), images, language, path.parent)}

    sources = [
        (language, split, lambda bad, language=language, path=path: records(language, path, bad))
        for language, split, path in files
    ]
    raw = _raw(sources)
    raw.counts["split_rule"] = listed(str(path.relative_to(options.raw_dir)) for _, _, path in files)
    raw.files = [path for _, _, path in files]
    return raw


def merlin_rows(tables: Mapping[str, Dataset | DatasetDict]) -> RawBenchmark:
    """Rows of MERLIN from what `load_dataset` returns, for [`build_dataset`]; [`load_merlin`] gives loaded data.

    Args:
        tables (`Mapping[str, Dataset or DatasetDict]`): the data of each language, such as
            `{"hi": load_dataset("neulab/merlin", "hi")}`. A `Dataset` counts as the split train.

    Raises:
        `ValueError`: no table, one that is no `Dataset`, or a missing column; the language is named.
    """
    if not tables:
        raise ValueError('`tables` is empty: pass {"hi": load_dataset("neulab/merlin", "hi")}, for example')
    sources = []
    for language, table in tables.items():
        for name, dataset in (table if isinstance(table, DatasetDict) else {"train": table}).items():
            if not isinstance(dataset, Dataset):
                raise ValueError(f"tables[{language!r}] is a {type(dataset).__name__}, not a Dataset or DatasetDict")
            missing = [column for column in (_TITLE, _MENTION, _ID) if column not in dataset.column_names]
            if missing:
                raise ValueError(f"tables[{language!r}], split {name!r}: no column {listed(map(repr, missing))}")
            if isinstance(dataset.features.get(_IMAGE), Image):
                dataset = dataset.cast_column(_IMAGE, Image(decode=False))
            sources.append((language, SPLIT_NAMES.get(name, name), lambda bad, table=dataset: _of_dataset(table)))
    return _raw(sources)


def _of_dataset(table: Dataset) -> Records:
    for number, record in enumerate(table):
        yield number, f"row {number}", record


# ---- Files ----


def _files(folder: Path) -> list[tuple[str, str, Path]]:
    """Language, split and path of each file."""
    found = []
    for language in LANGUAGES:
        inner = folder / language
        places = [inner / name for name in entries(inner)] + [folder / f"{language}{suffix}" for suffix in _SUFFIXES]
        found += [(language, path) for path in places if path.suffix in _SUFFIXES and path.is_file()]
    if not found and folder.name in LANGUAGES:
        found = [(folder.name, folder / name) for name in entries(folder) if name.endswith(_SUFFIXES)]
    files = []
    for language, path in found:
        match = _SPLIT.match(path.name)
        if _has_columns(path):
            files.append((language, SPLIT_NAMES[match[1]] if match else "train", path))
    return files


def _has_columns(path: Path) -> bool:
    if path.suffix == ".jsonl":
        return {_TITLE, _MENTION, _ID} <= first_record(path).keys()
    try:
        return {_TITLE, _MENTION, _ID} <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return path.parent.name in LANGUAGES  # reading it will say what is wrong


def _json_lines(path: Path, bad: LeftOut) -> Records:
    for number, record in read_lines(path, bad):
        yield number - 1, f"{path.name}, line {number}", record


def _parquet(path: Path, bad: LeftOut) -> Records:
    try:
        with pq.ParquetFile(path) as opened:
            number = 0
            for batch in opened.iter_batches(100):
                for record in batch.to_pylist():
                    yield number, f"{path.name}, row {number}", record
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is no whole Parquet file ({error}); fetch it again") from error


def _picture(value: Any, images: Path, language: str, folder: Path) -> Any:
    """The picture as a table takes it: embedded bytes as they are, a name as a path; `None` for none."""
    if isinstance(value, dict):
        if value.get("bytes") is not None or not value.get("path"):
            return value
        value = value["path"]
    if not isinstance(value, str) or not value.strip():
        return value
    if leads_out(value):
        return _Outside(value)
    places = (images / language / value, images / value, folder / value)
    return next((path for path in places if path.is_file()), images / value)


class _Outside(str):
    """Name of a picture that would lead out of its folder."""


# ---- Rows ----


def _raw(sources: list[tuple[str, str, Callable[[LeftOut], Records]]]) -> RawBenchmark:
    """The benchmark of the records of each language and split."""
    mentions: dict[str, list[dict]] = {}
    captions: dict[str, list[tuple]] = defaultdict(list)
    left_out: list[dict] = []
    first: dict[str, int] = defaultdict(int)  # number of the first record of the next file
    for language, split, records in sources:
        rows, bad, before = mentions.setdefault(split, []), LeftOut(split), first[language]
        for position, place, record in records(bad):
            number = before + position
            first[language] = number + 1
            fault, row = _row(record)
            if fault is not None:
                bad.add(f"{language}, {place}", fault)
                continue
            rows.append({"id": f"{language}-{number}", "language": language, **row})
            captions[split].append((language, row["text"]))
        left_out += bad.entries
    split_counts = {split: {"captions": add_offsets(rows, captions[split])} for split, rows in mentions.items()}
    entities, unnamed = _entities(row for rows in mentions.values() for row in rows)
    languages = list(dict.fromkeys(language for language, *_ in sources))
    counts = {
        "benchmark": BENCHMARK,
        "knowledge_base": "gold entities",
        "languages": listed(languages),
        "entities_named_by_their_id": unnamed,
    }
    if not set(LANGUAGES) <= set(languages):
        counts["part_of_release"] = f"{len(languages)} of {len(LANGUAGES)} languages ({listed(languages)})"
    features = Features({"language": Value("string")})
    return RawBenchmark(mentions, lambda: iter(entities), counts, split_counts, features, left_out=left_out)


def _row(record: dict) -> tuple[str | None, dict]:
    """The reason for which a record cannot be used, and its fields."""
    # A table that pandas wrote has NaN where nothing stands.
    record = {name: None if isinstance(value, float) and value != value else value for name, value in record.items()}
    for name in (_TITLE, _MENTION, _ID):
        if name not in record:
            return f"`{name}` is missing", {}
    for name in (_ID, _NAME):
        if not isinstance(record.get(name), str | None):
            return f"`{name}` is {record[name]!r:.60}, not a string", {}
    image = record.get(_IMAGE) or None
    if isinstance(image, _Outside) or not isinstance(image, str | Path | dict | None):
        return f"`{_IMAGE}` is {image!r:.60}, not the name of a file", {}
    gold = None if is_nil(record[_ID]) else record[_ID].strip()
    return None, {
        "mention": string_or_none(record[_MENTION]),
        "text": string_or_none(record[_TITLE]),
        "image": image,
        "entity_id": gold,
        "entity_name": (record.get(_NAME) or "").strip() or None if gold else None,
    }


def _entities(rows: Iterable[dict]) -> tuple[list[dict], int]:
    """Rows of the gold entities, and the number of those without a title, whose name is their id."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["entity_id"] is not None:
            names.setdefault(row["entity_id"], {}).update({row["entity_name"]: None} if row["entity_name"] else {})
    found = [
        {"id": key, "name": next(iter(titles), key), "aliases": list(titles)[1:], "source_row": row}
        for row, (key, titles) in enumerate(names.items())
    ]
    return found, sum(not titles for titles in names.values())
