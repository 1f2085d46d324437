"""Collects everything that is wrong with an input, so that one run of a command names all of it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


SHOWN = 20


class Problems:
    """A list of what is wrong with one input, raised as one error.

    Args:
        subject (`str`): what is being read, for the first line of the error.
        cure (`str`): what the reader can do about it, for the last line.
    """

    def __init__(self, subject: str, cure: str):
        self.subject = subject
        self.cure = cure
        self.found: list[str] = []

    def add(
        self, where: str, what: str, *, field: str | None = None, record: str | None = None, given: Any = None
    ) -> None:
        """Notes a problem. The keywords are those of [`Problem`]; only [`RecordProblems`] keeps them."""
        self.found.append(f"{where}: {what}")

    def __len__(self) -> int:
        return len(self.found)

    def message(self) -> str:
        """The error text: how many problems, the first 20 of them, and the cure."""
        number = len(self.found)
        lines = [f"{self.subject}: {number:,} problem{'s' if number > 1 else ''}"]
        lines += [f"  {problem}" for problem in self.found[:SHOWN]]
        if number > SHOWN:
            lines.append(f"  ... and {number - SHOWN:,} more")
        return "\n".join([*lines, self.cure])

    def raise_if_any(self) -> None:
        """Raises a `ValueError` with all problems, or does nothing."""
        if self.found:
            raise ValueError(self.message())


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a record.

    Args:
        where (`str`), what (`str`): the place, such as `"line 3"`, and what is wrong there.
        field (`str`, *optional*): the field of the schema, if it is one.
        record (`str`, *optional*): the place at which the record begins, if that is another one.
        given (*optional*): what stands there, where it could not be read as a record.
    """

    where: str
    what: str
    field: str | None = None
    record: str | None = None
    given: Any = None

    @property
    def reason(self) -> str:
        """Description of the fault, with its place if that is not the place at which the record begins."""
        return self.what if self.record in (None, self.where) else f"{self.where}: {self.what}"


class RecordProblems(Problems):
    """Problems that are handed on record by record, not raised at the end."""

    def __init__(self, subject: str):
        super().__init__(subject, "")
        self._kept: list[Problem] = []

    def add(self, where: str, what: str, **known) -> None:
        self._kept.append(Problem(where, what, **known))

    def __len__(self) -> int:
        return len(self._kept)

    def take(self) -> list[Problem]:
        """Returns the problems added since the last call."""
        taken, self._kept = self._kept, []
        return taken


def listed(items: Iterable, shown: int = SHOWN) -> str:
    """Names of a long list for an error or a log line: the first `shown`, then how many more there are."""
    items = [str(item) for item in items]
    rest = f", ... and {len(items) - shown:,} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + rest


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `"1 entity"`, `"2,000 entities"`.

    Args:
        number (`int`): how many.
        noun (`str`): for one.
        plural (`str`, *optional*): for any other number; by default the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def nearest(name: str, valid: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest valid name, or an empty string if none is near."""
    close = difflib.get_close_matches(str(name), list(valid), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
