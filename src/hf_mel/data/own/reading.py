"""From a source to a checked table: columns, records, pictures, in batches that fit into memory."""

import logging
import os
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features
from datasets.fingerprint import get_temporary_cache_files_directory

from ..problems import Problem, Problems, RecordProblems, counted, listed
from ..tables import NoPicture, PictureLog, PictureRule, arrow_table, chunks
from ..url_names import is_url, shown_url
from .columns import TableKind, map_columns
from .converted_ids import ConvertedIds
from .records import check_record, from_cells, plain_value, split_list
from .sources import Source, picture_files
from .unsplit import UnsplitLists
from .urls import FetchLimits, PictureFetcher


logger = logging.getLogger(__name__)

_NOT_ASKED = "was not fetched: URLs are only followed with `fetch_urls=True`"
_STRICT = (
    "Restore the files, or allow missing pictures (strict_images=False): their records then count as having none."
)


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading a user's table; the arguments that all ways in share.

    Args:
        columns (`Mapping[str, str]`, *optional*): the column of a field, such as `{"id": "sku", "name": "label"}`; `None`
            leaves a field out. Fields that are not named here are found by the name of their column, whatever its case,
            or by a usual synonym, which the log tells.
        columns_argument (`str`, *optional*, defaults to `"columns"`): what a caller calls `columns`, for messages.
        all_kept (`bool`, *optional*, defaults to `False`): a caller keeps columns that are no field; the log does not name
            them.
        list_separator (`str`, *optional*, defaults to `"|"`): what separates several aliases or types in one cell.
        images (`str` or `os.PathLike`, *optional*): where relative paths of pictures start; the folder of the file by
            default.
        fetch_urls (`bool` or [`FetchLimits`], *optional*, defaults to `False`): fetch pictures that are named by a URL.
            Otherwise their records have the status `missing_file`, and the log says how many.
        check_images (`bool`, *optional*, defaults to `False`): decode every picture once, to find the unreadable and
            blank ones; otherwise only the presence of files is looked at.
        strict_images (`bool`, *optional*, defaults to `False`): refuse a table with pictures that are missing or (with
            `check_images`) unreadable.
        strict_columns (`bool`, *optional*, defaults to `False`): refuse a table with columns that are not used; by
            default the log names them.
    """

    columns: Mapping[str, str | None] | None = None
    columns_argument: str = "columns"
    all_kept: bool = False
    list_separator: str = "|"
    images: str | os.PathLike | None = None
    fetch_urls: bool | FetchLimits = False
    check_images: bool = False
    strict_images: bool = False
    strict_columns: bool = False

    def __post_init__(self):
        if not self.list_separator:
            raise ValueError("list_separator is empty: use a character that no alias and no type holds")
        if self.images is not None and not Path(self.images).is_dir():
            raise FileNotFoundError(f"images={str(self.images)!r}: there is no such folder")


@dataclass(frozen=True)
class Checked:
    """One record of a source, and what is wrong with it.

    Args:
        place (`str`): where it begins, such as `"line 3"`.
        given: the record as the source has it, with the source's own columns; text or cells where it is none.
        row (`dict`, *optional*): as [`~TableReader.rows`] gives it. `None` where the types are wrong, or it is no record.
        problems (`tuple[Problem, ...]`): all that is wrong with it; nothing may be.
    """

    place: str
    given: object
    row: dict | None
    problems: tuple[Problem, ...]


class TableReader:
    """Reads a source into records of one kind, and these into a table.

    Args:
        source ([`~hf_mel.data.own.sources.Source`]): where the records come from.
        kind ([`~hf_mel.data.own.columns.TableKind`]): entities or mentions.
        options ([`ReadOptions`], *optional*): columns, pictures and lists.
        exact (`bool`, *optional*, defaults to `False`): the source has the fields of the schema and nothing else; no
            column is looked for under another name, no value is written in another way.
    """

    def __init__(self, source: Source, kind: TableKind, options: ReadOptions | None = None, *, exact: bool = False):
        self.source, self.kind, self.exact = source, kind, exact
        self.options = options or ReadOptions()
        others = "" if exact else f"Correct the source, or name other columns by `{self.options.columns_argument}=`. "
        needed = " and ".join(f"`{name}`" for name in kind.needed_columns)
        self.problems = Problems(
            source.subject, f"{others}Allowed fields are {listed(kind.features)}; {needed} are needed."
        )
        images = self.options.images
        self.folder = Path(images if images is not None else source.folder or ".").absolute()
        self._columns = {name: name for name in kind.features}
        self._shown: dict[str, str] = {}
        if not exact:
            self._find_columns()
        self._first: dict[str, str] = {}
        self._counted = 0
        self._unsplit = UnsplitLists(kind, self.options.list_separator, source.subject)
        self._converted_ids = ConvertedIds(source.subject)

    def _find_columns(self) -> None:
        options, subject = self.options, self.source.subject
        available = self.source.column_names(self.problems)
        if not available:
            raise ValueError(f"{subject} holds no {self.kind.noun}")
        columns = dict(options.columns or {})
        if self.source.of_folder and "file_name" in available:
            columns.setdefault("image", "file_name")  # what `datasets` calls it in such a table
        self._columns = map_columns(
            self.kind,
            available,
            columns,
            self.problems,
            strict_columns=options.strict_columns,
            argument=options.columns_argument,
            all_kept=options.all_kept,
        )
        self.problems.raise_if_any()
        self._shown = {
            name: f"`{name}` (column {column!r})" for name, column in self._columns.items() if column != name
        }

    # ---- Records ----

    def rows(self) -> Iterator[dict]:
        """The records that are as they should be; what is wrong with the others is added to `problems`.

        A row has the fields of the kind; `image` is an absolute path, a URL, encoded bytes, `{"bytes", "path"}`, an open
        picture, or `None`. Each row also has `place`.
        """
        for record in self.checked():
            for problem in record.problems:
                self.problems.add(problem.where, problem.what)
            if record.row is not None:
                yield record.row

    def checked(self, *, whole: bool = False) -> Iterator[Checked]:
        """All records, each with what is wrong with it; nothing is added to `problems`.

        Args:
            whole (`bool`, *optional*, defaults to `False`): `given` has all columns of the source, not only those that
                are used.
        """
        wanted = None if self.exact or whole else set(self._columns.values())
        found = RecordProblems(self.source.subject)
        self._first, self._counted = {}, 0
        for number, (place, given) in enumerate(self.source.records(wanted, found)):
            before: list[Problem] = []
            own: list[Problem] = []
            for problem in found.take():
                (own if place in (problem.where, problem.record) else before).append(problem)
            yield from _not_read(before)
            self._counted += 1
            row = self._row(number, place, given, found)
            yield Checked(place, given, row, (*own, *found.take()))
        self._unsplit.warn()
        self._converted_ids.warn(self._called)
        yield from _not_read(found.take())

    def _row(self, number: int, place: str, record, problems: Problems) -> dict | None:
        if isinstance(record, dict) and not self.exact:
            record = self._converted(record, number)
            self._converted_ids.look(place, record)
        if not check_record(record, place, self.kind, problems, self._shown):
            return None
        if self._first.setdefault(record["id"], place) != place:
            first = self._first[record["id"]]
            problems.add(place, f"{self._called('id')} {record['id']!r} is already that of {first}", field="id")
        row = {"source_row": number, **record} if "source_row" in self.kind.features else dict(record)
        if row.get("source_row", number) is None:
            row["source_row"] = number
        row |= {"image": self._absolute(row.get("image")), "place": place}
        self._complete(row, problems)
        return row

    def _complete(self, row: dict, problems: Problems) -> None:
        """Checks and completes a row beyond its types, for a kind of records; changes the row."""

    def _called(self, field: str) -> str:
        return self._shown.get(field, f"`{field}`")

    def _converted(self, record: dict, number: int) -> dict:
        record = {name: plain_value(record.get(column)) for name, column in self._columns.items()}
        self._unsplit.look(record)
        if self.source.cells:
            record = from_cells(record, self.kind, self.options.list_separator)
        for name in ("id", "entity_id"):
            # A number is a usual key, and its digits are the one way to write it.
            if isinstance(record.get(name), int) and not isinstance(record[name], bool):
                record[name] = str(record[name])
        for name in self.kind.lists:
            if isinstance(record.get(name), str):
                record[name] = split_list(record[name], self.options.list_separator)
        if "id" not in self._columns and self.kind.noun == "mention":
            record["id"] = f"{self.source.prefix}-{number + 1}"
        return record

    def _absolute(self, image):
        """Paths of pictures where they are, whatever the working directory; anything else as it is."""
        if isinstance(image, dict) and image.get("bytes") is None:
            image = image.get("path")
        if image is None or image == "":
            return None
        if is_url(image) or not isinstance(image, (str, os.PathLike)):
            return image
        return str(self.folder / image)

    @property
    def ids(self) -> Collection[str]:
        """The ids that were found when the records were last gone through."""
        return self._first.keys()

    def validate(self) -> None:
        """Goes through all records without looking at pictures.

        Raises:
            `ValueError`: lists everything that is wrong, with place and field; or there is no record.
        """
        for _ in self.rows():
            pass
        self.problems.raise_if_any()
        if not self._counted:
            raise ValueError(f"{self.source.subject} holds no {self.kind.noun}")

    # ---- Tables ----

    def read(self, *, in_memory: bool = False) -> Dataset:
        """All records as a `Dataset` with the columns of the kind.

        The table lies in a temporary file, which the process removes at its end, so that memory stays small.

        Args:
            in_memory (`bool`, *optional*, defaults to `False`): keep it in memory, without a file; it may be empty then.

        Raises:
            `ValueError`: lists everything that is wrong, with place and field; or there is no record.
            `FileNotFoundError`: nothing but pictures is missing, and `strict_images` is set.
        """
        fetch = self.options.fetch_urls
        if fetch:
            self.validate()  # before anything is fetched for a table that will be refused
        fetcher = PictureFetcher(fetch if isinstance(fetch, FetchLimits) else None) if fetch else None
        pictures = Pictures(fetcher, PictureRule(check=self.options.check_images))
        dataset = dataset_of(self._tables(pictures), self.kind.features, in_memory=in_memory)
        if not len(dataset) and not in_memory:
            raise ValueError(f"{self.source.subject} holds no {self.kind.noun}")
        pictures.report(self.source.subject)
        if self.source.of_folder:
            self._report_unnamed()
        return dataset

    def _tables(self, pictures: "Pictures") -> Iterator[pa.Table]:
        """Batches of the table; what is wrong is raised after the last."""
        for rows in chunks(self.rows(), self.source.rows_at_once):
            yield pictures.table(rows, self.kind.features)
        others = len(self.problems)
        if self.options.strict_images:
            for place, record, _, reason in pictures.broken:
                self.problems.add(f"{place}, picture of record {record!r}", reason)
            if not others and any(status == "missing_file" for _, _, status, _ in pictures.broken):
                self.problems.cure = _STRICT
                raise FileNotFoundError(self.problems.message())
        self.problems.raise_if_any()

    def _report_unnamed(self) -> None:
        """Pictures of a folder which its table does not name are not lost without a word."""
        named = {os.path.normpath(row["image"]) for row in self.rows() if isinstance(row["image"], str)}
        unnamed = [name for name in picture_files(self.folder) if os.path.normpath(self.folder / name) not in named]
        if unnamed:
            logger.warning(
                "%s: %s of %s in no record: %s",
                self.source.subject, counted(len(unnamed), "picture"), self.folder, listed(sorted(unnamed), 5),
            )  # fmt: skip


def _not_read(problems: list[Problem]) -> Iterator[Checked]:
    """Returns the parts of the source that are no records, by the place at which each would begin."""
    groups: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.record or problem.where].append(problem)
    for place, group in groups.items():
        given = next((problem.given for problem in group if problem.given is not None), None)
        yield Checked(place, given, None, tuple(group))


class Pictures:
    """Handles the pictures of rows: paths are checked, URLs fetched if asked, and the rest is counted.

    Args:
        fetcher ([`~hf_mel.data.own.urls.PictureFetcher`], *optional*): fetches URLs; without one they are not fetched.
        rule ([`~hf_mel.data.tables.PictureRule`]): whether pictures are decoded.
    """

    def __init__(self, fetcher: PictureFetcher | None, rule: PictureRule):
        self.fetcher, self.rule = fetcher, rule
        self.log = PictureLog()
        self.broken: list[tuple[str, str, str, str]] = []
        self._records: dict[str, list[str]] = defaultdict(list)

    def table(self, rows: list[dict], features: Features) -> pa.Table:
        """Rows as a table with the status of each picture."""
        urls = [row["image"] for row in rows if is_url(row["image"])]
        fetched = self.fetcher.fetch(urls) if self.fetcher is not None else {}
        table, log = arrow_table([{**row, "image": picture_of(row, fetched)} for row in rows], features, self.rule)
        for row, status in zip(rows, table.column("image_status").to_pylist(), strict=True):
            # A status that the table itself gives is no news.
            if status not in ("ok", "none") and row["image"] is not None:
                self._add(row, status, self._reason(row, fetched, log))
        return table

    def _reason(self, row: dict, fetched: Mapping, log: PictureLog) -> str:
        image = picture_of(row, fetched)
        if isinstance(image, NoPicture):
            return image.reason
        key = str(image) if isinstance(image, (str, os.PathLike)) else f"in record {row['id']}"
        # A file that is missing with its whole folder has no entry of its own there.
        return log.broken[key]["reason"] if key in log.broken else f"{key} is not there"

    def _add(self, row: dict, status: str, reason: str) -> None:
        if status != "blank":
            self.broken.append((row["place"], row["id"], status, reason))
        kind = "not there" if status == "missing_file" else status
        if is_url(row["image"]):
            kind = "named by a URL and not fetched" if self.fetcher is None else "could not be fetched"
        self._records[kind].append(row["id"])
        logger.debug("%s, record %r: %s", row["place"], row["id"], reason)

    def report(self, subject: str) -> None:
        """One line in the log for each way in which pictures are unusable."""
        for kind, records in self._records.items():
            cure = "; `fetch_urls=True` fetches such pictures" if "and not fetched" in kind else ""
            number = counted(len(records), "picture")
            logger.warning("%s: %s %s: %s%s", subject, number, kind, listed(records, 5), cure)


def picture_of(row: dict, fetched: Mapping[str, tuple[Path | None, str | None]]):
    """The picture of a row: the file of a URL that was fetched, or [`NoPicture`] where it is known why there is none.

    Args:
        row (`dict`): a record with `image`, and `image_status` if the table gives one.
        fetched (`Mapping`): by URL, the file or the reason why there is none; a URL that is not in it was not fetched.
    """
    image, status = row["image"], row.get("image_status")
    if is_url(image):
        file, reason = fetched.get(image, (None, f"{shown_url(image)} {_NOT_ASKED}"))
        return str(file) if file is not None else NoPicture("missing_file", reason, shown_url(image))
    if image is None and status not in (None, "none"):
        return NoPicture(status, f"`image_status` is {status!r}, and no picture is named")
    return image


def dataset_of(tables: Iterable[pa.Table], features: Features, *, in_memory: bool) -> Dataset:
    """A `Dataset` of tables that come one after the other, from memory or from a temporary file."""
    schema = features.arrow_schema
    if in_memory:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return Dataset.from_buffer(sink.getvalue())
    handle, name = tempfile.mkstemp(prefix="own-", suffix=".arrow", dir=get_temporary_cache_files_directory())
    complete = False
    try:
        with os.fdopen(handle, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        complete = True
    finally:
        if not complete:
            os.unlink(name)
    return Dataset.from_file(name)
