"""Journal of a run over a file, from which the same command continues."""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...data.problems import listed


logger = logging.getLogger(__name__)

RESULTS, REJECTS, STATE, LOCK = "results.jsonl", "rejects.jsonl", "state.json", "lock"
_VERSION = 1


@contextmanager
def locked_folder(folder: Path, output: Path) -> Iterator[Path]:
    """
    The hidden folder of a run, for one process at a time. It is removed at the end unless it holds something to go on from.

    Raises:
        `BlockingIOError`: another process is at work there.
    """
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"another process is linking into {output} at the moment: wait for it, or stop it"
        ) from None
    try:
        yield folder
    finally:
        if not (folder / STATE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


class Journal:
    """
    Results and rejected rows in two files, and how much of them is certain in a third, which is replaced in one step.

    Args:
        folder (`Path`):
            The folder of the run.
        fingerprint (`Mapping[str, str]`):
            Digests of what the results depend on, by name. A journal of anything else is not taken up.
        restart (`bool`, *optional*, defaults to `False`):
            Do not take up any.

    Attributes:
        rows (`int`): rows of the input that are done.
        counts (`Counter`): what was counted about them.
        complete (`bool`): whether these are all.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], restart: bool = False):
        self.folder = folder
        self.fingerprint = dict(fingerprint)
        self.rows, self.counts, self.complete = 0, Counter(), False
        self._sizes = {RESULTS: 0, REJECTS: 0}
        self._files: dict = {}
        state = self._state()
        if state is not None and restart:
            logger.warning("%s: what an interrupted run left is not used", folder)
        elif state is not None:
            self._take_up(state)

    def _state(self) -> dict | None:
        try:
            return json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            logger.warning("%s cannot be read: the run starts anew", self.folder / STATE)
            return None

    def _take_up(self, state: dict) -> None:
        if state.get("version") != _VERSION:
            logger.warning("%s was left by another version: the run starts anew", self.folder)
            return
        old, new = state["fingerprint"], self.fingerprint
        different = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if different:
            logger.warning(
                "%s is of a run with another %s: the run starts anew", self.folder, " and another ".join(different)
            )
            return
        short = [name for name, size in state["sizes"].items() if _size(self.folder / name) < size]
        if short:
            logger.warning("%s: %s is shorter than it was: the run starts anew", self.folder, listed(short))
            return
        self.rows, self.complete, self._sizes = state["rows"], state["complete"], state["sizes"]
        self.counts = Counter(state["counts"])

    # ---- Writing ----

    def open(self) -> None:
        """Opens the files for writing, cut where they are certain."""
        if not self.rows and not self.complete:
            (self.folder / STATE).unlink(missing_ok=True)
        for name, size in self._sizes.items():
            file = open(self.folder / name, "ab")  # noqa: SIM115
            file.truncate(size)
            self._files[name] = file

    def add(self, results: Sequence[str], rejects: Sequence[str]) -> None:
        """Lines that follow. They are certain after the next `commit`."""
        for name, lines in ((RESULTS, results), (REJECTS, rejects)):
            self._files[name].writelines(f"{line}\n".encode() for line in lines)

    def commit(self, rows: int, counts: Mapping[str, int], complete: bool = False) -> None:
        """Notes that so many rows are done. After a crash the note is the old one or the new one."""
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            self._sizes[name] = os.fstat(file.fileno()).st_size
        self.rows, self.counts, self.complete = rows, Counter(counts), complete
        state = {
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "rows": rows,
            "counts": dict(counts),
            "sizes": self._sizes,
            "complete": complete,
        }
        temporary = self.folder / f"{STATE}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / STATE)
        sync_folder(self.folder)

    def close(self) -> None:
        """Closes the files; what was not committed is lost."""
        while self._files:
            self._files.popitem()[1].close()

    # ---- Reading ----

    def results(self) -> Iterator[dict]:
        """The results, in the order of the input."""
        with open(self.folder / RESULTS, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def remove(self) -> None:
        """Removes what there is to go on from."""
        self.close()
        (self.folder / STATE).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder certain, where the system knows how."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
