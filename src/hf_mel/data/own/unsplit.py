"""Lists in a cell that look as if another character separated their items."""

import logging
from collections import Counter

from ..problems import counted
from .columns import TableKind


logger = logging.getLogger(__name__)

_SEPARATORS = (";", "|", "\n", "\t")


class UnsplitLists:
    """Looks at the cells of list fields, and warns once of a field that was never split but seems to need it.

    Args:
        kind ([`~hf_mel.data.own.columns.TableKind`]): entities or mentions.
        separator (`str`): what separates the items.
        subject (`str`): what the table is called.

    Example:

    ```python
    >>> from hf_mel.data.own.columns import ENTITIES
    >>> from hf_mel.data.own.unsplit import UnsplitLists

    >>> lists = UnsplitLists(ENTITIES, "|", "objects.csv")
    >>> lists.look({"aliases": "Bat; flying mouse", "types": "animal|mammal"})
    >>> lists.warnings()
    ["objects.csv: `aliases`: 1 record with ';' and never the list separator '|', as in 'Bat; flying mouse'"]
    ```
    """

    def __init__(self, kind: TableKind, separator: str, subject: str):
        self.kind, self.separator, self.subject = kind, separator, subject
        self._others = [each for each in _SEPARATORS if each != separator]
        self._found: dict[str, Counter[str]] = {name: Counter() for name in kind.lists}
        self._examples: dict[tuple[str, str], str] = {}
        self._warned = False

    def look(self, record: dict) -> None:
        """Counts the separators in the list fields of a record, as far as they are text."""
        for name, found in self._found.items():
            cell = record.get(name)
            if not isinstance(cell, str) or self._warned:
                continue
            for sign in (self.separator, *self._others):
                if sign in cell.strip():
                    found[sign] += 1
                    self._examples.setdefault((name, sign), cell)

    def warnings(self) -> list[str]:
        """Warnings, a line for each field."""
        lines = []
        for name, found in self._found.items():
            other = max(self._others, key=found.__getitem__)
            if found[self.separator] or not found[other]:
                continue
            example = self._examples[name, other]
            lines.append(
                f"{self.subject}: `{name}`: {counted(found[other], 'record')} with {other!r} and never the list separator "
                f"{self.separator!r}, as in {example!r:.80}"
            )
        return lines

    def warn(self) -> None:
        """Logs the warnings, once."""
        if not self._warned:
            for line in self.warnings():
                logger.warning("%s: if these are several, set `list_separator=`", line)
        self._warned = True
