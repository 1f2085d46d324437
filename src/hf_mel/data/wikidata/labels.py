"""Labels by id in a table on disk, so that memory does not grow with the dump."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path


_AT_ONCE = 500
_FORM = "CREATE TABLE labels (key INTEGER PRIMARY KEY, row INTEGER NOT NULL, label TEXT NOT NULL)"


def label_key(entity_id: str) -> int:
    """Number of an item or a property in the table.

    Example:

    ```python
    >>> from hf_mel.data.wikidata.labels import label_key

    >>> label_key("Q42"), label_key("P31")
    (84, 63)
    ```
    """
    return 2 * int(entity_id[1:]) + (entity_id[0] == "P")


class LabelTable:
    """An SQLite file with the label of each item and property. It is temporary, so a crash may leave it damaged.

    Args:
        path (`Path`): the new file.
    """

    def __init__(self, path: Path):
        # Without locks: nobody else writes, and locks do not survive a fork.
        self._connection = _connect(path, "nolock=1", isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-64000"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute(_FORM)

    def add(self, labels: list[tuple[int, int, str]], offset: int = 0) -> set[int]:
        """Adds labels as `(key, row, label)`; a key that is there keeps its label.

        Returns:
            `set[int]`: rows whose key was there, or came twice.

        Raises:
            `OSError`: the disk is full.
        """
        before = self._connection.total_changes
        rows = [(key, row + offset, text) for key, row, text in labels]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise OSError(f"the table of labels cannot be written next to the new folder: {error}") from error
        if self._connection.total_changes - before == len(labels):
            return set()
        first = self._selected("row", (key for key, _, _ in labels))
        return {row for key, row, _ in labels if first[key] != row + offset}

    def missing(self, keys: Iterable[int]) -> set[int]:
        """Keys without a label."""
        keys = set(keys)
        return keys - set(self._selected("row", keys))

    def close(self) -> None:
        """Ends writing; the file can be read by other processes from now on."""
        self._connection.close()

    def _selected(self, column: str, keys: Iterable[int]) -> dict:
        return _select(self._connection, column, keys)


def read_labels(path: Path, keys: Iterable[int]) -> dict[int, str]:
    """Labels of those keys that have one, from the closed file of a [`LabelTable`]."""
    with closing(_connect(path, "mode=ro&immutable=1&nolock=1")) as connection:
        return _select(connection, "label", keys)


def _connect(path: Path, settings: str, **options) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{settings}", uri=True, **options)


def _select(connection: sqlite3.Connection, column: str, keys: Iterable[int]) -> dict:
    keys = sorted(set(keys))
    found = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        found.update(connection.execute(f"SELECT key, {column} FROM labels WHERE key IN ({marks})", part))
    return found
