"""A knowledge base from Wikidata: dumps, JSON of single entities, or a list of QIDs and an endpoint."""

from typing import TYPE_CHECKING

from ...lazy import lazy_exports


_EXPORTS = {"build": ["build_from_wikidata"], "options": ["WikidataOptions"]}

if TYPE_CHECKING:  # `as` exports a name from a typed package
    from .build import build_from_wikidata as build_from_wikidata
    from .options import WikidataOptions as WikidataOptions
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
