"""All checks of a benchmark, and what came of them."""

import json
from dataclasses import dataclass, field

from ..data import MELData
from ..version import __version__
from .album import Album, Thumbnail
from .entities import check_entities
from .findings import Finding, Findings, Tally
from .kinds import KINDS, SEVERITIES
from .leakage import check_leakage
from .linkability import measure_ambiguity, measure_candidates
from .mentions import check_mentions_of, text_columns
from .pictures import check_pictures
from .quoting import check_quoting
from .statistics import compare, measure_statistics


@dataclass
class Diagnosis:
    """What [`diagnose`] found.

    Args:
        subject (`str`): which data were looked at.
        findings (`list[Finding]`): errors first, then warnings, then what is only told.
        passed (`list[str]`): titles of the checks that found nothing.
        statistics (`dict`): counts in all and by split.
        published (`list[dict]`): published numbers beside those found, with the reason for a difference.
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
    leakage: list[dict] = field(default_factory=list)
    ambiguity: dict | None = None
    candidates: dict | None = None
    pictures: dict | None = None
    source: dict = field(default_factory=dict)
    thumbnails: list[Thumbnail] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Diagnosis({self.subject!r}, {self.verdict})"

    def count(self, severity: str) -> int:
        """How many findings have this severity."""
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
        """Whether an error was found; `strict` counts warnings too."""
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
        from .text_report import text_report

        return text_report(self)

    def to_html(self) -> str:
        """The report as one page which needs no other file and loads nothing."""
        from .html_report import html_report

        return html_report(self)


def diagnose(
    data: MELData, *, published: dict | None = None, pictures: bool = True, subject: str = "these data"
) -> Diagnosis:
    """Looks through a benchmark for what is wrong, odd, or worth knowing before a result is believed.

    Nothing is changed. Texts are held in memory, pictures are not: each file is read once and each different picture
    decoded once, one after the other.

    Args:
        data ([`MELData`]): mentions in splits (there may be none), entities, and the converter's report, from which missing files are named.
        published (`dict`, *optional*): published numbers by name (`train`, `validation`, `test`, `sentences`,
            `entities`), to stand beside those found.
        pictures (`bool`, *optional*, defaults to `True`): look at the pictures, too. Without, nothing is said of them.
        subject (`str`, *optional*): what the report calls the data.

    Returns:
        [`Diagnosis`]: findings, statistics, leakage between splits, ambiguity and recall of lexical candidates.

    Raises:
        `ValueError`: a split lacks a column of the schema.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature
    >>> from hf_mel.doctor import diagnose

    >>> data = make_miniature(num_entities=20, num_train=60, num_validation=10, num_test=10)
    >>> diagnosis = diagnose(data)
    >>> diagnosis.statistics["mentions"], diagnosis.finding("unknown_gold")
    (80, None)
    >>> data.mentions["test"] = data.mentions["test"].map(lambda row: {"entity_id": "Q0"})
    >>> diagnose(data).finding("unknown_gold").count
    10
    ```
    """
    findings, album = Findings(), Album()
    splits, kb = text_columns(data.mentions), data.entities
    check_mentions_of(splits, kb, findings)
    check_entities(kb, findings)
    check_quoting(splits, kb, findings)
    seen = check_pictures(data, splits, findings, album) if pictures else None
    leakage = check_leakage(splits, findings)
    statistics = measure_statistics(splits, len(kb), data.report)
    compared = compare(statistics, published, data.report, findings) if published else []
    candidates = measure_candidates(splits, kb, findings) if splits else None
    return Diagnosis(
        subject=subject,
        findings=findings.ordered(),
        passed=findings.passed,
        statistics=statistics,
        published=compared,
        leakage=leakage,
        ambiguity=measure_ambiguity(splits, kb) if splits else None,
        candidates=candidates,
        pictures=seen,
        source={name: value for name, value in data.report.items() if _is_plain(value)},
        thumbnails=album.thumbnails,
    )


def _is_plain(value) -> bool:
    return isinstance(value, (str, int, float, bool)) or value is None


def unreadable(subject: str, problem: str) -> Diagnosis:
    """The diagnosis of data that could not be read at all; `problem` is what their reader said."""
    tally, findings = Tally("unreadable_data", "problems"), Findings()
    lines = [line.strip() for line in problem.splitlines() if line.strip()] or ["no reason was given"]
    for line in lines:
        tally.hit("files", None, None, line)
    findings.close(tally, tally.count)
    return Diagnosis(subject=subject, findings=findings.ordered())
