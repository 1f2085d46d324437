"""Reports on a run, as one page: curves, results by group, the gate, the worst mistakes."""

from .report import Report, make_report
from .run_files import RunFiles, read_run


__all__ = ["Report", "RunFiles", "make_report", "read_run"]
