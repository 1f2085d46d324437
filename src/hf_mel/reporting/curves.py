"""Curves of a training: the numbers of the log, none added and none smoothed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Series:
    """
    One logged value over the training.

    Args:
        name (`str`): Its name in the log.
        label (`str`): What a reader calls it.
        epochs (`list[float]`), steps (`list[int]`), values (`list[float]`): A point for each time it was logged; a value
            that is not finite is NaN.
    """

    name: str
    label: str
    epochs: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    @property
    def finite(self) -> int:
        """Number of the values that can be drawn."""
        return sum(math.isfinite(value) for value in self.values)


@dataclass(frozen=True)
class CurveKind:
    """
    A plot of the training.

    Args:
        key (`str`): Its name as a file.
        title (`str`), note (`str`): Heading, and what the numbers are.
        names (`dict[str, str]`): Logged names and their labels; each is drawn in a panel of its own.
        share (`bool`): Whether the values are shares, from 0 to 1.
        absent (`str`): What it means that nothing was logged.
        mark_best (`bool`): Whether the highest value is marked.
    """

    key: str
    title: str
    note: str
    names: dict[str, str]
    absent: str
    share: bool = False
    mark_best: bool = False


_NO_GENERATOR = "the log has no `{name}`: no generator was trained"

CURVES = (
    CurveKind(
        "losses",
        "Losses",
        "Mean over the steps since the last entry of the log. The two have no scale in common.",
        {"discriminator_loss": "discriminator", "generator_loss": "generator"},
        "the log has neither `discriminator_loss` nor `generator_loss`",
    ),
    CurveKind(
        "reward",
        "Reward of the generator",
        "Mean reward of the negatives that the generator drew.",
        {"reward": "reward"},
        _NO_GENERATOR.format(name="reward"),
    ),
    CurveKind(
        "entropy",
        "Entropy of the generator",
        "H / log N over the N candidates of the pool: 1 is a uniform choice, near 0 the generator has collapsed.",
        {"generator_entropy": "H / log N"},
        _NO_GENERATOR.format(name="generator_entropy"),
        share=True,
    ),
    CurveKind(
        "active_triplets",
        "Active triplets",
        "Share of the negatives that lie inside the margin, and so teach something.",
        {"active_triplets": "share inside the margin"},
        "the log has no `active_triplets`",
        share=True,
    ),
    CurveKind(
        "negative_ranks",
        "Rank of the negatives",
        "Mean rank, in the pool and by the discriminator, of the negatives that the generator drew; 1 is the hardest.",
        {"sampled_rank": "mean rank in the pool"},
        _NO_GENERATOR.format(name="sampled_rank"),
    ),
    CurveKind(
        "validation_mrr",
        "MRR on the evaluation set",
        "Mean reciprocal rank while training; the highest is marked.",
        {"eval_mrr": "MRR"},
        "the log has no `eval_mrr`: nothing was evaluated while training",
        mark_best=True,
    ),
)


def series_of(history: Sequence[dict[str, Any]], name: str, label: str | None = None) -> Series:
    """
    The values logged under a name.

    Raises:
        `ValueError`: a value that is not a number; its place in the log is named.

    Example:

    ```python
    >>> from hf_mel.reporting.curves import series_of

    >>> series_of([{"epoch": 1.0, "step": 4, "loss": 0.5}, {"epoch": 1.0, "eval_mrr": 0.2}], "loss").values
    [0.5]
    ```
    """
    series = Series(name, label or name)
    for place, log in enumerate(history):
        if name not in log:
            continue
        value = log[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"`log_history[{place}].{name}` is {value!r}, not a number")
        series.epochs.append(float(log.get("epoch", math.nan)))
        series.steps.append(int(log.get("step", -1)))
        series.values.append(float(value) if math.isfinite(value) else math.nan)
    return series


def curves_of(history: Sequence[dict[str, Any]]) -> list[tuple[CurveKind, list[Series]]]:
    """Each kind of curve with those of its series that have a point; an empty list where there is none."""
    found = []
    for kind in CURVES:
        series = [series_of(history, name, label) for name, label in kind.names.items()]
        found.append((kind, [each for each in series if each.values]))
    return found


def curve_table(series: Sequence[Series]) -> list[list[str]]:
    """The numbers of a plot in rows, with headings."""
    points: dict[tuple[float, int], dict[str, float]] = {}
    for each in series:
        for epoch, step, value in zip(each.epochs, each.steps, each.values, strict=True):
            points.setdefault((epoch, step), {})[each.name] = value
    rows = [["epoch", "step", *(each.label for each in series)]]
    for (epoch, step), values in points.items():
        cells = ["" if each.name not in values else _shown(values[each.name]) for each in series]
        rows.append([f"{epoch:g}", "" if step < 0 else f"{step:,}", *cells])
    return rows


def _shown(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "not finite"
