"""Review of links by people: from the links of a file to a table or tasks, and from the corrections to labelled mentions."""

from .agreement import ReviewReport, report_lines
from .corrections import Correction, LabelledMention, check_corrections, write_mentions
from .label_studio import read_annotations, write_tasks
from .links import InputRow, read_input, read_links, review_order
from .table import read_table, write_table


__all__ = [
    "Correction",
    "InputRow",
    "LabelledMention",
    "ReviewReport",
    "check_corrections",
    "read_annotations",
    "read_input",
    "read_links",
    "read_table",
    "report_lines",
    "review_order",
    "write_mentions",
    "write_table",
    "write_tasks",
]
