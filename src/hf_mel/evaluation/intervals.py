"""Uncertainty of metrics: bootstrap intervals over mentions, and a paired test between two systems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import per_mention_values


# Numbers drawn at once; bounds the memory whatever the number of mentions and resamples.
_DRAWS_AT_ONCE = 2**21


@dataclass(frozen=True)
class Interval:
    """
    A metric with its bootstrap interval.

    Args:
        value (`float`): The metric; for several seeds the mean over them.
        low (`float`), high (`float`): Ends of the percentile interval over resampled mentions.
        level (`float`): Share of resamples between the ends.
        num_resamples (`int`): Resamples drawn.
        num_seeds (`int`): Runs on the same test set.
        seed_std (`float`, *optional*): Standard deviation (n - 1) of the metric between the seeds; None for one run.
    """

    value: float
    low: float
    high: float
    level: float
    num_resamples: int
    num_seeds: int = 1
    seed_std: float | None = None


@dataclass(frozen=True)
class PairedComparison:
    """
    A metric of run A minus that of run B on the same mentions.

    Args:
        difference (`float`): A minus B.
        low (`float`), high (`float`): Ends of the paired percentile bootstrap interval of the difference.
        p_value (`float`): Two-sided, of the sign-flip permutation test: how often a difference as large would come if
            for each mention it were chance which of the two systems is which.
        level (`float`): Share of resamples between the ends.
        num_resamples (`int`): Resamples drawn.
        exact (`bool`): Whether all sign patterns were counted rather than drawn.
    """

    difference: float
    low: float
    high: float
    p_value: float
    level: float
    num_resamples: int
    exact: bool


def bootstrap_intervals(
    ranks: np.ndarray | Sequence,
    metrics: Sequence[str] = ("hits@1", "hits@5", "mrr"),
    *,
    level: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """
    Percentile bootstrap intervals over mentions (Efron, 1979).

    Mentions are drawn with replacement, the same draws for every metric. With several seeds of one system, a mention
    is drawn with its ranks under all seeds and the metric is the mean over them: the interval says how the mean would
    move with another test set, and `seed_std` how it moves from seed to seed. These are two different doubts.

    Args:
        ranks (array of `float` of shape `(num_mentions,)` or `(num_seeds, num_mentions)`):
            Ranks from 1, of one run or of several on the same mentions in the same order.
        metrics (sequence of `str`, *optional*, defaults to `("hits@1", "hits@5", "mrr")`):
            Names as in [`per_mention_values`].
        level (`float`, *optional*, defaults to 0.95):
            Share of resamples inside the interval.
        num_resamples (`int`, *optional*, defaults to 10000):
            Resamples.
        seed (`int`, *optional*, defaults to 0):
            Seed of the generator of the resamples. The same seed gives the same interval.

    Returns:
        `dict[str, Interval]`, by metric.

    Raises:
        ValueError: no mentions, a level outside (0, 1), an infinite rank with `mr`.

    Example:

    ```python
    >>> from hf_mel.evaluation import bootstrap_intervals

    >>> interval = bootstrap_intervals([1] * 80 + [2] * 20)["hits@1"]
    >>> interval.value, 0.70 < interval.low < 0.75, 0.85 < interval.high < 0.90
    (0.8, True, True)
    ```
    """
    _check_options(level, num_resamples)
    ranks = _as_runs(ranks, "ranks")
    by_seed = np.stack([_finite_values(ranks, metric) for metric in metrics])
    lows, highs = _percentile_interval(by_seed.mean(axis=1), level, num_resamples, seed)
    result = {}
    for number, metric in enumerate(metrics):
        runs = by_seed[number].mean(axis=1)
        seed_std = float(runs.std(ddof=1)) if len(runs) > 1 else None
        ends = float(lows[number]), float(highs[number])
        result[metric] = Interval(float(runs.mean()), *ends, level, num_resamples, len(runs), seed_std)
    return result


def paired_comparison(
    ranks_a: np.ndarray | Sequence,
    ranks_b: np.ndarray | Sequence,
    metrics: Sequence[str] = ("hits@1", "mrr"),
    *,
    level: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, PairedComparison]:
    """
    Compares systems A and B on the same mentions: an interval of the difference, and a p value.

    The interval is the paired bootstrap: a mention is drawn with its ranks under both systems. The p value is that of
    the sign-flip permutation test on the differences of each mention; where few mentions differ, all sign patterns are
    counted. Both speak of these runs: with one seed of each system they say nothing about other seeds. Several seeds
    are averaged for each mention first.

    Args:
        ranks_a (array of `float` of shape `(num_mentions,)` or `(num_seeds_a, num_mentions)`):
            Ranks under system A.
        ranks_b (array of `float` of shape `(num_mentions,)` or `(num_seeds_b, num_mentions)`):
            Ranks under system B, of the same mentions in the same order.
        metrics (sequence of `str`, *optional*, defaults to `("hits@1", "mrr")`):
            Names as in [`per_mention_values`].
        level, num_resamples, seed:
            As in [`bootstrap_intervals`].

    Returns:
        `dict[str, PairedComparison]`, by metric.

    Raises:
        ValueError: the two have different numbers of mentions, or as [`bootstrap_intervals`].

    Example:

    ```python
    >>> from hf_mel.evaluation import paired_comparison

    >>> comparison = paired_comparison([1, 1, 1, 2, 1], [2, 2, 2, 2, 1])["hits@1"]
    >>> round(comparison.difference, 3), comparison.p_value, comparison.exact
    (0.6, 0.25, True)
    ```
    """
    _check_options(level, num_resamples)
    runs_a, runs_b = _as_runs(ranks_a, "ranks_a"), _as_runs(ranks_b, "ranks_b")
    if runs_a.shape[1] != runs_b.shape[1]:
        raise ValueError(f"the two runs must rank the same mentions, got {runs_a.shape[1]} and {runs_b.shape[1]}")
    differences = np.stack(
        [_finite_values(runs_a, name).mean(axis=0) - _finite_values(runs_b, name).mean(axis=0) for name in metrics]
    )
    lows, highs = _percentile_interval(differences, level, num_resamples, seed)
    result = {}
    for number, metric in enumerate(metrics):
        p_value, exact = _sign_flip_p_value(differences[number], num_resamples, seed)
        ends = float(lows[number]), float(highs[number])
        mean = float(differences[number].mean())
        result[metric] = PairedComparison(mean, *ends, p_value, level, num_resamples, exact)
    return result


def _percentile_interval(
    values: np.ndarray, level: float, num_resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of the mean of each row of `values` (num_metrics, num_mentions)."""
    num_mentions = values.shape[1]
    generator = np.random.default_rng(seed)
    # Mentions that contribute the same to every metric are exchangeable, so how many of each kind are drawn is enough:
    # ranks have few kinds (all those beyond the last k fall together), and a multinomial draw costs their number.
    kinds, sizes = np.unique(values, axis=1, return_counts=True)
    means = np.empty((len(values), num_resamples))
    for part in _batches(num_resamples, kinds.shape[1]):
        drawn = generator.multinomial(num_mentions, sizes / num_mentions, size=part.stop - part.start)
        means[:, part] = kinds @ drawn.T / num_mentions
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return low, high


def _sign_flip_p_value(differences: np.ndarray, num_resamples: int, seed: int) -> tuple[float, bool]:
    """Share of sign patterns whose sum is at least as far from 0 as the one observed, and whether all were counted."""
    differences = differences[differences != 0]  # a sign changes nothing in a zero
    total = differences.sum()
    # Sums that are equal on paper may differ in rounding; they must count as equal.
    threshold = abs(total) - 1e-9 * np.abs(differences).sum()
    exact = 2 ** len(differences) <= min(num_resamples, 2**16)
    if exact:
        patterns = np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1
        return float((np.abs(2 * (patterns @ differences) - total) >= threshold).mean()), True
    generator = np.random.default_rng(seed)
    extreme = 0
    for part in _batches(num_resamples, len(differences)):
        count, num_bytes = part.stop - part.start, -(-len(differences) // 8)
        draws = generator.integers(0, 256, size=(count, num_bytes), dtype=np.uint8)
        flips = np.unpackbits(draws, axis=1, count=len(differences)).astype(np.float64)
        extreme += int((np.abs(2 * (flips @ differences) - total) >= threshold).sum())
    # The observed pattern is one of the possible ones, so that p is never 0.
    return (extreme + 1) / (num_resamples + 1), False


def _batches(count: int, width: int) -> Iterator[slice]:
    size = max(1, _DRAWS_AT_ONCE // max(1, width))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _as_runs(ranks: np.ndarray | Sequence, name: str) -> np.ndarray:
    ranks = np.asarray(ranks, dtype=np.float64)
    ranks = ranks[None] if ranks.ndim == 1 else ranks
    if ranks.ndim != 2 or not ranks.size:
        raise ValueError(
            f"{name} must be (num_mentions,) or (num_seeds, num_mentions) and not empty, got {ranks.shape}"
        )
    return ranks


def _finite_values(ranks: np.ndarray, metric: str) -> np.ndarray:
    values = per_mention_values(ranks, metric)
    if not np.isfinite(values).all():
        raise ValueError(f"{metric} does not exist where a gold was not retrieved (rank inf); leave it out")
    return values


def _check_options(level: float, num_resamples: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
