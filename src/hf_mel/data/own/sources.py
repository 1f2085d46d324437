"""Sources of records. Each source names its columns and yields its records with their place, as often as asked."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from PIL import Image

from ..images import undecoded
from ..problems import Problems, listed
from ..tables import CHUNK
from .csv_files import CsvSource
from .excel_files import SUFFIXES as EXCEL_SUFFIXES
from .excel_files import ExcelSource
from .json_files import JsonLinesSource, JsonRecordsSource, is_lines
from .text_files import refuse_other_kinds


METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""The names that `datasets` gives to the table of a folder of pictures."""


class Source(Protocol):
    """A table that can be read.

    Args:
        subject (`str`): what it is called in messages.
        prefix (`str`): what generated ids begin with.
        folder (`Path` or `None`): where relative paths of pictures start.
        cells (`bool`): whether all values are text of cells (empty: null; lists and numbers written out).
        rows_at_once (`int`): how many records may be held in memory together.
        of_folder (`bool`): whether it is the table of a folder of pictures.
        path (`Path` or `None`): the file, if it is one.
    """

    subject: str
    prefix: str
    folder: Path | None
    cells: bool
    rows_at_once: int
    of_folder: bool
    path: Path | None

    def column_names(self, problems: Problems) -> list[str]: ...

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, object]]:
        """Place and values of each record. `wanted` names columns: the others need not be read.

        What is wrong with a record is added to `problems` before it is yielded, with its place as `where` or `record`.
        """
        ...


# ---- Tables ----


class ParquetSource:
    """A Parquet file, of which only the columns that are wanted are read."""

    cells = False
    rows_at_once = CHUNK
    of_folder = False

    def __init__(self, path: Path):
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent

    def column_names(self, problems: Problems) -> list[str]:
        try:
            return pq.read_schema(self.path).names
        except pa.ArrowInvalid as error:
            raise ValueError(f"{self.path} is not a Parquet file ({error}): write it again") from error

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        number = 0
        with pq.ParquetFile(self.path) as file:
            columns = None if wanted is None else [name for name in file.schema_arrow.names if name in wanted]
            for batch in file.iter_batches(batch_size=self.rows_at_once, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield f"record {number}", record


class DatasetSource:
    """A [`~datasets.Dataset`], whose pictures stay undecoded."""

    cells = False
    rows_at_once = CHUNK
    of_folder = False
    folder = path = None

    def __init__(self, dataset: Dataset, kind: str):
        if not isinstance(dataset, Dataset):
            splits = f" with the splits {listed(dataset)}" if isinstance(dataset, dict) else ""
            raise TypeError(
                f"a table of {kind} is one `datasets.Dataset`, not a {type(dataset).__name__}{splits}: pass one of them"
            )
        self.dataset, self.subject = dataset, f"dataset of {kind}"
        self.prefix = str(dataset.split) if dataset.split is not None else kind

    def column_names(self, problems: Problems) -> list[str]:
        return self.dataset.column_names

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        names = [name for name in self.dataset.column_names if wanted is None or name in wanted]
        table = undecoded(self.dataset.select_columns(names)).with_format("arrow")
        number = 0
        for batch in table.iter(self.rows_at_once):
            for record in batch.to_pylist():
                number += 1
                yield f"record {number}", record


class RecordsSource:
    """Dicts in memory."""

    cells = False
    rows_at_once = 1_000
    of_folder = False
    folder = path = None

    def __init__(self, records: Iterable[dict], kind: str):
        self._records, self.subject, self.prefix = list(records), f"{kind} records", kind

    def column_names(self, problems: Problems) -> list[str]:
        return list(dict.fromkeys(name for record in self._records if isinstance(record, dict) for name in record))

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, object]]:
        for number, record in enumerate(self._records, start=1):
            yield f"record {number}", record


# ---- Folders of pictures ----


class PicturesSource:
    """A folder of pictures without a table: each is a record, whose id is its path without suffix."""

    cells = False
    rows_at_once = 1_000
    of_folder = False
    path = None

    def __init__(self, folder: Path):
        self.folder, self.subject, self.prefix = folder, str(folder), folder.name

    def column_names(self, problems: Problems) -> list[str]:
        return ["id", "name", "image"]

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        for name in sorted(picture_files(self.folder)):
            path = Path(name)
            yield name, {"id": path.with_suffix("").as_posix(), "name": path.stem, "image": name}


def picture_files(folder: Path) -> list[str]:
    """Paths within the folder, with `/`, of all files whose suffix is that of a picture; hidden ones are left out."""
    Image.init()
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name).relative_to(folder).as_posix()
            for name in names
            if os.path.splitext(name)[1].lower() in suffixes and not name.startswith(".")
        ]
    return found


# ---- The way in ----


def open_source(source, kind: str, *, delimiter: str | None = None, prefix: str | None = None) -> Source:
    """The source behind a file, a folder of pictures, or a `Dataset`.

    Raises:
        `FileNotFoundError`: there is no such file. `ImportError`: a workbook, without openpyxl. `ValueError`: a suffix that is none of `.csv`, `.tsv`, `.jsonl`,
            `.json`, `.parquet`, `.xlsx`; another spreadsheet or an archive in place of a table; a delimiter for what has none; several tables in a folder.
    """
    if not isinstance(source, (str, os.PathLike)):
        opened: Source = DatasetSource(source, kind)
    elif Path(source).is_dir():
        opened = open_folder(source, kind)
    else:
        path = existing(source, kind)
        opened = _open_file(path, delimiter)
    if delimiter is not None and not isinstance(opened, CsvSource):
        raise ValueError(f"delimiter={delimiter!r} is for CSV, which {opened.subject} is not")
    if prefix is not None:
        opened.prefix = prefix
    return opened


def open_folder(folder: str | os.PathLike, kind: str) -> Source:
    """The table of a folder of pictures, as `datasets` reads it, or the pictures themselves."""
    folder = existing(folder, kind)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder of pictures")
    tables = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(tables) > 1:
        raise ValueError(f"{folder} holds several tables, {listed(path.name for path in tables)}: keep one of them")
    if not tables:
        return PicturesSource(folder)
    opened = open_source(tables[0], kind)
    opened.of_folder = True
    return opened


def existing(path: str | os.PathLike, kind: str) -> Path:
    """The path, if something is there."""
    if not Path(path).exists():
        raise FileNotFoundError(f"no {kind} at {path}: there is no such file or folder")
    return Path(path)


def _open_file(path: Path, delimiter: str | None) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return ParquetSource(path)
    if suffix in EXCEL_SUFFIXES:
        return ExcelSource(path)
    refuse_other_kinds(path)
    if suffix in (".csv", ".tsv"):
        return CsvSource(path, delimiter)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return open_json(path)
    raise ValueError(f"{path}: unknown suffix {suffix!r}; use .csv, .tsv, .jsonl, .json, .parquet or .xlsx")


def open_json(path: Path) -> Source:
    """Objects in a file: one a line, in an array, or one after the other over several lines each."""
    return JsonLinesSource(path) if is_lines(path) else JsonRecordsSource(path)
