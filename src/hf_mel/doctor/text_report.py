"""The report for a terminal."""

from . import views
from .diagnosis import Diagnosis
from .findings import Finding, shortened


_EXAMPLES = 3


def text_report(diagnosis: Diagnosis) -> str:
    """All of a diagnosis as plain text; what stands in the data cannot steer the terminal."""
    lines = [f"{shortened(diagnosis.subject)}: {diagnosis.verdict}"]
    source = ", ".join(f"{name} {value}" for name, value in diagnosis.source.items())
    lines += [f"read as: {shortened(source, 400)}"] if source else []
    if diagnosis.statistics:
        lines += _section("Statistics", views.split_rows(diagnosis.statistics))
        lines += [f"  knowledge base: {diagnosis.statistics['entities']:,} entities"]
    if diagnosis.published:
        lines += _section("Beside the published numbers", views.published_rows(diagnosis.published))
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
