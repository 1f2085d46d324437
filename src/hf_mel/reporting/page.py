"""The report as one page."""

import base64
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ..data.thumbnails import data_uri
from ..evaluation import EvaluationResult
from ..models.graphemes import shortened
from .sections import PLACES, Absent, Section


_METRICS = {
    "retrieved": "retrieved",
    "hits@1": "hits@1",
    "hits@3": "hits@3",
    "hits@5": "hits@5",
    "hits@10": "hits@10",
    "mrr": "MRR",
}


def png_uri(png: bytes) -> str:
    """A PNG inside its own address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def with_code(text: str) -> Markup:
    """Text, escaped, in which what stands between backticks is code."""
    parts = text.split("`")
    shown = [Markup(f"<code>{escape(part)}</code>") if place % 2 else escape(part) for place, part in enumerate(parts)]
    # An odd one out is a backtick that belongs to the text.
    return Markup("").join(shown) if len(parts) % 2 else escape(text)


def result_table(result: EvaluationResult) -> list[list[str]]:
    """Metrics of all mentions, with intervals where they were computed, and of seen and unseen entities and captions apart."""
    shown = {name: label for name, label in _METRICS.items() if name in result.metrics}
    rows = [["", "mentions", *shown.values()]]
    parts = {
        "all": result.metrics,
        "entity seen in training": result.seen,
        "entity not seen": result.unseen,
        "caption also in training": result.leaked,
        "caption not in training": result.without_leaked,
    }
    for name, metrics in parts.items():
        if not metrics or not metrics.get("num_mentions"):
            continue
        cells = [f"{100 * metrics[metric]:.1f} %" if metric in metrics else "-" for metric in shown]
        rows.append([name, f"{metrics['num_mentions']:,}", *cells])
    if result.intervals:
        cells = [
            f"{100 * result.intervals[metric].low:.1f} to {100 * result.intervals[metric].high:.1f}"
            if metric in result.intervals
            else ""
            for metric in shown
        ]
        level = next(iter(result.intervals.values())).level
        rows.append([f"{100 * level:g} % interval of all", "", *cells])
    return rows


def html_page(
    name: str, results: Mapping[str, EvaluationResult], sections: Sequence[Section], absent: Sequence[Absent]
) -> str:
    """
    Writes the page of a [`Report`]: it needs no other file and no script. Text that comes from the data is escaped.

    Args:
        name (`str`): The run.
        results (`Mapping[str, EvaluationResult]`): By split.
        sections (`Sequence[Section]`): The sections to show, in order.
        absent (`Sequence[Absent]`): The sections that are missing, and why.
    """
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(png=png_uri, jpeg=data_uri, code=with_code, shortened=shortened)
    chapters = [
        (title, [section for section in sections if section.place == place]) for place, title in PLACES.items()
    ]
    return environment.get_template("report.html").render(
        name=name,
        results=[(result, result_table(result)) for result in results.values()],
        chapters=[(title, shown) for title, shown in chapters if shown],
        absent=absent,
    )
