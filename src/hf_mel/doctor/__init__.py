"""The data doctor: what is wrong with a benchmark, odd about it, or worth knowing before a result is believed."""

from .all_checks import diagnose, unreadable
from .diagnosis import Diagnosis
from .files import check_parquet_files
from .findings import Example, Finding


__all__ = ["Diagnosis", "Example", "Finding", "check_parquet_files", "diagnose", "unreadable"]
