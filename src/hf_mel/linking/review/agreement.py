"""Agreement of people with links, also by the probability of the links."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...data.problems import counted
from .corrections import CONFIRMED, CORRECTED, MADE_NIL, LabelledMention
from .links import answer_of, certainty


BINS = 10


@dataclass(frozen=True)
class ReviewReport:
    """
    Result of a review.

    Args:
        links (`int`): links that there are.
        confirmed, corrected, made_nil (`int`): reviewed links by what people said.
        nil_corrected (`int`): those of `corrected` that had been NIL.
        not_reviewed (`int`): links that the review does not have.
        problems (`list[str]`): lines that were left out, and why.
        bins (`list[dict]`): by probability of the answer: `from`, `to`, `links`, `confirmed`, `probability` (the mean). The
            last one, with `from` and `to` `None`, holds links without a probability.
    """

    links: int
    confirmed: int
    corrected: int
    made_nil: int
    nil_corrected: int
    not_reviewed: int
    problems: list[str] = field(default_factory=list)
    bins: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, labelled: Sequence[LabelledMention], num_links: int, problems: Sequence[str] = ()) -> "ReviewReport":
        """
        The report on labelled mentions.

        Args:
            labelled (`Sequence[LabelledMention]`): what people said.
            num_links (`int`): links that there are.
            problems (`Sequence[str]`, *optional*): what is wrong with the review.

        Example:

        ```python
        >>> from hf_mel import LinkedMention
        >>> from hf_mel.linking.review import LabelledMention, ReviewReport

        >>> right = LinkedMention("Vale", "Vale.", id="1", entity_id="Q1", is_nil=False, probability=0.93)
        >>> wrong = LinkedMention("Vale", "Vale.", id="2", entity_id="Q1", is_nil=False, probability=0.55)
        >>> report = ReviewReport.of(
        ...     [LabelledMention(right, "Q1", "confirmed"), LabelledMention(wrong, None, "made_nil")], num_links=3
        ... )
        >>> report.agreement, [(each["from"], each["links"], each["confirmed"]) for each in report.bins]
        (0.5, [(0.5, 1, 0), (0.9, 1, 1)])
        ```
        """
        verdicts = Counter(each.verdict for each in labelled)
        return cls(
            links=num_links,
            confirmed=verdicts[CONFIRMED],
            corrected=verdicts[CORRECTED],
            made_nil=verdicts[MADE_NIL],
            nil_corrected=sum(each.verdict == CORRECTED and answer_of(each.link) is None for each in labelled),
            not_reviewed=num_links - len(labelled),
            problems=list(problems),
            bins=_bins(labelled),
        )

    @property
    def reviewed(self) -> int:
        """Links about which people said something that can be used."""
        return self.confirmed + self.corrected + self.made_nil

    @property
    def agreement(self) -> float | None:
        """Share of the reviewed links that were confirmed; `None` if there are none."""
        return self.confirmed / self.reviewed if self.reviewed else None


def _bins(labelled: Iterable[LabelledMention]) -> list[dict[str, Any]]:
    groups: dict[int, list[tuple[float, bool]]] = {}
    for each in labelled:
        known = certainty(each.link)
        place = BINS if known is None else min(int(known * BINS), BINS - 1)
        groups.setdefault(place, []).append((known or 0.0, each.verdict == CONFIRMED))
    found = []
    for place in sorted(groups):
        group = groups[place]
        known = place < BINS
        found.append(
            {
                "from": place / BINS if known else None,
                "to": (place + 1) / BINS if known else None,
                "links": len(group),
                "confirmed": sum(confirmed for _, confirmed in group),
                "probability": sum(value for value, _ in group) / len(group) if known else None,
            }
        )
    return found


def report_lines(report: ReviewReport) -> list[str]:
    """A report as lines of text."""
    lines = [f"{report.reviewed:,} of {counted(report.links, 'link')} reviewed"]
    if not report.reviewed:
        return lines
    shares = {"confirmed": report.confirmed, "corrected": report.corrected, "made NIL": report.made_nil}
    for name, number in shares.items():
        more = (
            f"   {report.nil_corrected:,} of them had been NIL" if name == "corrected" and report.nil_corrected else ""
        )
        lines.append(f"  {name:<10} {number:>7,}   {100 * number / report.reviewed:5.1f} %{more}")
    lines.append("probability     links   confirmed   mean probability")
    for each in report.bins:
        span = "none" if each["from"] is None else f"{each['from']:.1f} to {each['to']:.1f}"
        mean = "-" if each["probability"] is None else f"{100 * each['probability']:.1f} %"
        share = f"{100 * each['confirmed'] / each['links']:.1f} %"
        lines.append(f"{span:<12} {each['links']:>8,} {share:>11} {mean:>18}")
    return lines
