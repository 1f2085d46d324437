"""Indexes of encoded entities: built, kept in a folder, searched, changed in place."""

from .backends import BACKENDS, SearchBackend, get_backend
from .changing import IndexChange
from .entity_index import EntityIndex
from .lookup import IndexedEntity
from .manifest import Manifest
from .precision import PRECISIONS


__all__ = [
    "BACKENDS",
    "EntityIndex",
    "IndexChange",
    "IndexedEntity",
    "Manifest",
    "PRECISIONS",
    "SearchBackend",
    "get_backend",
]
