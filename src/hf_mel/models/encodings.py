"""Encodings of mentions or entities as a tree of tensors: what is done to all its tensors, and their names in flat files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


Encodings = dict[str, "torch.Tensor | Encodings"]
"""
Encodings of one side, as `model.encode` returns them: tensors by name, where a unit has a tree of its own. Every tensor has
one leading row for each mention or entity.
"""

ALONE = "alone"
"""Name of the encodings of single modalities: `text`, `image`, and the mask `has_image` of the rows where `image` counts."""


def map_tensors(function: Callable[..., Any], encodings: Encodings, *others: Encodings) -> Encodings:
    """
    Applies a function to each tensor, and to those in the same place of other encodings.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.models.encodings import map_tensors

    >>> map_tensors(len, {"dense": torch.zeros(3, 2), "text": {"vector": torch.zeros(3, 4)}})
    {'dense': 3, 'text': {'vector': 3}}
    ```
    """
    if not isinstance(encodings, Mapping):
        return function(encodings, *others)
    return {
        name: map_tensors(function, value, *(other[name] for other in others)) for name, value in encodings.items()
    }


def num_rows(encodings: Encodings) -> int:
    """Number of rows, by the first tensor."""
    while isinstance(encodings, Mapping):
        encodings = next(iter(encodings.values()))
    return len(encodings)


def select_rows(encodings: Encodings, rows: slice | torch.Tensor) -> Encodings:
    """The given rows: a slice, or an index tensor, whose shape replaces the leading dimension."""
    return map_tensors(lambda value: value[rows], encodings)


def cat_rows(parts: Sequence[Encodings]) -> Encodings:
    """The rows of several encodings, in turn."""
    return parts[0] if len(parts) == 1 else map_tensors(lambda *values: torch.cat(values), *parts)


def fill_rows(collected: Encodings, rows: torch.Tensor, encoded: Encodings, count: int) -> Encodings:
    """Writes encodings of the given rows into those of all `count` rows, which are made of zeros if `collected` is empty."""
    collected = collected or map_tensors(lambda value: value.new_zeros(count, *value.shape[1:]), encoded)
    map_tensors(lambda every, some: every.index_copy_(0, rows.to(some.device), some), collected, encoded)
    return collected


def whole(encodings: Encodings) -> Encodings:
    """The encodings of `model.encode` itself, without those of single modalities."""
    return {name: value for name, value in encodings.items() if name != ALONE}


# ---- In flat files ----


def flat_name(*names: str) -> str:
    """The name of a tensor in a flat file: the names on the way to it, joined by a dot."""
    return ".".join(names)


def flatten(encodings: Encodings, *above: str) -> dict[str, torch.Tensor]:
    """
    The tensors by their [`flat_name`].

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.models.encodings import flatten, unflatten

    >>> flat = flatten({"dense": torch.ones(1), "text": {"vector": torch.zeros(1)}})
    >>> flat, unflatten(flat)["text"]
    ({'dense': tensor([1.]), 'text.vector': tensor([0.])}, {'vector': tensor([0.])})
    ```
    """
    flat = {}
    for name, value in encodings.items():
        flat |= flatten(value, *above, name) if isinstance(value, Mapping) else {flat_name(*above, name): value}
    return flat


def unflatten(flat: Mapping[str, torch.Tensor]) -> Encodings:
    """Counterpart of [`flatten`]."""
    encodings: Encodings = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        place = encodings
        for each in above:
            place = place.setdefault(each, {})
        place[last] = value
    return encodings
