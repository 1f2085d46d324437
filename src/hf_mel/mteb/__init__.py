"""Retrieval tasks of mteb: their files in a dataset repository, and linking models that mteb can evaluate."""

from typing import TYPE_CHECKING

from ..lazy import lazy_exports


_EXPORTS = {"export": ["MTEBExport", "write_mteb"], "search": ["MTEBModel"]}

if TYPE_CHECKING:  # `as` exports a name from a typed package
    from .export import MTEBExport as MTEBExport
    from .export import write_mteb as write_mteb
    from .search import MTEBModel as MTEBModel

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
