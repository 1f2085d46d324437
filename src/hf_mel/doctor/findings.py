"""Findings of the doctor: one form for all of them, and a tally that keeps a count and some examples."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from .kinds import KINDS, SEVERITIES


EXAMPLES_KEPT = 10
_LONGEST_VALUE = 160


@dataclass(frozen=True)
class Example:
    """One record in which something was found.

    Args:
        table (`str`): `"mentions"` or `"entities"`; `"published"` for a number, `"files"` for what is in no table.
        split (`str` or `None`): the split of a mention.
        record (`str` or `None`): the id of the record, the name of the number.
        value (`str`): what stands there.
    """

    table: str
    split: str | None
    record: str | None
    value: str

    @property
    def place(self) -> str:
        """Place of the record, for example `test, mention '17-0'`."""
        kind = {"mentions": "mention ", "entities": "entity "}.get(self.table)
        if kind is None or self.record is None:
            return self.split or self.record or self.table
        record = kind + repr(self.record)
        return f"{self.split}, {record}" if self.split else record


@dataclass
class Finding:
    """One thing that was found in a benchmark.

    Args:
        id (`str`): a name for programs, for example `"unknown_gold"`.
        severity (`str`): `"error"`, `"warning"` or `"info"`.
        title (`str`): its name for people.
        meaning (`str`): what it means, in one sentence.
        advice (`str`): what to do about it.
        count (`int`): how often it was found.
        total (`int`): among how many.
        unit (`str`): what was counted, for example `"mentions"`.
        examples (`list[Example]`): the first of them.
        details (`dict`): counts of its parts.
    """

    id: str
    severity: str
    title: str
    meaning: str
    advice: str
    count: int
    total: int
    unit: str
    examples: list[Example] = field(default_factory=list)
    details: dict = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """`count` as a share of `total`; `None` of nothing."""
        return self.count / self.total if self.total else None

    def to_dict(self) -> dict:
        """All of it, ready for JSON."""
        return {**asdict(self), "share": self.share}


class Tally:
    """Counts one kind of finding while records go by; of the records it keeps the first ten."""

    def __init__(self, kind: str, unit: str = "mentions"):
        self.kind = kind
        self.unit = unit
        self.count = 0
        self.examples: list[Example] = []
        self.details: dict = {}

    def hit(self, table: str, split: str | None, record: str | None, value: object, number: int = 1) -> None:
        """One more of it; `number` where the example stands for several records."""
        self.count += number
        self.show(table, split, record, value)

    def show(self, table: str, split: str | None, record: str | None, value: object) -> None:
        """An example alone, counted elsewhere."""
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(Example(table, split, record, shortened(value)))

    def detail(self, name: str, number: int = 1) -> None:
        self.details[name] = self.details.get(name, 0) + number


class Findings:
    """The findings of one diagnosis, and the checks that found nothing."""

    def __init__(self):
        self.found: list[Finding] = []
        self.passed: list[str] = []

    def close(self, tally: Tally, total: int) -> None:
        """Takes over a tally whose records have all gone by; `total` is how many there were."""
        kind = KINDS[tally.kind]
        if not tally.count:
            self.passed.append(kind.title)
            return
        self.found.append(
            Finding(
                tally.kind, kind.severity, kind.title, kind.meaning, kind.advice,
                tally.count, total, tally.unit, tally.examples, tally.details,
            )
        )  # fmt: skip

    def close_all(self, tallies: Iterable[Tally], total: int) -> None:
        for tally in tallies:
            self.close(tally, total)

    def ordered(self) -> list[Finding]:
        """Errors first, then warnings, then what is only told; within each in the order of the catalogue."""
        place = {kind: number for number, kind in enumerate(KINDS)}
        return sorted(self.found, key=lambda found: (SEVERITIES.index(found.severity), place[found.id]))


def shortened(value: object, longest: int = _LONGEST_VALUE) -> str:
    """A value for a line of the report: cut, and without characters that could steer a terminal."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
