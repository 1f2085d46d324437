"""Files of cells."""

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ..problems import Problems, counted
from .text_files import shortened, utf8_lines


_SEPARATOR = re.compile(r'"?sep=(.)"?\s*\Z', re.IGNORECASE)


class CsvSource:
    """A file of cells with a header. Places are physical lines: a record may span several."""

    cells = True
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path, delimiter: str | None = None):
        if delimiter is not None and len(delimiter) != 1:
            raise ValueError(f"delimiter={delimiter!r}: use one character, such as ',' or '\\t'")
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent
        self.named = _named_separator(path)
        self.delimiter = delimiter or self.named or ("\t" if path.suffix.lower() == ".tsv" else ",")

    def column_names(self, problems: Problems) -> list[str]:
        """The header. A column without a name, such as the index that pandas writes, is an empty string."""
        # Wrong bytes are reported later, when the records are read.
        header = next(self._rows(Problems(self.subject, "")), (0, []))[1]
        names = [name.strip() for name in header]
        note_repeated(names, "line 1", problems)
        return names

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        rows = self._rows(problems)
        names = [name.strip() for name in next(rows, (0, []))[1]]
        for line, cells in rows:
            if len(cells) != len(names):
                wrong = f"has {counted(len(cells), 'cell')}, the header {counted(len(names), 'column')}"
                problems.add(f"line {line}", wrong, given=cells)
                continue
            pairs = zip(names, cells, strict=True)
            yield f"line {line}", {name: cell for name, cell in pairs if wanted is None or name in wanted}

    def _rows(self, problems: Problems) -> Iterator[tuple[int, list[str]]]:
        """Line on which a record begins, and its cells; lines without any, such as a spreadsheet's `,,,`, are left out."""
        skipped = int(self.named is not None)
        first, read = 1, []

        def lines() -> Iterator[str]:
            for number, text, wrong in utf8_lines(self.path):
                if number <= skipped:
                    continue
                if wrong is not None:
                    problems.add(f"line {number}", wrong, record=f"line {first}", given=shortened(text))
                read.append(text)
                yield text

        reader = csv.reader(lines(), delimiter=self.delimiter, strict=True)
        while True:
            first = skipped + reader.line_num + 1
            read.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                wrong = f"is not well-formed: {_explained(error)}"
                problems.add(f"line {first}", wrong, given=shortened("".join(read)))
                if skipped + reader.line_num > first:
                    # Nobody knows where the next record begins.
                    problems.add(f"line {first}", "the lines after it were not read")
                    return
                continue
            if any(cell.strip() for cell in cells):
                yield first, cells


def note_repeated(names: list[str], place: str, problems: Problems) -> None:
    """Adds columns that a header names several times."""
    for name in dict.fromkeys(name for name in names if name and names.count(name) > 1):
        problems.add(place, f"the header names column {name!r} {names.count(name)} times")


def _named_separator(path: Path) -> str | None:
    """The delimiter that a first line such as `sep=;` names, as spreadsheets write it."""
    first = next((line for _, line, _ in utf8_lines(path)), "")
    found = _SEPARATOR.match(first.rstrip("\r\n"))
    return found[1] if found else None


def _explained(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quoted cell which begins here is never closed"
    if "field larger than field limit" in str(error):
        return f"{error}; a quoted cell which begins here may never be closed"
    return str(error)
