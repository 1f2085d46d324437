"""The parts of a report."""

from dataclasses import dataclass, field

from .mistakes import Mistake
from .plots import Plot


PLACES = {
    "training": "Training",
    "results": "Results",
    "pictures": "Pictures",
    "mistakes": "Mistakes",
    "calibration": "Probabilities",
}
"""Chapters of a report, in their order."""


@dataclass(frozen=True)
class Section:
    """
    Something to show.

    Args:
        key (`str`): Its name as a file, and in the page.
        title (`str`), note (`str`): Heading, and how to read it.
        place (`str`): One of `PLACES`.
        plot ([`~hf_mel.reporting.plots.Plot`], *optional*): The plot.
        table (`list[list[str]]`): Its numbers, the first row being the headings.
        mistakes (`list[Mistake]`): Mistakes, in the section of these.
    """

    key: str
    title: str
    note: str
    place: str
    plot: Plot | None = None
    table: list[list[str]] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


@dataclass(frozen=True)
class Absent:
    """
    Something that there is not.

    Args:
        key (`str`), title (`str`): Those that the section would have.
        reason (`str`): What is missing.
    """

    key: str
    title: str
    reason: str
