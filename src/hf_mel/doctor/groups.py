"""By what mentions are told apart: the quality of their picture, and how many entities share their name."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from ..data import KnowledgeBase
from .linkability import BUCKETS, EntityNames, bucket
from .texts import normal_name


# From the best to the worst; a quality that is not named here comes after these, by name.
_QUALITIES = ("good", "medium", "low_quality", "low_value", "low_relevance", "missing")
_STATUSES = {
    "ok": "with a picture",
    "none": "no picture",
    "missing_file": "file missing",
    "unreadable": "unreadable file",
    "blank": "blank picture",
}


# ---- Pictures ----


def picture_labels(mentions: Dataset) -> tuple[list[str], list[str], str]:
    """
    Group of each mention by its picture: the column `image_quality` where the data have it, else whether there is one.

    Returns:
        `tuple`: the labels, their order, and the column that they are from.
    """
    if "image_quality" in mentions.column_names:
        labels = [quality or "not said" for quality in mentions["image_quality"][:]]
        others = sorted(set(labels) - set(_QUALITIES))
        names = {name: name.replace("_", " ") for name in (*_QUALITIES, *others)}
        return [names[label] for label in labels], list(names.values()), "image_quality"
    labels = [_STATUSES.get(status, "not said") for status in mentions["image_status"][:]]
    return labels, [*_STATUSES.values(), "not said"], "image_status"


# ---- Names ----


def namesakes(mentions: Sequence[str], kb: KnowledgeBase) -> np.ndarray:
    """
    Counts the entities that each mention may name by its string alone: those of which the name or an alias is the mention, or
    holds all its words, whatever their order; case, width, spacing and `_` do not count. It is the `within_name` of
    `hf-mel data check`.

    Args:
        mentions (`Sequence[str]`):
            Words of the mentions.
        kb ([`KnowledgeBase`]):
            The entities.

    Returns:
        `np.ndarray` of shape `(num_mentions,)`, int64. 0: no entity is called so, it has to be known by other means.

    Example:

    ```python
    >>> from hf_mel import KnowledgeBase
    >>> from hf_mel.doctor.groups import namesakes

    >>> names = ["Robin Williams", "Serena  Williams", "Williamson"]
    >>> kb = KnowledgeBase.from_records([{"id": str(row), "name": name} for row, name in enumerate(names)])
    >>> namesakes(["williams", "Hood"], kb)
    array([2, 0])
    ```
    """
    names = EntityNames(kb)
    counts = {mention: len(names.within(normal_name(mention))) for mention in dict.fromkeys(mentions)}
    return np.array([counts[mention] for mention in mentions], dtype=np.int64)


def ambiguity_labels(counts: np.ndarray) -> tuple[list[str], list[str]]:
    """Group of each mention by its number of namesakes, and the groups in their order."""
    return [bucket(int(count)) for count in counts], list(BUCKETS)
