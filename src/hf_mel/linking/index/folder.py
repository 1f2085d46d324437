"""The folder of an index while it is written: one writer at a time, and nothing left behind by those that died."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from ...data.problems import listed
from .manifest import (
    MANIFEST_FILE,
    REMOVED_FOLDER,
    SHARD_FOLDER,
    Manifest,
    Shard,
    read_manifest,
    write_bytes,
)


LOCK_FILE = ".lock"
PENDING_FOLDER = ".pending"
REFERENCE_FOLDER = ".reference"
_OWN = {LOCK_FILE, PENDING_FOLDER, REFERENCE_FOLDER, SHARD_FOLDER, REMOVED_FOLDER, f"{MANIFEST_FILE}.tmp"}


@contextmanager
def writing(folder: Path, timeout: float = 10.0) -> Iterator[None]:
    """
    Holds the lock of a folder. Readers need none.

    Raises:
        `PermissionError`: it is a copy in the cache of the Hub. `TimeoutError`: another process has held the lock for
        `timeout` seconds.
    """
    repo_id = cached_repository(folder)
    if repo_id is not None:
        raise PermissionError(
            f"{folder} is the copy of {repo_id} in the cache of the Hub, which is only read: fetch one of your own (`hf "
            f"download {repo_id} --repo-type dataset --local-dir DIR`) and change that"
        )
    lock = FileLock(folder / LOCK_FILE, timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise TimeoutError(
            f"{folder} is being written by another process: wait until it has ended, then try again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def cached_repository(folder: Path) -> str | None:
    """The repository whose files a folder in the cache of the Hub links to; `None` for any other folder."""
    place = folder.resolve()
    kind, *name = place.parents[1].name.split("--") if len(place.parents) > 1 else ("",)
    known = place.parent.name == "snapshots" and kind in ("models", "datasets", "spaces")
    return "/".join(name) if known and name else None


def check_usable(folder: Path, overwrite: bool) -> Manifest | None:
    """
    Checks that an index can be built in a folder, and returns the manifest of the existing one that may be replaced, if any.

    Raises:
        `ValueError`: it holds an index, and `overwrite` is false; or it holds other files.
        `NotADirectoryError`: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: an index is a folder")
    if (folder / MANIFEST_FILE).exists():
        if not overwrite:
            raise ValueError(
                f"{folder} holds an index already: add to it (`hf-mel index add`), replace it (`overwrite`), or choose "
                "another folder"
            )
        return readable_manifest(folder)
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    foreign = sorted(found - _OWN)
    if foreign or (SHARD_FOLDER in found and PENDING_FOLDER not in found):
        raise ValueError(
            f"{folder} is not empty and holds no index ({listed(foreign or sorted(found), 5)}): choose another folder"
        )
    return None


def readable_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or `None` where there is none, or one that cannot be read and is to be replaced."""
    try:
        return read_manifest(folder)
    except (FileNotFoundError, ValueError):
        return None


class Pending:
    """
    The shards of a change that is not committed yet. A note beside each says that it is whole, so that the same change,
    begun again, goes on after it.

    Args:
        folder (`Path`): The folder of the index.
        job (`str`): Fingerprint of the change.
    """

    def __init__(self, folder: Path, job: str):
        self.folder = folder
        self.job = job
        self._notes = folder / PENDING_FOLDER

    def begin(self, manifest: Manifest | None) -> None:
        """Keeps what this change wrote before and removes all else that does not belong to `manifest`."""
        job_file = self._notes / "job.json"
        if not (job_file.is_file() and job_file.read_text(encoding="utf-8") == json.dumps(self.job)):
            shutil.rmtree(self._notes, ignore_errors=True)
        self._notes.mkdir(exist_ok=True)
        write_bytes(job_file, json.dumps(self.job).encode(), sync=False)
        kept = [shard for shard in map(self._read, self._notes.glob("[0-9]*.json")) if shard is not None]
        tidy(self.folder, manifest, kept, pending=True)

    def whole(self, number: int) -> Shard | None:
        """The shard of this number, if it was written before."""
        return self._read(self._notes / f"{number:06d}.json")

    def written(self, first: int, count: int) -> list[Shard]:
        """The shards of this change, all of which are whole."""
        shards = {number: self.whole(number) for number in range(first, first + count)}
        missing = [f"{number:06d}" for number, shard in shards.items() if shard is None]
        if missing:
            raise FileNotFoundError(
                f"the shards {listed(missing, 5)} that another process wrote are not in {self.folder}: do all processes "
                "see this folder?"
            )
        return list(shards.values())

    def note(self, shard: Shard) -> None:
        """Says that a shard is whole. A note that is lost costs a shard, no more."""
        write_bytes(self._notes / f"{shard.name}.json", json.dumps(asdict(shard)).encode(), sync=False)

    def _read(self, path: Path) -> Shard | None:
        try:
            shard = Shard(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # there is none, or the machine went down while it was written
            return None
        sizes = {self.folder / file: size for file, (size, _) in shard.files.items()}
        return shard if all(path.is_file() and path.stat().st_size == size for path, size in sizes.items()) else None


def tidy(folder: Path, manifest: Manifest | None, kept: list[Shard] = (), pending: bool = False) -> None:
    """Removes what interrupted changes and earlier generations left: everything of an index that the manifest does not name."""
    named = {folder / file for shard in (*(manifest.shards if manifest else ()), *kept) for file in shard.files}
    if manifest is not None and manifest.removed_file is not None:
        named.add(folder / manifest.removed_file)
    for path in [*(folder / SHARD_FOLDER).glob("*"), *(folder / REMOVED_FOLDER).glob("*")]:
        if path not in named:
            path.unlink()
    (folder / f"{MANIFEST_FILE}.tmp").unlink(missing_ok=True)
    if not pending:
        for name in (PENDING_FOLDER, REFERENCE_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        removed = folder / REMOVED_FOLDER
        if removed.is_dir() and not any(removed.iterdir()):
            removed.rmdir()


def commit(folder: Path, manifest: Manifest) -> Manifest:
    """Makes a change true, and tidies up after it."""
    manifest.save(folder)
    tidy(folder, manifest)
    return manifest


# ---- Removed rows ----


def write_removed(folder: Path, generation: int, rows: np.ndarray) -> str | None:
    """Writes which rows are removed, sorted; the file's name in the folder, or `None` where there are none."""
    if not len(rows):
        return None
    (folder / REMOVED_FOLDER).mkdir(exist_ok=True)
    name = f"{REMOVED_FOLDER}/{generation:06d}.bin"
    write_bytes(folder / name, np.sort(rows).astype("<i8").tobytes())
    return name


def read_alive(folder: Path, manifest: Manifest) -> np.ndarray:
    """Reads the mask of the rows that were not removed."""
    alive = np.ones(manifest.num_rows, dtype=np.bool_)
    if manifest.removed_file is not None:
        path = folder / manifest.removed_file
        rows = np.frombuffer(path.read_bytes(), dtype="<i8")
        if len(rows) != manifest.num_removed or (len(rows) and not 0 <= rows.min() <= rows.max() < len(alive)):
            raise ValueError(f"{path} is damaged: copy it again, or build the index again")
        alive[rows] = False
    return alive
