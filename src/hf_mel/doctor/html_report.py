"""The report as one page."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from . import views
from .diagnosis import Diagnosis
from .kinds import KINDS


def html_report(diagnosis: Diagnosis) -> str:
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
        published_rows=views.published_rows(diagnosis.published),
        leakage_rows=views.leakage_rows(diagnosis.leakage),
        leakage_notes=views.leakage_notes(diagnosis.leakage),
        views=views,
        shelves=shelves,
    )
