"""Metrics of ranks, on plain arrays."""

import re
from collections.abc import Sequence

import numpy as np


DIRECTIONS = {
    "hits@k": True,
    "mrr": True,
    "mr": False,
    "T@k": True,
    "T@k (gold added)": True,
    "retrieved": True,
    "nil_precision": True,
    "nil_recall": True,
    "nil_f1": True,
    "accuracy": True,
    "coverage_area": True,
    **dict.fromkeys(("ece", "ece_equal_mass", "best_ece", "best_ece_equal_mass", "brier", "nll"), False),
}
"""`True` for metrics of which a higher value is better; `k` is any cut-off. Counts such as `num_nil` have no direction."""


def higher_is_better(metric: str) -> bool | None:
    """
    Direction of a metric.

    Args:
        metric (`str`):
            Name of the metric, such as `"mrr"` or `"hits@10"`.

    Returns:
        `bool`: Whether a higher value is better; `None` for a name that is no metric of this package, or a count.

    Example:

    ```python
    >>> from hf_mel.evaluation import higher_is_better

    >>> higher_is_better("hits@10"), higher_is_better("mr"), higher_is_better("num_nil")
    (True, False, None)
    ```
    """
    return DIRECTIONS.get(re.sub(r"^(hits|T)@[1-9]\d*(?= \(gold added\)$|$)", r"\1@k", metric))


def per_mention_values(ranks: np.ndarray | Sequence[float], metric: str) -> np.ndarray:
    """
    Returns the contribution of each mention to a metric, which is their mean.

    Args:
        ranks (array of `float` of any shape):
            Ranks from 1; `inf` where the gold was not retrieved.
        metric (`str`):
            `"hits@k"` for a positive integer k, `"mrr"` or `"mr"`.

    Returns:
        `np.ndarray` of the shape of `ranks`, float64.

    Raises:
        ValueError: an unknown metric; a rank that is NaN or below 1.

    Example:

    ```python
    >>> from hf_mel.evaluation import per_mention_values

    >>> per_mention_values([1, 4, float("inf")], "mrr")
    array([1.  , 0.25, 0.  ])
    ```
    """
    ranks = check_ranks(ranks)
    if metric == "mrr":
        return 1.0 / ranks
    if metric == "mr":
        return ranks
    name, _, k = metric.partition("@")
    if name != "hits" or not k.isdecimal() or int(k) < 1:
        raise ValueError(f"unknown metric {metric!r}; choose 'hits@k' for an integer k from 1, 'mrr' or 'mr'")
    return (ranks <= int(k)).astype(np.float64)


def ranking_metrics(ranks: np.ndarray | Sequence[float], ks: Sequence[int] = (1, 3, 5, 10)) -> dict[str, float | int]:
    """
    Hits@k, mean reciprocal rank and mean rank.

    A rank with a fraction comes from a tie and counts for hits@k where it is at most k: two entities tied for the
    first place have rank 1.5 and are no hit at 1. A gold that was not retrieved has rank `inf`: it counts as a miss and
    stays in the denominator of every metric. The mean rank does not exist then, and `mr` is left out rather than
    taken over the retrieved ones.

    Args:
        ranks (array of `float` of shape `(num_mentions,)`):
            Ranks from 1.
        ks (sequence of `int`, *optional*, defaults to `(1, 3, 5, 10)`):
            The cut-offs.

    Returns:
        `dict`: `hits@k` for each k and `mrr` (shares from 0 to 1), `mr` where all ranks are finite, `num_mentions`.

    Raises:
        ValueError: no ranks at all, or a rank that is NaN or below 1.

    Example:

    ```python
    >>> from hf_mel.evaluation import ranking_metrics

    >>> ranking_metrics([1, 2, 1.5, 10], ks=(1, 3))
    {'hits@1': 0.25, 'hits@3': 0.75, 'mrr': 0.5666666666666667, 'mr': 3.625, 'num_mentions': 4}
    ```
    """
    ranks = check_ranks(ranks)
    if ranks.ndim != 1 or not len(ranks):
        raise ValueError(f"metrics need the ranks of at least one mention in one dimension, got shape {ranks.shape}")
    names = [*(f"hits@{k}" for k in ks), "mrr", *(["mr"] if np.isfinite(ranks).all() else [])]
    metrics: dict[str, float | int] = {name: float(per_mention_values(ranks, name).mean()) for name in names}
    return metrics | {"num_mentions": len(ranks)}


def split_metrics(
    ranks: np.ndarray | Sequence[float], seen: np.ndarray | Sequence[bool], ks: Sequence[int] = (1, 3, 5, 10)
) -> dict[str, dict[str, float | int]]:
    """
    The metrics apart for mentions whose gold entity was the gold of a training mention, and for the others.

    Args:
        ranks (array of `float` of shape `(num_mentions,)`):
            Ranks from 1.
        seen (array of `bool` of shape `(num_mentions,)`):
            Whether the gold entity occurs in the training split.
        ks (sequence of `int`, *optional*, defaults to `(1, 3, 5, 10)`):
            The cut-offs.

    Returns:
        `dict` with the keys `seen` and `unseen`, each as [`ranking_metrics`]. A part without mentions has nothing but
        `num_mentions`, 0.

    Raises:
        ValueError: `seen` is not a boolean for each rank.

    Example:

    ```python
    >>> from hf_mel.evaluation import split_metrics

    >>> split_metrics([1, 2, 4], [True, True, False], ks=(1,))["seen"]
    {'hits@1': 0.5, 'mrr': 0.75, 'mr': 1.5, 'num_mentions': 2}
    ```
    """
    ranks, seen = check_ranks(ranks), np.asarray(seen)
    if seen.dtype != bool or seen.shape != ranks.shape:
        raise ValueError(f"seen must be a boolean for each of the {ranks.shape} ranks, got {seen.dtype} {seen.shape}")
    parts = {"seen": ranks[seen], "unseen": ranks[~seen]}
    return {name: ranking_metrics(part, ks) if len(part) else {"num_mentions": 0} for name, part in parts.items()}


def check_ranks(ranks: np.ndarray | Sequence[float]) -> np.ndarray:
    """`ranks` as float64; a ValueError names the first that is none."""
    ranks = np.asarray(ranks, dtype=np.float64)
    wrong = np.argwhere(~(ranks >= 1))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(f"ranks start from 1, but the one at position {at} is {ranks[at]}")
    return ranks
