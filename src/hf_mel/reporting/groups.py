"""Hits of groups of mentions: by the quality of their picture, and by how many entities share their name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from ..data import KnowledgeBase
from ..doctor.linkability import BUCKETS, EntityNames, bucket
from ..doctor.texts import normal_name
from ..evaluation import Interval, bootstrap_intervals, ranking_metrics


# From the best to the worst; a quality that is not named here comes after these, by name.
_QUALITIES = ("good", "medium", "low_quality", "low_value", "low_relevance", "missing")
_STATUSES = {
    "ok": "with a picture",
    "none": "no picture",
    "missing_file": "file missing",
    "unreadable": "unreadable file",
    "blank": "blank picture",
}


@dataclass(frozen=True)
class Group:
    """
    Mentions that have something in common.

    Args:
        name (`str`): What it is.
        count (`int`): How many they are.
        metrics (`dict`): Those of [`ranking_metrics`].
        interval ([`Interval`]): Of hits@1, at 95 %.
    """

    name: str
    count: int
    metrics: dict[str, float | int]
    interval: Interval


def group_hits(ranks: np.ndarray, labels: Sequence[str], order: Sequence[str]) -> list[Group]:
    """
    Metrics of each group.

    Args:
        ranks (`np.ndarray` of shape `(num_mentions,)`):
            Rank of each gold entity.
        labels (`Sequence[str]`):
            Group of each mention.
        order (`Sequence[str]`):
            Names of the groups, as they are to be shown; those without a mention are left out.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.reporting.groups import group_hits

    >>> groups = group_hits(np.array([1.0, 3.0, 1.0]), ["b", "b", "a"], ["a", "b"])
    >>> [(group.name, group.count, group.metrics["hits@1"]) for group in groups]
    [('a', 1, 1.0), ('b', 2, 0.5)]
    ```
    """
    ranks, labels = np.asarray(ranks), np.asarray(labels, dtype=object)
    if ranks.shape != labels.shape:
        raise ValueError(f"there are {len(labels)} groups for {len(ranks)} ranks")
    found = []
    for name in order:
        own = ranks[labels == name]
        if len(own):
            found.append(Group(name, len(own), ranking_metrics(own), bootstrap_intervals(own, ("hits@1",))["hits@1"]))
    return found


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
    How many entities each mention may name by its string alone: those of which the name or an alias is the mention, or holds
    all its words, whatever their order; case, width, spacing and `_` do not count. It is the `within_name` of `hf-mel data check`.

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
    >>> from hf_mel.reporting.groups import namesakes

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


def group_table(groups: Sequence[Group], heading: str) -> list[list[str]]:
    """Groups in rows, with headings."""
    rows = [[heading, "mentions", "hits@1", "95 % interval", "hits@5", "MRR"]]
    for group in groups:
        low, high = 100 * group.interval.low, 100 * group.interval.high
        shares = [f"{100 * group.metrics[name]:.1f} %" for name in ("hits@1", "hits@5")]
        rows.append(
            [group.name, f"{group.count:,}", shares[0], f"{low:.1f} to {high:.1f} %", shares[1], f"{100 * group.metrics['mrr']:.1f} %"]
        )  # fmt: skip
    return rows
