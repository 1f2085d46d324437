"""State of an unfinished build, from which the next one continues."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from PIL import Image

from ..hdf5_pictures import StoredPicture
from ..tables import NoPicture, PictureLog, chunks, is_missing


STATE_FILE = "state.json"
LOCK_FILE = "lock"


@dataclass
class Shard:
    """A shard that is whole.

    Args:
        file (`str`): where it lies, relative to the folder of the build.
        rows, file_bytes, table_bytes (`int`): its rows, its size, and what they take in memory.
        sha256 (`str`): of the file.
        digest (`str`): of the rows that went in, with size and time of each picture.
        last (`bool`): whether it ended because there were no more rows.
        by_status (`dict`), broken (`dict`): as in [`PictureLog`].
    """

    file: str
    rows: int
    file_bytes: int
    table_bytes: int
    sha256: str
    digest: str
    last: bool
    by_status: dict[str, int] = field(default_factory=dict)
    broken: dict[str, dict] = field(default_factory=dict)

    def log(self) -> PictureLog:
        """Findings about its pictures."""
        return PictureLog(Counter(self.by_status), {file: dict(entry) for file, entry in self.broken.items()})


class BuildState:
    """The shards that are whole, by table (`"mentions/train"`), as a file beside them.

    Args:
        folder (`Path`): the hidden folder of the build.
        fingerprint (`str`): of options and input. What another build left is removed.
        resume (`bool`): whether to keep what an earlier build left.
    """

    def __init__(self, folder: Path, fingerprint: str, resume: bool):
        self.folder = folder
        self.fingerprint = fingerprint
        self.tables: dict[str, list[Shard]] = {}
        if resume:
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads((self.folder / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # there is none, or the machine went down while it was written
            return
        if content.get("fingerprint") != self.fingerprint:
            return
        tables = {table: [Shard(**shard) for shard in shards] for table, shards in content["tables"].items()}
        for shard in (shard for shards in tables.values() for shard in shards):
            file = self.folder / shard.file
            if not file.is_file() or file.stat().st_size != shard.file_bytes:
                return
        self.tables = tables

    def tidy(self) -> None:
        """Removes everything from the folder but the whole shards (and the lock)."""
        kept = {self.folder / shard.file for shards in self.tables.values() for shard in shards}
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in kept and path.name != LOCK_FILE:
                path.unlink()

    def add(self, table: str, shard: Shard) -> None:
        """Notes a shard, in one step: after a crash the note is either the old one or the new one."""
        self.tables.setdefault(table, []).append(shard)
        content = {
            "fingerprint": self.fingerprint,
            "tables": {table: [asdict(shard) for shard in shards] for table, shards in self.tables.items()},
        }
        temporary = self.folder / f"{STATE_FILE}.tmp"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        os.replace(temporary, self.folder / STATE_FILE)

    def rows(self, table: str) -> int:
        """Rows of a table that are written."""
        return sum(shard.rows for shard in self.tables.get(table, []))

    def log(self, table: str) -> PictureLog:
        """Findings about the pictures of a table."""
        log = PictureLog()
        for shard in self.tables.get(table, []):
            log.update(shard.log())
        return log

    def drop_changed(self, table: str, rows: Iterator[dict]) -> None:
        """Keeps the first shards of a table whose rows and pictures are those they were made from."""
        shards = self.tables.pop(table, [])
        true = 0
        while true < len(shards) and _is_true(shards[true], rows):
            true += 1
        if true and shards[true - 1].last and next(rows, None) is not None:
            true -= 1  # it would not have ended there
        self.tables[table] = shards[:true]


def _is_true(shard: Shard, rows: Iterator[dict]) -> bool:
    """Returns `True` if the next rows, and their pictures, are those that the shard was made from."""
    digests = [rows_digest(chunk) for chunk in chunks(islice(rows, shard.rows))]
    return joined(digests) == shard.digest


def rows_digest(rows: list[dict]) -> str:
    """A digest of rows and of size and time of their pictures: if it changes, so must the shard."""
    digest = hashlib.sha256()
    marks: dict[str, list] = {}
    for row in rows:
        image = row.get("image")
        key = str(image) if isinstance(image, (str, os.PathLike, StoredPicture)) else None
        if key is None or key not in marks:
            marks = {key: _mark(image)}
        text = json.dumps({**row, "image": marks[key]}, default=str, sort_keys=True)
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def joined(digests: list[str]) -> str:
    """One digest of many."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _mark(image) -> list | None:
    """Something that changes when a picture does. The place of a file does not count, its name does."""
    if image is None or image == "":
        return None
    if isinstance(image, NoPicture):
        return ["none", image.status, image.reason, image.file]
    if isinstance(image, StoredPicture):
        return [image.group, image.key, *_mark(image.file)]
    if isinstance(image, dict):
        image = image["bytes"] if image.get("bytes") is not None else image.get("path")
        return _mark(image)
    if isinstance(image, Image.Image):
        return ["pixels", image.size, hashlib.sha256(image.tobytes()).hexdigest()]
    if isinstance(image, bytes):
        return ["bytes", hashlib.sha256(image).hexdigest()]
    try:
        found = os.stat(image)
    except OSError as error:
        return [os.path.basename(image), type(error).__name__, is_missing(os.path.dirname(image))]
    return [os.path.basename(image), found.st_size, found.st_mtime_ns]
