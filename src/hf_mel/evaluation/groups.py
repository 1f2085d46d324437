"""Mentions in groups, such as those with good and those with poor pictures: hits of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .intervals import Interval, bootstrap_intervals
from .metrics import ranking_metrics


AMBIGUITY = "namesakes"  # what a result calls its groups by the number of entities that share the mention's name


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
    metrics: dict[str, Any]
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

    Raises:
        ValueError: other numbers of ranks and of labels, or a label that is not in `order`.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import group_hits

    >>> groups = group_hits(np.array([1.0, 3.0, 1.0]), ["b", "b", "a"], ["a", "b"])
    >>> [(group.name, group.count, group.metrics["hits@1"]) for group in groups]
    [('a', 1, 1.0), ('b', 2, 0.5)]
    ```
    """
    ranks, labels = np.asarray(ranks), np.asarray(labels, dtype=object)
    if ranks.shape != labels.shape:
        raise ValueError(f"there are {len(labels)} groups for {len(ranks)} ranks")
    lost = set(labels) - set(order)
    if lost:
        raise ValueError(f"the order of the groups lacks {', '.join(sorted(lost))}")
    found = []
    for name in order:
        own = ranks[labels == name]
        if len(own):
            found.append(Group(name, len(own), ranking_metrics(own), bootstrap_intervals(own, ("hits@1",))["hits@1"]))
    return found
