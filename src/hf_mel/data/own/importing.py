"""Own tables of entities and mentions, as what a build writes."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ..layouts.base import RawBenchmark
from ..problems import counted, listed
from ..tables import chunks
from ..url_names import is_url
from .columns import ENTITIES
from .mentions import check_splits, mention_reader
from .reading import ReadOptions, TableReader, picture_of
from .sources import open_source
from .urls import FetchLimits, PictureFetcher


logger = logging.getLogger(__name__)

Reader = TypeVar("Reader", bound=TableReader)
Fetched = dict[str, tuple[Path | None, str | None]]


def read_own_data(
    entities: str | os.PathLike,
    mentions: Mapping[str, str | os.PathLike] | None = None,
    *,
    columns: Mapping[str, str | None] | None = None,
    mention_columns: Mapping[str, str | None] | None = None,
    nil_values: Sequence[str] = ("NIL",),
    delimiter: str | None = None,
    mention_delimiter: str | None = None,
    fetch_urls: bool | FetchLimits = False,
    **options,
) -> RawBenchmark:
    """Reads and checks own tables for [`~hf_mel.data.building.build_dataset`], which writes them as Parquet.

    The tables are gone through once to find all that is wrong, before a picture is fetched or opened; the build then reads
    them again, a batch at a time.

    Args:
        entities (`str` or `os.PathLike`): a `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.xlsx` file, or a folder of pictures.
        mentions (`Mapping[str, str]`, *optional*): such a file or a folder of pictures with a table, by split. Without,
            the knowledge base alone is written.
        columns, mention_columns (`Mapping[str, str]`, *optional*): the column of a field, in either table.
        nil_values (`Sequence[str]`, *optional*, defaults to `("NIL",)`): what else than nothing stands for NIL.
        delimiter (`str`, *optional*): what separates the cells of CSV.
        mention_delimiter (`str`, *optional*): the same in the tables of mentions; by default as `delimiter`.
        fetch_urls (`bool` or [`FetchLimits`], *optional*, defaults to `False`): fetch pictures named by a URL.
        options: `list_separator`, `images` and `strict_columns` of [`~hf_mel.data.own.reading.ReadOptions`].

    Raises:
        `ValueError`: lists everything that is wrong in all tables, with file, line and field.
        `FileNotFoundError`: there is no such file.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel.data.building import build_dataset
    >>> from hf_mel.data.own.importing import read_own_data

    >>> _ = Path("entities.csv").write_text("sku,name\\nA-1,Kettle\\n")
    >>> _ = Path("mentions.csv").write_text("mention,sentence,sku\\nkettle,The kettle is hot.,A-1\\n")
    >>> raw = read_own_data(
    ...     "entities.csv", {"train": "mentions.csv"}, columns={"id": "sku"}, mention_columns={"entity_id": "sku"}
    ... )
    >>> build_dataset(raw, "kitchen", name="kitchen")["splits"]["train"]["mentions"]
    1
    ```
    """
    found: list[str] = []

    def read_entities() -> TableReader:
        source = open_source(entities, "entities", delimiter=_for(entities, delimiter))
        return TableReader(source, ENTITIES, ReadOptions(columns=columns, **options))

    entity_reader = _validated(read_entities, found)
    kb = entity_reader.ids if entity_reader is not None else None
    readers = {}
    for split, path in (mentions or {}).items():
        reading = ReadOptions(columns=mention_columns, columns_argument="mention_columns", **options)
        readers[split] = _validated(
            lambda: mention_reader(path, split, _for(path, mention_delimiter or delimiter), reading, kb, nil_values),  # noqa: B023
            found,
        )
    if found:
        raise ValueError("\n".join(found))
    check_splits({split: reader.ids for split, reader in readers.items()})
    tables = [entity_reader, *readers.values()]
    fetched = _fetched(tables, fetch_urls)
    return RawBenchmark(
        mentions={split: _Rows(reader, fetched) for split, reader in readers.items()},
        entities=_Rows(entity_reader, fetched).__iter__,
        files=[reader.source.path.absolute() for reader in tables if reader.source.path is not None],
    )


def _for(path: str | os.PathLike, delimiter: str | None) -> str | None:
    """The delimiter where it applies: one of the tables may be of another kind."""
    return delimiter if Path(path).suffix.lower() in (".csv", ".tsv") else None


def _validated(make: Callable[[], Reader], found: list[str]) -> Reader | None:
    """A reader whose records are as they should be; otherwise what is wrong is added."""
    try:
        reader = make()
        reader.validate()
    except ValueError as error:
        found.append(str(error))
        return None
    return reader


class _Rows:
    """The rows of a table, read anew each time, so that they are never all in memory."""

    def __init__(self, reader: TableReader, fetched: Fetched):
        self.reader, self.fetched = reader, fetched

    def __iter__(self) -> Iterator[dict]:
        for row in self.reader.rows():
            given = {name: value for name, value in row.items() if name not in ("place", "image_status")}
            yield {**given, "image": picture_of(row, self.fetched)}
        # Only if the file changed after it was checked.
        self.reader.problems.raise_if_any()


def _fetched(readers: Sequence[TableReader], fetch: bool | FetchLimits) -> Fetched:
    """The file of each URL, or why there is none; and a line in the log for each table with URLs."""
    fetcher = PictureFetcher(fetch if isinstance(fetch, FetchLimits) else None) if fetch else None
    fetched: Fetched = {}
    for reader in readers:
        own: Fetched = {}
        urls = 0
        for rows in chunks(reader.rows(), reader.source.rows_at_once):
            wanted = [row["image"] for row in rows if is_url(row["image"])]
            urls += len(wanted)
            own |= fetcher.fetch(wanted) if fetcher is not None else {}
        if urls and fetcher is None:
            logger.warning(
                "%s: %s named by a URL, only fetched with `fetch_urls=True`",
                reader.source.subject,
                counted(urls, "picture"),
            )
        failed = [reason for file, reason in own.values() if file is None]
        if failed:
            logger.warning(
                "%s: %s could not be fetched: %s",
                reader.source.subject,
                counted(len(failed), "picture"),
                listed(failed, 5),
            )
        fetched |= own
    return fetched
