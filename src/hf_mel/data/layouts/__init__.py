"""Readers of released files: one file a layout, `LAYOUTS`, and the way in."""

from .base import LayoutOptions, RawBenchmark
from .load import LAYOUTS, Layout, detect_layout, load_layout, load_merlin, read_layout
from .merlin import merlin_rows


__all__ = [
    "LAYOUTS",
    "Layout",
    "LayoutOptions",
    "RawBenchmark",
    "detect_layout",
    "load_layout",
    "load_merlin",
    "merlin_rows",
    "read_layout",
]
