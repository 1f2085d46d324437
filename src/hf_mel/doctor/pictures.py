"""Checks of the pictures. Each file is read once and each different picture decoded once, one at a time."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from datasets import Dataset
from datasets.utils import tqdm

from ..data import IMAGE_STATUS, MELData, open_image
from ..data.images import picture_state, undecoded
from ..data.shards import file_digest
from ..data.tables import INCOMPLETE_FOLDER, MISSING_FOLDER, missing_folders, of_folder
from .album import Album
from .findings import Findings, Tally
from .mentions import Columns


TINY_SIDE = 32
_BROKEN = {
    "missing_file": "missing_pictures",
    "unreadable": "unreadable_pictures",
    "blank": "blank_pictures",
}
_FOLDERS = {"missing_picture_folders": MISSING_FOLDER, "incomplete_picture_folders": INCOMPLETE_FOLDER}
_ROWS = 100


@dataclass(frozen=True)
class _Record:
    """
    Owner of a picture. Records of the same `group`, a mention's sentence or an entity's id, may share a picture
    without a finding.
    """

    table: str
    split: str | None
    row: int
    id: str
    group: str
    gold: str | None = None


@dataclass
class _Different:
    """Distinct picture, and the records that have it."""

    status: str
    reason: str | None
    size: tuple[int, int] | None
    records: list[_Record] = field(default_factory=list)


def check_pictures(data: MELData, splits: dict[str, Columns], findings: Findings, album: Album) -> dict:
    """Counts what is recorded about pictures, opens those that should be there, and compares their bytes.

    Args:
        data ([`MELData`]): the benchmark; pictures are files or embedded bytes.
        splits (`dict[str, dict]`): its text columns.
        findings ([`Findings`]): takes what is found.
        album ([`Album`]): takes thumbnails of what should be looked at.

    Returns:
        `dict`: rows by status for `mentions` and `entities`, and the number of `different` pictures.
    """
    scan = _Scan(data.report.get("pictures") or [])
    total = sum(len(columns["id"]) for columns in splits.values()) + len(data.entities)
    with tqdm(total=total, desc="Pictures", unit=" records") as progress:
        for split, columns in splits.items():
            texts = zip(columns["text"], columns["entity_id"], strict=True)
            pictures = _pictures(data.mentions[split])
            for row, (record_id, status, picture) in enumerate(pictures):
                sentence, gold = next(texts)
                scan.look(_Record("mentions", split, row, record_id, sentence or record_id, gold), status, picture)
                progress.update()
        for row, (record_id, status, picture) in enumerate(_pictures(data.entities.dataset)):
            scan.look(_Record("entities", None, row, record_id, record_id), status, picture)
            progress.update()
    scan.close(findings)
    suspicious = scan.suspicious() + _compare(list(scan.different.values()), next(iter(splits), None), findings)
    _show(data, suspicious, album)
    return {
        "mentions": dict(sorted(scan.status["mentions"].items())),
        "entities": dict(sorted(scan.status["entities"].items())),
        "different": len(scan.different),
    }


def _pictures(table: Dataset) -> Iterator[tuple[str, str | None, dict | None]]:
    """Id, recorded status and undecoded picture of each row; only one picture's bytes are in memory at a time."""
    columns = undecoded(table.select_columns(["id", "image_status", "image"])).with_format("arrow")
    for batch in columns.iter(_ROWS):
        for row in zip(*(batch.column(name) for name in ("id", "image_status", "image")), strict=True):
            record_id, status, picture = (value.as_py() for value in row)
            if picture is not None and picture["bytes"] is None and not picture["path"]:
                picture = None
            yield record_id or "", status, picture


def _show(data: MELData, suspicious: list[tuple[str, "_Record | str", str, str]], album: Album) -> None:
    """Thumbnails: the pictures are read again, which is cheaper than to keep them."""
    for kind, where, label, note in suspicious:
        if not album.has_room(kind):
            continue
        if isinstance(where, str):
            album.add(kind, where if os.path.isfile(where) else None, label, note)
            continue
        table = data.entities.dataset if where.table == "entities" else data.mentions[where.split]
        picture = undecoded(table.select_columns(["image"]))[where.row]["image"]
        album.add(kind, picture, label, note or os.path.basename(picture["path"] or ""))


class _Scan:
    """Collects states and different pictures while the records go by.

    Args:
        reported (`list[dict]`): what a converter found. It names files, which the table no longer does.
    """

    def __init__(self, reported: list[dict]):
        self.different: dict[str, _Different] = {}
        self.status = {"mentions": Counter(), "entities": Counter()}
        self._reported = [entry for entry in reported if entry.get("status") in _BROKEN]
        self._digest_of_path: dict[str, str | None] = {}
        self._folders = [entry for entry in reported if entry.get("status") and of_folder(entry)]
        self._tallies = {status: Tally(kind, "records") for status, kind in _BROKEN.items()}
        self._contradictions = Tally("status_contradictions", "records")
        self._tiny = Tally("tiny_pictures", "records")
        for entry in self._reported:
            split = entry.get("split") if entry["table"] == "mentions" else None
            self._tallies[entry["status"]].show(entry["table"], split, entry["record"], entry.get("reason") or "")
        self._named = {entry["status"] for entry in self._reported}

    def look(self, record: _Record, status: str | None, picture: dict | None) -> None:
        """One record: its recorded state, and the picture itself if it has one."""
        if status not in IMAGE_STATUS or (status == "ok") != (picture is not None):
            has = "there is a picture" if picture is not None else "there is no picture"
            self._contradictions.hit(record.table, record.split, record.id, f"`image_status` is {status!r}, but {has}")
        if picture is None:
            self._count(record, status if status in _BROKEN else "none", None)
            return
        known = self._open(picture)
        if known is None:
            self._count(record, "missing_file", f"{picture['path']} is not there")
            return
        self._count(record, known.status, known.reason or os.path.basename(picture["path"] or ""))
        known.records.append(record)
        if known.size is not None and min(known.size) < TINY_SIDE:
            self._tiny.hit(record.table, record.split, record.id, "{} x {} pixels".format(*known.size))

    def _count(self, record: _Record, status: str, reason: str | None) -> None:
        """`reason` is `None` where the table alone says so; then the converter's report has the better examples."""
        self.status[record.table][status] += 1
        tally = self._tallies.get(status)
        if tally is not None:
            tally.count += 1
            tally.detail(record.split or "entities")
            if reason is not None or status not in self._named:
                tally.show(record.table, record.split, record.id, reason or f"`image_status` is {status!r}")

    def _open(self, picture: dict) -> _Different | None:
        """Returns the entry of a picture, which is decoded if its bytes are new; `None` if the file does not exist."""
        digest = self._digest(picture)
        if digest is None:
            return None
        if digest not in self.different:
            image, status = open_image(picture)
            reason = picture_state(picture, decode=True)[1] if status == "unreadable" else None
            self.different[digest] = _Different(status, reason, image.size if image is not None else None)
        return self.different[digest]

    def _digest(self, picture: dict) -> str | None:
        if picture["bytes"] is not None:
            return hashlib.sha256(picture["bytes"]).hexdigest()
        path = picture["path"]
        if path not in self._digest_of_path:
            self._digest_of_path[path] = _file_digest(path)
        return self._digest_of_path[path]

    def close(self, findings: Findings) -> None:
        self._close_folders(findings)
        named = sum(number for counts in self.status.values() for status, number in counts.items() if status != "none")
        findings.close_all((*self._tallies.values(), self._tiny), named)
        findings.close(self._contradictions, sum(sum(counts.values()) for counts in self.status.values()))

    def _close_folders(self, findings: Findings) -> None:
        """One finding each for missing and for incomplete folders: their records are no missing pictures of their own."""
        missing = self._tallies["missing_file"]
        for kind, status in _FOLDERS.items():
            folders = Tally(kind, "folders")
            for reason, number in missing_folders(self._folders, (status,)).items():
                folders.hit("files", None, None, f"{reason}, records without their picture: {number:,}")
            for entry in self._folders:
                if entry["status"] == status:
                    part = entry["split"] if entry["table"] == "mentions" else "entities"
                    folders.detail(part, entry["records"])
                    missing.count = max(0, missing.count - entry["records"])
                    missing.detail(part, -entry["records"])
            findings.close(folders, folders.count)
        missing.details = {part: number for part, number in missing.details.items() if number}

    def suspicious(self) -> list[tuple[str, "_Record | str", str, str]]:
        """Pictures to look at for their own sake: kind, place, label and note."""
        shown = [
            (_BROKEN[entry["status"]], str(entry["file"]), str(entry["record"]), os.path.basename(str(entry["file"])))
            for entry in self._reported
            if entry["status"] != "missing_file"
        ]
        for picture in self.different.values():
            first = picture.records[0]
            if picture.status in _BROKEN:
                shown.append((_BROKEN[picture.status], first, first.id, ""))
            elif min(picture.size) < TINY_SIDE:
                shown.append(("tiny_pictures", first, first.id, "{} x {}".format(*picture.size)))
        return shown


def _file_digest(path: str) -> str | None:
    """Of the content; `None` if nothing is there."""
    if os.path.exists(path) and not os.path.isfile(path):
        return f"path {path}"  # a folder, or a pipe that nobody writes into: unreadable, and the same as no other
    try:
        return file_digest(path)
    except FileNotFoundError:
        return None
    except OSError:
        return f"path {path}"  # no permission


def _compare(
    different: list[_Different], first_split: str | None, findings: Findings
) -> list[tuple[str, "_Record | str", str, str]]:
    """Records with the same picture, byte for byte; those to look at are returned, the most frequent first."""
    entities, mentions = Tally("duplicate_entity_pictures", "entities"), Tally("duplicate_mention_pictures")
    gold, leaked = Tally("gold_pictures_in_mentions"), Tally("picture_leakage", "pictures")
    totals: Counter[str] = Counter()
    shown = []
    usable = [picture for picture in different if picture.status == "ok"]
    for picture in sorted(usable, key=lambda picture: -len(picture.records)):
        of_table = {
            name: [each for each in picture.records if each.table == name] for name in ("mentions", "entities")
        }
        totals.update({name: len(found) for name, found in of_table.items()})
        for tally, found in ((entities, of_table["entities"]), (mentions, of_table["mentions"])):
            groups = list(dict.fromkeys(record.group for record in found))
            if len(groups) > 1:
                ids = [record.id for record in found]
                tally.hit(
                    found[0].table, found[0].split, ids[0], f"{len(ids)} have it: {', '.join(ids[:5])}", len(ids)
                )
                tally.detail("pictures")
                shown.append((tally.kind, found[0], ", ".join(ids[:2]), f"{len(ids)} times"))
        owners = {record.id for record in of_table["entities"]}
        for record in of_table["mentions"]:
            if record.gold in owners:
                gold.hit("mentions", record.split, record.id, f"the picture of {record.gold}")
                shown.append((gold.kind, record, record.id, str(record.gold)))
        homes = list(dict.fromkeys(record.split for record in of_table["mentions"]))
        totals["later"] += any(split != first_split for split in homes)
        if len(homes) > 1:
            here = next(record for record in of_table["mentions"] if record.split == homes[1])
            leaked.hit("mentions", homes[1], here.id, f"also {of_table['mentions'][0].id!r} of {homes[0]}")
    findings.close(entities, totals["entities"])
    findings.close_all((mentions, gold), totals["mentions"])
    findings.close(leaked, totals["later"])
    return shown
