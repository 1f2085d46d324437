"""Ids that a spreadsheet may have changed."""

import logging
from collections.abc import Callable

from ..problems import counted, listed
from .excel_files import WrittenByExcel


logger = logging.getLogger(__name__)

_KEYS = ("id", "entity_id")
_SHOWN = 3


class ConvertedIds:
    """Looks at the ids of a workbook, and warns once of those that Excel holds as dates, truth values or numbers with decimals.

    Args:
        subject (`str`): what the table is called.

    Example:

    ```python
    >>> from hf_mel.data.own.converted_ids import ConvertedIds
    >>> from hf_mel.data.own.excel_files import WrittenByExcel

    >>> ids = ConvertedIds("objects.xlsx")
    >>> ids.look("row 2", {"id": WrittenByExcel("1904-01-12"), "name": "Jug"})
    >>> ids.found["id"]
    ["'1904-01-12' (row 2)"]
    ```
    """

    def __init__(self, subject: str):
        self.subject = subject
        self.found: dict[str, list[str]] = {name: [] for name in _KEYS}
        self._warned = False

    def look(self, place: str, record: dict) -> None:
        """Notes the ids of a record that Excel may have changed."""
        for name, found in self.found.items():
            if isinstance(record.get(name), WrittenByExcel) and not self._warned:
                found.append(f"{str(record[name])!r} ({place})")

    def warn(self, called: Callable[[str], str]) -> None:
        """Logs the warnings, once. `called` gives the name of a field in messages."""
        for name, found in self.found.items():
            if found and not self._warned:
                logger.warning(
                    "%s: %s: Excel holds %s as dates, truth values or numbers with decimals, which may differ from what was typed "
                    "(1955.20 becomes 1955.2): %s. If they are wrong, format the column as text and type them again",
                    self.subject, called(name), counted(len(found), "id"), listed(found, _SHOWN),
                )  # fmt: skip
        self._warned = True
