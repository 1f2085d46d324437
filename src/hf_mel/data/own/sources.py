"""Sources of records. Each source names its columns and yields its records with their place, as often as asked."""

import codecs
import csv
import json
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


METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""The names that `datasets` gives to the table of a folder of pictures."""

_NO_UTF8 = "save the file as UTF-8"
_SHOWN = 10_000


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


# ---- Text files ----


def _utf8_lines(path: Path) -> Iterator[tuple[int, str, str | None]]:
    """Line number, text, and what is wrong if the bytes are not UTF-8, which are then replaced."""
    position = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise ValueError(f"{path} is UTF-16: {_NO_UTF8}")
                skipped = len(codecs.BOM_UTF8) if line.startswith(codecs.BOM_UTF8) else 0
                line, position = line[skipped:], skipped
            try:
                yield number, line.decode("utf-8"), None
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} (byte {position + error.start + 1:,} of the file)"
                yield number, line.decode("utf-8", "replace"), f"{byte} is not UTF-8; {_NO_UTF8}"
            position += len(line)


def _shortened(line: str) -> str:
    """A line that is no record, as it is shown; without end it might be a whole file."""
    line = line.rstrip("\r\n")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... and {len(line) - _SHOWN:,} more characters"


class CsvSource:
    """A file of cells with a header. Places are physical lines: a record may span several."""

    cells = True
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path, delimiter: str | None = None):
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f"delimiter={delimiter!r}: use one character, such as ',' or '\\t'")
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent
        self.delimiter = delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")

    def column_names(self, problems: Problems) -> list[str]:
        """The header. A column without a name, such as the index that pandas writes, is an empty string."""
        # What is wrong with the bytes is told while the records are read.
        header = next(self._rows(Problems(self.subject, "")), (0, []))[1]
        names = [name.strip() for name in header]
        for name in dict.fromkeys(name for name in names if name and names.count(name) > 1):
            problems.add("line 1", f"the header names column {name!r} {names.count(name)} times")
        return names

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        rows = self._rows(problems)
        names = [name.strip() for name in next(rows, (0, []))[1]]
        for line, cells in rows:
            if len(cells) != len(names):
                wrong = f"has {_number(len(cells), 'cell')}, the header {_number(len(names), 'column')}"
                problems.add(f"line {line}", wrong, given=cells)
                continue
            pairs = zip(names, cells, strict=True)
            yield f"line {line}", {name: cell for name, cell in pairs if wanted is None or name in wanted}

    def _rows(self, problems: Problems) -> Iterator[tuple[int, list[str]]]:
        """Line on which a record begins, and its cells; blank lines are left out."""
        first, read = 1, []

        def lines() -> Iterator[str]:
            for number, text, wrong in _utf8_lines(self.path):
                if wrong is not None:
                    problems.add(f"line {number}", wrong, record=f"line {first}", given=_shortened(text))
                read.append(text)
                yield text

        reader = csv.reader(lines(), delimiter=self.delimiter, strict=True)
        while True:
            first = reader.line_num + 1
            read.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                wrong = f"is not well-formed: {_explained(error)}"
                problems.add(f"line {first}", wrong, given=_shortened("".join(read)))
                if reader.line_num > first:
                    # Nobody knows where the next record begins.
                    problems.add(f"line {first}", "the lines after it were not read")
                    return
                continue
            if cells:
                yield first, cells


def _explained(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quoted cell which begins here is never closed"
    if "field larger than field limit" in str(error):
        return f"{error}; a quoted cell which begins here may never be closed"
    return str(error)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class JsonLinesSource:
    """A file with an object a line."""

    cells = False
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path):
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent

    def column_names(self, problems: Problems) -> list[str]:
        """All keys of all lines. Lines differ, so the file is read once for this."""
        names: dict[str, None] = {}
        for _, record in self.records(None, Problems(self.subject, "")):
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
        return list(names)

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, object]]:
        for number, line, wrong in _utf8_lines(self.path):
            if wrong is not None:
                problems.add(f"line {number}", wrong, given=_shortened(line))
                continue
            if not line.strip():
                continue
            twice: list[str] = []
            try:
                record = json.loads(line, object_pairs_hook=lambda pairs: _unique(pairs, twice))  # noqa: B023
            except json.JSONDecodeError as error:
                wrong = f"is not JSON: {error.msg} at character {error.colno}"
                problems.add(f"line {number}", wrong, given=_shortened(line))
                continue
            except RecursionError:
                problems.add(f"line {number}", "is nested too deeply", given=_shortened(line))
                continue
            for name in twice:
                problems.add(f"line {number}", f"`{name}` stands twice in the object")
            yield f"line {number}", record


def _unique(pairs: list[tuple], twice: list[str]) -> dict:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice += [name for name in result if names.count(name) > 1]
    return result


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
        `FileNotFoundError`: there is no such file. `ValueError`: a suffix that is none of `.csv`, `.tsv`, `.jsonl`,
            `.parquet`; a delimiter for what has none; several tables in a folder.
    """
    if not isinstance(source, (str, os.PathLike)):
        opened: Source = DatasetSource(source, kind)
    elif Path(source).is_dir():
        opened = open_folder(source, kind)
    else:
        path = existing(source, kind)
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            opened = CsvSource(path, delimiter)
        elif suffix in _OPENERS:
            opened = _OPENERS[suffix](path)
        else:
            raise ValueError(f"{path}: unknown suffix {suffix!r}; use .csv, .tsv, .jsonl or .parquet")
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


_OPENERS = {".jsonl": JsonLinesSource, ".ndjson": JsonLinesSource, ".parquet": ParquetSource}
