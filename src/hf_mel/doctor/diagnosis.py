"""Result of a check of a benchmark, as JSON, as text for a terminal, and as one HTML page."""

import json
from dataclasses import asdict, dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..data.releases import Release
from ..version import __version__
from . import views
from .album import Thumbnail
from .findings import Finding, shortened
from .kinds import KINDS, SEVERITIES


_EXAMPLES = 3


@dataclass
class Diagnosis:
    """Result of [`diagnose`].

    Args:
        subject (`str`): which data were looked at.
        findings (`list[Finding]`): errors first, then warnings, then what is only told.
        passed (`list[str]`): titles of the checks that found nothing.
        statistics (`dict`): counts in all and by split.
        published (`list[dict]`): expected numbers next to those found, with the reason for a difference.
        release ([`Release`] or `None`): the release that the data are of, if it is known.
        leakage (`list[dict]`): what each later split shares with an earlier one.
        ambiguity (`dict` or `None`): mentions by the number of entities that have their string as a name.
        candidates (`dict` or `None`): recall of the gold entity among lexical candidates.
        pictures (`dict` or `None`): records by the state of their picture; `None` where they were not looked at.
        source (`dict`): how the data were read, from the converter's report.
        thumbnails (`list[Thumbnail]`): small versions of suspicious pictures.
    """

    subject: str
    findings: list[Finding] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    statistics: dict = field(default_factory=dict)
    published: list[dict] = field(default_factory=list)
    release: Release | None = None
    leakage: list[dict] = field(default_factory=list)
    ambiguity: dict | None = None
    candidates: dict | None = None
    pictures: dict | None = None
    source: dict = field(default_factory=dict)
    thumbnails: list[Thumbnail] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Diagnosis({self.subject!r}, {self.verdict})"

    def count(self, severity: str) -> int:
        """Returns the number of findings with this severity."""
        return sum(found.severity == severity for found in self.findings)

    @property
    def verdict(self) -> str:
        """For example `"1 kind of error, 3 kinds of warning"`."""
        errors, warnings = self.count("error"), self.count("warning")
        if not errors and not warnings:
            return "nothing wrong"
        told = [(errors, "error"), (warnings, "warning")]
        return ", ".join(f"{number} kind{'s' * (number > 1)} of {name}" for number, name in told if number)

    def is_wrong(self, strict: bool = False) -> bool:
        """Returns `True` if an error was found; `strict` counts warnings too."""
        return bool(self.count("error") or (strict and self.count("warning")))

    def finding(self, kind: str) -> Finding | None:
        """The finding with this id, `None` if there is none.

        Raises:
            `KeyError`: there is no such check.
        """
        if kind not in KINDS:
            raise KeyError(f"no check is called {kind!r}")
        return next((found for found in self.findings if found.id == kind), None)

    # ---- Forms ----

    def to_dict(self) -> dict:
        """Everything but the thumbnails, ready for JSON."""
        return {
            "hf_mel": __version__,
            "subject": self.subject,
            "verdict": {severity: self.count(severity) for severity in SEVERITIES},
            "source": self.source,
            "statistics": self.statistics,
            "published": self.published,
            "release": None if self.release is None else asdict(self.release),
            "findings": [found.to_dict() for found in self.findings],
            "passed": self.passed,
            "leakage": self.leakage,
            "ambiguity": self.ambiguity,
            "candidates": self.candidates,
            "pictures": self.pictures,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, default=str) + "\n"

    def to_text(self) -> str:
        """The report for a terminal."""
        return _text_report(self)

    def to_html(self) -> str:
        """The report as one page which needs no other file and loads nothing."""
        return _html_report(self)


# ---- For a terminal ----


def _text_report(diagnosis: Diagnosis) -> str:
    """All of a diagnosis as plain text; what stands in the data cannot steer the terminal."""
    lines = [f"{shortened(diagnosis.subject)}: {diagnosis.verdict}"]
    source = ", ".join(f"{name} {value}" for name, value in diagnosis.source.items())
    lines += [f"read as: {shortened(source, 400)}"] if source else []
    if diagnosis.statistics:
        lines += _section("Statistics", views.split_rows(diagnosis.statistics))
        lines += [f"  knowledge base: {diagnosis.statistics['entities']:,} entities"]
    if diagnosis.published:
        lines += _section(views.published_heading(diagnosis.release), views.published_rows(diagnosis.published))
        lines += [f"  {diagnosis.release.note}"] if diagnosis.release else []
    for severity in ("error", "warning", "info"):
        found = [finding for finding in diagnosis.findings if finding.severity == severity]
        if found:
            lines += ["", {"error": "Errors", "warning": "Warnings", "info": "Good to know"}[severity]]
            for finding in found:
                lines += _finding(finding)
    if diagnosis.leakage:
        lines += _section("Leakage, as shares of the later split", views.leakage_rows(diagnosis.leakage))
        lines += [f"  {note}" for note in views.leakage_notes(diagnosis.leakage)]
    if diagnosis.ambiguity:
        lines += _section("Ambiguity", views.ambiguity_rows(diagnosis.ambiguity))
        lines += [f"  {shortened(note, 400)}" for note in views.ambiguity_notes(diagnosis.ambiguity)]
    if diagnosis.candidates:
        lines += _section("Lexical candidates", views.candidate_rows(diagnosis.candidates))
        lines += [f"  {views.candidate_note(diagnosis.candidates)}"]
    if diagnosis.passed:
        lines += ["", "Nothing found: " + "; ".join(diagnosis.passed)]
    if diagnosis.statistics and diagnosis.pictures is None:
        lines += ["", "Pictures were not looked at."]
    return "\n".join(lines) + "\n"


def _finding(finding: Finding) -> list[str]:
    share = f"{views.percent(finding.share)} of {finding.total:,} {finding.unit}"
    lines = [f"  {finding.title}: {finding.count:,} ({share})   [{finding.id}]"]
    lines += [f"    {finding.meaning}"]
    lines += [f"    - {example.place}: {example.value}" for example in finding.examples[:_EXAMPLES]]
    if (finding.count > len(finding.examples[:_EXAMPLES])) and finding.details:
        lines += [f"    by part: {views.details(finding)}"]
    return [*lines, f"    -> {finding.advice}"]


def _section(title: str, rows: list[list[str]]) -> list[str]:
    lines = ["", title]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0])]
        # Numbers to the right, words to the left.
        cells += [
            cell.rjust(width) if cell[:1].isdigit() or cell[:1] in "–<>" else cell.ljust(width)
            for cell, width in zip(rest, widths[1:], strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


# ---- As a page ----


def _html_report(diagnosis: Diagnosis) -> str:
    """All of a diagnosis as a page that needs no other file: style and thumbnails are inside, and every text that
    comes from the data is escaped."""
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(percent=views.percent, number=views.number)
    shelves: dict[str, list] = {}
    for thumbnail in diagnosis.thumbnails:
        shelves.setdefault(KINDS[thumbnail.kind].title, []).append(thumbnail)
    return environment.get_template("report.html").render(
        diagnosis=diagnosis,
        split_rows=views.split_rows(diagnosis.statistics),
        published_heading=views.published_heading(diagnosis.release),
        published_rows=views.published_rows(diagnosis.published),
        leakage_rows=views.leakage_rows(diagnosis.leakage),
        leakage_notes=views.leakage_notes(diagnosis.leakage),
        views=views,
        shelves=shelves,
    )
