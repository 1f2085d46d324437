"""Counts of a run, with the first names of each kind."""

from collections import Counter
from dataclasses import dataclass, field


NAMED = 20
"""So many records of a kind are named in the report; all are counted."""


@dataclass
class Findings:
    """Counts by kind, and the names of the first records of each kind.

    Args:
        counts (`Counter`): records by kind.
        named (`dict[str, list[str]]`): the first of them, each once.
    """

    counts: Counter = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Counts a record of a kind."""
        self.counts[kind] += 1
        names = self.named.setdefault(kind, [])
        if len(names) < NAMED and name not in names:
            names.append(name)

    def update(self, other: "Findings") -> None:
        """Adds the findings about the records that follow."""
        self.counts.update(other.counts)
        for kind, names in other.named.items():
            own = self.named.setdefault(kind, [])
            own += [name for name in names if name not in own][: NAMED - len(own)]

    def entry(self, kind: str) -> dict:
        """Count and first names of a kind, for a report."""
        return {"count": self.counts[kind], "first": list(self.named.get(kind, []))}

    def to_dict(self) -> dict[str, dict]:
        """All kinds in alphabetical order."""
        return {kind: self.entry(kind) for kind in sorted(self.counts)}
