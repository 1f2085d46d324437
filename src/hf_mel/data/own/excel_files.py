"""Excel workbooks: the first sheet as a table of cells."""

import logging
import zipfile
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path

from ..problems import Problems, counted, listed
from .csv_files import note_repeated


logger = logging.getLogger(__name__)

SUFFIXES = (".xlsx", ".xlsm")


class WrittenByExcel(str):
    """Text of a cell that Excel holds as a date, a truth value or a number with decimals: it may be another text than was typed."""


class ExcelSource:
    """The first sheet of a workbook, whose first row with a cell is the header. Places are rows as Excel counts them.

    Cells are read as CSV would have them: dates in ISO format, whole numbers without a decimal point, formulas as the values
    that Excel saved with them.

    Args:
        path (`Path`): the file, `.xlsx` or `.xlsm`.

    Raises:
        `ImportError`: openpyxl is not installed. `ValueError`: the file is no workbook.
    """

    cells = True
    rows_at_once = 1_000
    of_folder = False

    def __init__(self, path: Path):
        self.path, self.subject, self.prefix, self.folder = path, str(path), path.stem, path.parent
        with closing(_open(path)) as book:
            first, *others = book.sheetnames
        if others:
            logger.warning("%s: only the sheet %r is read, not %s", path, first, listed(map(repr, others)))

    def column_names(self, problems: Problems) -> list[str]:
        names = self._header(next(self._rows(), (0, []))[1])
        note_repeated(names, "row 1", problems)
        return names

    def records(self, wanted: Collection[str] | None, problems: Problems) -> Iterator[tuple[str, dict]]:
        rows = self._rows()
        names = self._header(next(rows, (0, []))[1])
        for number, cells in rows:
            more = [cell for cell in cells[len(names) :] if cell]
            if more:
                columns = counted(len(names), "column")
                problems.add(f"row {number}", f"has cells beyond the {columns} of the header", given=cells)
                continue
            cells += [""] * (len(names) - len(cells))
            pairs = zip(names, cells, strict=False)
            yield f"row {number}", {name: cell for name, cell in pairs if wanted is None or name in wanted}

    @staticmethod
    def _header(cells: list[str]) -> list[str]:
        while cells and not cells[-1].strip():
            cells.pop()
        return [name.strip() for name in cells]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each row that has any."""
        with closing(_open(self.path)) as book:
            sheet = book[book.sheetnames[0]]
            sheet.reset_dimensions()  # some programs write wrong ones
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                cells = [_text(value) for value in row]
                if any(cells):
                    yield number, cells


def _open(path: Path):
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise ImportError(
            f'reading {path} needs openpyxl: pip install "hf-mel[excel]", or save its sheet as CSV UTF-8'
        ) from error
    try:
        return load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no Excel workbook, or a damaged one: save it again") from error


def _text(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return WrittenByExcel(str(value).upper())
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else WrittenByExcel(value)
    if isinstance(value, datetime) and value.time() == time():
        return WrittenByExcel(value.date().isoformat())
    return WrittenByExcel(value.isoformat()) if isinstance(value, (date, time)) else str(value)
