"""Search backends behind one interface."""

import importlib

from ....data.problems import listed, nearest
from ..lookup import EntityLookup
from .base import SearchBackend
from .exact import ExactBackend


# Those that need another library are imported when they are asked for.
_BACKENDS = {
    "exact": (".exact", "ExactBackend"),
    "two_stage": (".two_stage", "TwoStageBackend"),
    "faiss": (".faiss", "FaissBackend"),
    "qdrant": (".qdrant", "QdrantBackend"),
}
BACKENDS = tuple(_BACKENDS)
"""Names that [`get_backend`] knows."""


def get_backend(name: str, index: EntityLookup, **options) -> SearchBackend:
    """
    A search backend over an index, by its name.

    Args:
        name (`str`):
            `"exact"`, `"two_stage"`, `"faiss"` (needs the extra `faiss`) or `"qdrant"` (needs the extra `qdrant`).
        index ([`EntityIndex`]):
            The index to search.
        options:
            Arguments of the backend's class.

    Raises:
        `ValueError`: an unknown name, or `num_proposals` for the exact search. `ImportError`: the backend's library is not installed.
    """
    if name not in _BACKENDS:
        raise ValueError(f"unknown backend {name!r}{nearest(name, _BACKENDS)}; known are {listed(_BACKENDS)}")
    if name == "exact" and "num_proposals" in options:
        raise ValueError("num_proposals: the backend 'exact' scores every entity; name another, such as 'two_stage'")
    module, kind = _BACKENDS[name]
    return getattr(importlib.import_module(module, __name__), kind)(index, **options)
