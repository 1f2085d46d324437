"""From rows to Arrow tables: every picture is looked at, and its state stands beside it."""

import io
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features, List
from datasets.table import InMemoryTable
from PIL import Image

from .hdf5_pictures import StoredPicture
from .images import open_image, picture_state, read_picture
from .problems import listed


MISSING_FOLDER = "missing_folder"
"""Status of an entry in a report for a folder of pictures that is empty or not there; its rows have `missing_file`."""

INCOMPLETE_FOLDER = "incomplete_folder"
"""Status of an entry in a report for a folder of which many pictures are missing; their rows have `missing_file`."""

MANY = 20
"""Missing pictures of one folder from which on they are one entry in a report."""

CHUNK = 100
"""Rows that are handled together: few enough that their pictures fit into memory."""


@dataclass(frozen=True)
class PictureRule:
    """Rule for the picture of a row.

    Args:
        check (`bool`, *optional*, defaults to `False`): decode it, to find what is unreadable or blank; otherwise only
            the presence of a file is looked at.
        embed (`bool`, *optional*, defaults to `False`): put the bytes into the table, otherwise the path.
        max_side (`int`, *optional*): a longer side than this is scaled down to it when a picture is embedded; by default
            pictures keep their bytes.
    """

    check: bool = False
    embed: bool = False
    max_side: int | None = None


@dataclass(frozen=True)
class NoPicture:
    """Value of a row that has no picture, where the reason is known.

    Args:
        status (`str`): `"missing_file"`, `"unreadable"` or `"blank"`.
        reason (`str`): what is wrong with which file.
        file (`str`, *optional*): the file or URL that is named.
    """

    status: str
    reason: str
    file: str | None = None


@dataclass
class PictureLog:
    """Findings about the pictures of some rows.

    Args:
        by_status (`Counter`): rows by status.
        broken (`dict[str, dict]`): by file: `status`, `reason`, the first `record`, and the number of `records`. A folder of
            which no file is there is one entry with the status `"missing_folder"`, whatever the number of its files.
    """

    by_status: Counter = field(default_factory=Counter)
    broken: dict[str, dict] = field(default_factory=dict)

    def add(self, record: str, file: str, status: str, reason: str | None, folder: str | None = None) -> None:
        """Counts a row; `folder` is that of a file which is missing because the whole folder is."""
        self.by_status[status] += 1
        if status in ("ok", "none"):
            return
        reason = reason or f"{file} has one colour only"
        if folder is not None:
            file, status, reason = folder, MISSING_FOLDER, f"the folder of pictures {folder} is empty or not there"
        entry = {"record": record, "status": status, "reason": reason, "records": 0}
        self.broken.setdefault(file, entry)["records"] += 1

    def update(self, other: "PictureLog") -> None:
        """Adds what was found about the rows that follow."""
        self.by_status.update(other.by_status)
        for file, entry in other.broken.items():
            if file in self.broken:
                self.broken[file]["records"] += entry["records"]
            else:
                self.broken[file] = dict(entry)

    def entries(self, table: str, split: str) -> list[dict]:
        """The broken pictures for a report."""
        return [{"table": table, "split": split, "file": file, **entry} for file, entry in self.broken.items()]


def chunks(rows: Iterable[dict], size: int = CHUNK) -> Iterator[list[dict]]:
    """Lists of `size` rows, the last one shorter."""
    chunk: list[dict] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def arrow_table(rows: list[dict], features: Features, rule: PictureRule) -> tuple[pa.Table, PictureLog]:
    """Rows as a table with the columns of `features`, and what was found about their pictures.

    Args:
        rows (`list[dict]`): records without `image_status`; a missing key is null, or an empty list. `image` is a path,
            encoded bytes, `{"bytes", "path"}`, an open picture, a [`StoredPicture`], [`NoPicture`], or `None`.
        features (`Features`): with `id`, `image` and `image_status` among them.
        rule ([`PictureRule`]): what to do with the pictures.
    """
    log = PictureLog()
    lists = [name for name, feature in features.items() if isinstance(feature, List)]
    complete, seen, whole_folders = [], {}, {}
    for row in rows:
        source = row.get("image")
        # The mentions of a caption share its picture.
        key = source if isinstance(source, (str, os.PathLike, StoredPicture)) else None
        if key is None or key not in seen:
            seen = {key: _stored(source, rule)}
        image, status, reason = seen[key]
        named = source.file if isinstance(source, NoPicture) else key
        folder = None
        if status == "missing_file" and key is not None and "://" not in str(key):
            place = key.folder if isinstance(key, StoredPicture) else os.path.dirname(key)
            if place not in whole_folders:
                whole_folders[place] = key.folder_is_missing() if isinstance(key, StoredPicture) else is_missing(place)
            folder = place if whole_folders[place] else None
        log.add(row["id"], str(named) if named else f"in record {row['id']}", status, reason, folder)
        full = {name: row.get(name) for name in features}
        complete.append(full | {name: full[name] or [] for name in lists} | {"image": image, "image_status": status})
    return pa.Table.from_pylist(complete, schema=features.arrow_schema), log


def is_missing(folder: str | os.PathLike) -> bool:
    """Returns `True` if a folder is not there, or holds nothing but hidden files."""
    if not os.path.isdir(folder):
        return bool(folder)
    try:
        return all(name.startswith(".") for name in os.listdir(folder))
    except OSError:  # it may not be read
        return False


def table_in_memory(rows: Iterable[dict], features: Features, rule: PictureRule) -> tuple[Dataset, PictureLog]:
    """All rows as a `Dataset`; their pictures are paths unless the rule embeds them."""
    log = PictureLog()
    tables = [features.arrow_schema.empty_table()]
    for chunk in chunks(rows):
        table, found = arrow_table(chunk, features, rule)
        tables.append(table)
        log.update(found)
    return Dataset(InMemoryTable(pa.concat_tables(tables).combine_chunks())), log


def refuse_broken(entries: list[dict]) -> None:
    """Raises if a report lists any picture that is missing, unreadable or blank, naming the first of them.

    Raises:
        `FileNotFoundError`: at least one is missing. `ValueError`: all are there, but some cannot be used.
    """
    if entries:
        raise refusal(entries)(
            f"{summary(entries)}. Complete the folder, name it by `images=`, or pass strict_images=False"
        )


def refusal(entries: list[dict]) -> type[Exception]:
    """Kind of error that refuses broken pictures: the first kind if any is missing, else the second."""
    missing = any(entry["status"] == "missing_file" or of_folder(entry) for entry in entries)
    return FileNotFoundError if missing else ValueError


def condensed(entries: list[dict]) -> list[dict]:
    """The entries of a report: the missing pictures of a folder become one entry for each table, where they are `MANY`.

    Such an entry names the folder, the number of its missing pictures and three of them. Pictures that are named by a URL
    stay as they are. The rows themselves say which of them lack their picture.
    """
    files: dict[str, dict[str, None]] = defaultdict(dict)
    for entry in entries:
        folder, name = os.path.split(entry["file"])
        if entry["status"] == "missing_file" and folder and "://" not in folder:
            files[folder][name] = None
    kept: dict[tuple, dict] = {}
    for number, entry in enumerate(entries):
        folder = os.path.dirname(entry["file"]) if entry["status"] == "missing_file" else ""
        names = files.get(folder, ())
        if len(names) < MANY:
            kept[number,] = entry
            continue
        key = entry["table"], entry["split"], folder
        if key in kept:
            kept[key]["records"] += entry["records"]
            continue
        reason = f"{len(names):,} pictures of the folder {folder} are not there, such as {', '.join(list(names)[:3])}"
        kept[key] = {**entry, "file": folder, "status": INCOMPLETE_FOLDER, "reason": reason}
    return list(kept.values())


def of_folder(entry: dict) -> bool:
    """Returns `True` for an entry of a report that is about a folder, not about one picture."""
    return entry["status"] in (MISSING_FOLDER, INCOMPLETE_FOLDER)


def missing_folders(
    entries: list[dict], statuses: Collection[str] = (MISSING_FOLDER, INCOMPLETE_FOLDER)
) -> dict[str, int]:
    """Description of each missing or incomplete folder, with the number of records that name a missing file in it."""
    found: Counter[str] = Counter()
    for entry in entries:
        if entry["status"] in statuses:
            found[entry["reason"]] += entry["records"]
    return dict(found)


def folder_lines(entries: list[dict], shown: int = 5) -> list[str]:
    """A line for each missing or incomplete folder; of many folders, the first, and how many more there are."""
    lines = [f"{what}, records without their picture: {number:,}" for what, number in missing_folders(entries).items()]
    more = len(lines) - shown
    return lines if more < 2 else [*lines[:shown], f"{more:,} more folders of pictures are missing or incomplete"]


def summary(entries: list[dict]) -> str:
    """The broken pictures in one line: folders, then how many pictures of which kind, and the first of them."""
    files = [entry for entry in entries if not of_folder(entry)]
    return "; ".join([*folder_lines(entries), *([_summary_of_files(files)] if files else [])])


def _summary_of_files(entries: list[dict]) -> str:
    kinds = Counter(entry["status"] for entry in entries)
    numbers = listed(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    first = listed((f"record {entry['record']!r}: {entry['reason']}" for entry in entries), 5)
    some = "1 picture" if len(entries) == 1 else f"{len(entries):,} pictures"
    return f"{some} cannot be used ({numbers}): {first}"


def _stored(source, rule: PictureRule) -> tuple[dict | None, str, str | None]:
    """The picture as the table holds it, its status, and what is wrong with it."""
    if isinstance(source, NoPicture):
        return None, source.status, source.reason
    if isinstance(source, StoredPicture):
        encoded = source.read()
        if encoded is None:
            absent = source.named or source.folder_is_missing()
            return (None, "missing_file", f"{source} is not there") if absent else (None, "none", None)
        picture, status, reason = _stored({"bytes": encoded, "path": None}, rule)
        return picture, status, reason and reason.replace("embedded picture (unnamed)", str(source))
    if isinstance(source, Image.Image):
        # Before it is encoded: PNG holds neither the EXIF orientation nor every kind of pixels.
        source, status, reason = read_picture(source)
        if source is None:
            return None, status, reason
    picture = as_stored(source)
    if rule.embed and picture is not None and picture["bytes"] is None and os.path.isfile(picture["path"]):
        picture["bytes"] = Path(picture["path"]).read_bytes()
    status, reason = picture_state(picture, decode=rule.check)
    if status != "ok":
        return None, status, reason
    if rule.embed:
        picture["path"] = os.path.basename(picture["path"]) if picture["path"] else None
        if rule.max_side is not None:
            picture["bytes"] = _scaled(picture["bytes"], rule.max_side)
    return picture, status, None


def as_stored(source) -> dict | None:
    """Whatever names or holds an encoded or open picture, as `{"bytes", "path"}`."""
    if source is None or source == "":
        return None
    if isinstance(source, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(source), "path": None}
    if isinstance(source, (str, os.PathLike)):
        return {"bytes": None, "path": str(source)}
    if isinstance(source, Image.Image):
        return {"bytes": _encoded(source, "PNG"), "path": None}
    return {"bytes": source.get("bytes"), "path": source.get("path")}


def _scaled(encoded: bytes, max_side: int) -> bytes:
    """The picture with at most this side, its bytes untouched if it is no larger."""
    with Image.open(io.BytesIO(encoded)) as opened:
        size, kind = opened.size, opened.format
    if max(size) <= max_side:
        return encoded
    image, _ = open_image(encoded, strict=True)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return _encoded(image, "JPEG", quality=90) if kind == "JPEG" else _encoded(image, "PNG")


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
