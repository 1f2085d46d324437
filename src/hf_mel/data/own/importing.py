"""Own tables of entities and mentions, as what a build writes."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ..layouts.base import RawBenchmark
from ..problems import listed
from ..tables import chunks
from .columns import ENTITIES
from .mentions import check_splits, mention_reader
from .reading import ReadOptions, TableReader
from .sources import open_source
from .urls import FetchLimits, PictureFetcher, is_url, shown_url


logger = logging.getLogger(__name__)

Reader = TypeVar("Reader", bound=TableReader)


def read_own_data(
    entities: str | os.PathLike,
    mentions: Mapping[str, str | os.PathLike],
    *,
    columns: Mapping[str, str | None] | None = None,
    mention_columns: Mapping[str, str | None] | None = None,
    nil_values: Sequence[str] = ("NIL",),
    delimiter: str | None = None,
    fetch_urls: bool | FetchLimits = False,
    **options,
) -> RawBenchmark:
    """Reads and checks own tables for [`~hf_mel.data.building.build_dataset`], which writes them as Parquet.

    The tables are gone through once to find all that is wrong, before a picture is fetched or opened; the build then reads
    them again, a batch at a time.

    Args:
        entities (`str` or `os.PathLike`): a `.csv`, `.tsv`, `.jsonl` or `.parquet` file, or a folder of pictures.
        mentions (`Mapping[str, str]`): such a file or a folder of pictures with a table, by split.
        columns, mention_columns (`Mapping[str, str]`, *optional*): the column of a field, in either table.
        nil_values (`Sequence[str]`, *optional*, defaults to `("NIL",)`): what else than nothing stands for NIL.
        delimiter (`str`, *optional*): what separates the cells of CSV.
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
    if not mentions:
        raise ValueError(
            "there are no mentions: a knowledge base alone is kept by `KnowledgeBase.from_csv(...).save(...)`"
        )
    found: list[str] = []

    def read_entities() -> TableReader:
        source = open_source(entities, "entities", delimiter=_for(entities, delimiter))
        return TableReader(source, ENTITIES, ReadOptions(columns=columns, **options))

    entity_reader = _validated(read_entities, found)
    kb = entity_reader.ids if entity_reader is not None else None
    readers = {}
    for split, path in mentions.items():
        reading = ReadOptions(columns=mention_columns, **options)
        readers[split] = _validated(
            lambda: mention_reader(path, split, _for(path, delimiter), reading, kb, nil_values),  # noqa: B023
            found,
        )
    if found:
        raise ValueError("\n".join(found))
    check_splits({split: reader.ids for split, reader in readers.items()})
    tables = [entity_reader, *readers.values()]
    files = _files_of_urls(tables, fetch_urls)
    return RawBenchmark(
        mentions={split: _Rows(reader, files) for split, reader in readers.items()},
        entities=_Rows(entity_reader, files).__iter__,
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

    def __init__(self, reader: TableReader, files: Mapping[str, Path]):
        self.reader, self.files = reader, files

    def __iter__(self) -> Iterator[dict]:
        for row in self.reader.rows():
            image = row["image"]
            if is_url(image):
                image = str(self.files.get(image) or shown_url(image))
            yield {name: value for name, value in row.items() if name not in ("place", "image_status")} | {
                "image": image
            }
        # Only if the file changed after it was checked.
        self.reader.problems.raise_if_any()


def _files_of_urls(readers: Sequence[TableReader], fetch: bool | FetchLimits) -> dict[str, Path]:
    """Where the pictures lie that were fetched; and a line in the log for what else there is to say of the pictures."""
    fetcher = PictureFetcher(fetch if isinstance(fetch, FetchLimits) else None) if fetch else None
    files: dict[str, Path] = {}
    for reader in readers:
        urls = lost = 0
        failed: dict[str, str] = {}
        for rows in chunks(reader.rows(), reader.source.rows_at_once):
            lost += sum(not row["image"] and row.get("image_status") not in (None, "none") for row in rows)
            wanted = [row["image"] for row in rows if is_url(row["image"])]
            urls += len(wanted)
            for url, (file, reason) in (fetcher.fetch(wanted) if fetcher is not None else {}).items():
                if file is None:
                    failed[url] = reason
                else:
                    files[url] = file
        if urls and fetcher is None:
            logger.warning(
                "%s: %d pictures are URLs, which are only fetched with `fetch_urls`", reader.source.subject, urls
            )
        if failed:
            logger.warning(
                "%s: %d pictures could not be fetched: %s",
                reader.source.subject, len(failed), listed(failed.values(), 5),
            )  # fmt: skip
        if lost:
            logger.warning(
                "%s: %d records without a picture say why (`image_status`); they count as naming none",
                reader.source.subject, lost,
            )  # fmt: skip
    return files
