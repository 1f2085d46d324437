"""The rows that are to be linked: a table, a folder of pictures with a table, or the split of a data set."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from datasets import Dataset

from ...data import EMBEDDED, content_fingerprint, load_data
from ...data.folders import is_built
from ...data.own.columns import MENTIONS
from ...data.own.mentions import MentionReader
from ...data.own.reading import ReadOptions
from ...data.own.sources import PicturesSource, open_source
from ...data.problems import Problems, listed, nearest


_QUERIES = replace(MENTIONS, columns=("mention", "text"))
_TEXTS = replace(MENTIONS, needed=("id", "text"), columns=("text",))
_FOUND_ID = re.compile(r"#[0-9]+\Z")
_HASHED_WHOLE = 64 * 2**20
_HASHED_PART = 2**20


class Span(Protocol):
    """A mention that was found in a text: its first character and the one after its last."""

    start: int
    end: int


FindMentions = Callable[[list[str]], Sequence[Sequence[Span]]]
"""From texts to the mentions in each."""


@dataclass(frozen=True)
class TableInput:
    """
    Table of mentions to link.

    Args:
        source (`str`, `os.PathLike` or `datasets.Dataset`):
            A `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.xlsx` file; a folder of pictures with `metadata.csv`, `.jsonl` or
            `.parquet`; a data set: a table in memory, a folder that `hf-mel data` wrote, `"emojimel"` or `"miniature"`.
        split (`str`, *optional*):
            The split, of a data set that has several.
        columns (`Mapping[str, str]`, *optional*):
            The column of a field, such as `{"text": "caption"}`, where it has another name; `None` leaves a field out.
        delimiter (`str`, *optional*):
            What separates the cells of CSV.
        images (`str` or `os.PathLike`, *optional*):
            Where relative paths of pictures start; the folder of the table by default.
        allow_missing_images (`bool`, *optional*, defaults to `False`):
            Link a row whose picture is missing or unreadable without it. By default the row is rejected.
        find_mentions (`Callable`, *optional*):
            Finds the mentions of rows that name none: from a list of texts to a list of spans with `start` and `end` each.
            By default a row without a mention is rejected.
        finder (`str`, *optional*):
            The name of what finds them. A run that was interrupted goes on only with the same.
        all_kept (`bool`, *optional*, defaults to `False`):
            The caller keeps columns that are no field of a mention; the log does not name them.
    """

    source: str | os.PathLike | Dataset
    split: str | None = None
    columns: Mapping[str, str | None] | None = None
    delimiter: str | None = None
    images: str | os.PathLike | None = None
    allow_missing_images: bool = False
    find_mentions: FindMentions | None = None
    finder: str | None = None
    all_kept: bool = False

    def open(self) -> "QueryReader":
        """
        The reader of the rows.

        Raises:
            `ValueError`: columns that cannot be found, a split that is not there, a file of an unknown kind.
            `FileNotFoundError`: there is no such file or folder.
        """
        source: Any = self.source
        if isinstance(source, (str, os.PathLike)) and (str(source) in EMBEDDED or is_built(source)):
            source = self._of_data_set(str(source))
        elif self.split is not None:
            raise ValueError(f"split {self.split!r}: {source} is a table, which has no splits")
        opened = open_source(source, "mentions", delimiter=self.delimiter, prefix=self.split)
        if isinstance(opened, PicturesSource):
            raise FileNotFoundError(
                f"{opened.subject} holds no metadata.csv, metadata.jsonl or metadata.parquet: the captions and mentions"
                " of the pictures need a table"
            )
        options = ReadOptions(columns=self.columns, images=self.images, all_kept=self.all_kept)
        return QueryReader(opened, options, find=self.find_mentions is not None)

    def _of_data_set(self, name: str) -> Dataset:
        splits = load_data(name).mentions
        if self.split not in splits:
            wrong = "say which split" if self.split is None else f"there is no split {self.split!r}"
            raise ValueError(f"{name}: {wrong}{nearest(self.split or '', splits)} (there are {listed(splits)})")
        return splits[self.split]

    def describe(self) -> dict:
        """Returns the options of reading that results depend on."""
        return {
            "split": self.split,
            "columns": dict(self.columns or {}),
            "delimiter": self.delimiter,
            "images": str(Path(self.images).absolute()) if self.images is not None else None,
            "allow_missing_images": self.allow_missing_images,
            "finder": self.finder if self.find_mentions is not None else None,
        }


class QueryReader(MentionReader):
    """
    Reads what is to be linked: as mentions are read, but no gold entity is needed, `start` may stand alone, and a row may
    be without a mention if mentions are to be found in it.

    Args:
        source ([`~hf_mel.data.own.sources.Source`]): where the records come from.
        options ([`~hf_mel.data.own.reading.ReadOptions`]): columns and pictures.
        find (`bool`, *optional*, defaults to `False`): rows without a mention are as they should be.
    """

    def __init__(self, source, options: ReadOptions, *, find: bool = False):
        self.find = find
        super().__init__(source, options, kind=_TEXTS if find else _QUERIES)

    def _complete(self, row: dict, problems: Problems) -> None:
        given = row.get("mention")
        if self.find and _FOUND_ID.search(row["id"]):
            wrong = f"{self._called('id')} {row['id']!r} ends like that of a mention that was found in a text"
            problems.add(row["place"], wrong, field="id")
        if given is None or not given.strip():
            row["mention"] = None
            for name in ("start", "end"):
                if row.get(name) is not None:
                    wrong = f"{self._called(name)} is given, but no {self._called('mention')}"
                    problems.add(row["place"], wrong, field=name)
            return
        super()._complete(row, problems)

    def id_of(self, record) -> str | None:
        """The id that a record of the source has, whatever else is wrong with it."""
        value = record.get(self._columns.get("id")) if isinstance(record, dict) else None
        return str(value) if isinstance(value, (str, int)) and str(value).strip() else None

    def fingerprint(self) -> dict:
        """Returns values that identify the input: size, time and content of a file, the content of a table in memory."""
        path = self.source.path
        if path is None:
            return {"content": content_fingerprint(self.source.dataset)}
        found = os.stat(path)
        return {"size": found.st_size, "mtime": found.st_mtime_ns, "content": _digest(path, found.st_size)}


def _digest(path: Path, size: int) -> str:
    """Of a large file only the first and the last part: its size and time count too."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= _HASHED_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(file.read(_HASHED_PART))
        file.seek(size - _HASHED_PART)
        digest.update(file.read(_HASHED_PART))
    return digest.hexdigest()
