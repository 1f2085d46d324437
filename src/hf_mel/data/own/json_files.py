"""Files of JSON objects."""

import codecs
import json
from collections.abc import Collection, Iterator
from pathlib import Path

import ijson

from ..problems import Problems, listed
from .text_files import shortened, utf8_lines


_HEAD = 2**16


class JsonLinesSource:
    """A file with an object a line."""

    cells = False
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path):
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent

    def column_names(self, problems: Problems) -> list[str]:
        """All keys of all lines. Lines differ, so the file is read once for this."""
        names: dict[str, None] = {}
        for _, record in self.records(None, Problems(self.subject, "")):
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
        return list(names)

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, object]]:
        for number, line, wrong in utf8_lines(self.path):
            if wrong is not None:
                problems.add(f"line {number}", wrong, given=shortened(line))
                continue
            if not line.strip():
                continue
            twice: list[str] = []
            try:
                record = json.loads(line, object_pairs_hook=lambda pairs: _unique(pairs, twice))  # noqa: B023
            except json.JSONDecodeError as error:
                wrong = f"is not JSON: {error.msg} (character {error.colno})"
                problems.add(f"line {number}", wrong, given=shortened(line))
                continue
            except RecursionError:
                problems.add(f"line {number}", "is nested too deeply", given=shortened(line))
                continue
            for name in twice:
                problems.add(f"line {number}", f"`{name}` stands twice in the object")
            yield f"line {number}", record


def _unique(pairs: list[tuple], twice: list[str]) -> dict:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice += [name for name in result if names.count(name) > 1]
    return result


# ---- Other forms than an object a line ----


def is_lines(path: Path) -> bool:
    """`True` unless the file is an array, or its objects are written over several lines each.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel.data.own.json_files import is_lines

    >>> _ = Path("array.json").write_text('[{"id": 1},\\n {"id": 2}]')
    >>> _ = Path("lines.json").write_text('{"id": 1}\\n{"id": 2}\\n')
    >>> is_lines(Path("array.json")), is_lines(Path("lines.json"))
    (False, True)
    ```
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    lines = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").strip().splitlines()
    first = lines[0].strip() if lines else ""
    if first == "{":
        return False
    if not first.startswith("["):
        return True
    try:
        json.loads(first)
    except ValueError:
        return False
    return len(lines) > 1  # an array a line, which is wrong; alone it is a file of records


class JsonRecordsSource:
    """An array of objects, or objects one after the other over several lines each. Read one at a time."""

    cells = False
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path):
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent

    def column_names(self, problems: Problems) -> list[str]:
        """All keys of all objects."""
        names: dict[str, None] = {}
        alone: list[dict] = []
        for number, (_, record) in enumerate(self.records(None, Problems(self.subject, ""))):
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
                alone = [record] if number == 0 else []
        lists = [name for name, value in (alone[0] if alone else {}).items() if _is_table(value)]
        if lists:
            raise ValueError(
                f"{self.path} is one object, whose {listed(map(repr, lists))} holds records: save that list as a file of its own"
            )
        return list(names)

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, object]]:
        """The objects; after a place that is no JSON nothing is read, which is a problem."""
        number = 0
        with open(self.path, "rb") as file:
            if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            start = file.tell()
            array = file.read(_HEAD).lstrip()[:1] == b"["
            file.seek(start)
            twice: list[str] = []
            options = {"use_float": True, "multiple_values": not array, "map_type": lambda: _Noted(twice)}
            items = ijson.items(file, "item" if array else "", **options)
            while True:
                try:
                    record = next(items)
                except StopIteration:
                    return
                except (ijson.JSONError, UnicodeDecodeError) as error:
                    place = f"record {number + 1}"
                    reason = " ".join(str(error).split())
                    problems.add(place, f"is not JSON ({reason:.200}), and what follows was not read", given="")
                    return
                number += 1
                for name in dict.fromkeys(twice):
                    problems.add(f"record {number}", f"`{name}` stands twice in the object")
                twice.clear()
                yield f"record {number}", record


class _Noted(dict):
    """An object that notes keys which stand twice: one of their values would be lost."""

    def __init__(self, twice: list[str]):
        super().__init__()
        self._twice = twice

    def __setitem__(self, key, value):
        if key in self:
            self._twice.append(key)
        super().__setitem__(key, value)


def _is_table(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
