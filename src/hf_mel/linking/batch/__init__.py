"""Linking of whole files: rows in, results out, one after the other, and on again after an interruption."""

from .formats import WRITERS, RdfNames, format_of
from .inputs import FindMentions, QueryReader, TableInput
from .running import BatchOptions, BatchReport, link_file


__all__ = [
    "WRITERS",
    "BatchOptions",
    "BatchReport",
    "FindMentions",
    "QueryReader",
    "RdfNames",
    "TableInput",
    "format_of",
    "link_file",
]
