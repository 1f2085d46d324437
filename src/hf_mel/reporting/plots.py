"""Plots as PNG, for a light and for a dark page. The one file that needs matplotlib, of which it changes no setting."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .curves import CurveKind, Series
from .groups import Group


WIDTH, HEIGHT, DPI = 6.4, 3.4, 120
FONT = "DejaVu Sans"  # comes with matplotlib: the same everywhere


@dataclass(frozen=True)
class Theme:
    """Colours of a plot: text, grid and ground, then those of the data, which tell apart whoever looks."""

    ink: str
    line: str
    ground: str
    colours: tuple[str, ...]


LIGHT = Theme("#1c1c1e", "#dcdce2", "#ffffff", ("#0072b2", "#d55e00", "#009e73"))
DARK = Theme("#ececf0", "#3a3a42", "#17171a", ("#56b4e9", "#e69f00", "#3fcf9f"))

Draw = Callable[["Figure", Theme], None]  # noqa: F821


@dataclass(frozen=True)
class Plot:
    """
    A plot as it is saved and shown.

    Args:
        light (`bytes`), dark (`bytes`): PNG for a light and for a dark page.
        alt (`str`): What it shows, for who cannot see it.
    """

    light: bytes
    dark: bytes
    alt: str


def figure_class():
    """`matplotlib.figure.Figure`; an ImportError names the extra."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('a report needs matplotlib: pip install "hf-mel[report]"') from error
    return Figure


def render(draw: Draw, alt: str, height: float = HEIGHT) -> Plot:
    """The PNGs of a drawing: with the same numbers, matplotlib and settings of it, the same bytes."""
    return Plot(*(_png(new_figure(draw, theme, height)) for theme in (LIGHT, DARK)), alt)


def new_figure(draw: Draw, theme: Theme = LIGHT, height: float = HEIGHT):
    """The drawing as a figure, which belongs to no window and no global state."""
    figure = figure_class()(figsize=(WIDTH, height), dpi=DPI, facecolor=theme.ground, layout="constrained")
    draw(figure, theme)
    _style(figure, theme)
    return figure


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    # No name and no version of the program: nothing but the picture.
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def _style(figure, theme: Theme) -> None:
    """Said here rather than in `rcParams`, which are the caller's."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.set_facecolor(theme.ground)
        axes.tick_params(colors=theme.ink, labelsize=9)
        axes.grid(True, color=theme.line, linewidth=0.8)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(theme.line)
    # Texts of the data may hold a dollar, which would begin a formula.
    for text in figure.findobj(Text):
        text.set(color=theme.ink, fontfamily=FONT, usetex=False, parse_math=False)


def _legend(axes, **options) -> None:
    axes.legend(frameon=False, fontsize=9, **options)


def _percent(axis) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


# ---- Training ----


def draw_curves(kind: CurveKind, series: Sequence[Series], epochs: tuple[float, float] | None = None) -> Draw:
    """Each series in a panel of its own, all over the same epochs: those given, or those of the points."""

    def draw(figure, theme: Theme) -> None:
        panels = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
        for number, (axes, each) in enumerate(zip(panels, series, strict=True)):
            colour = theme.colours[number % len(theme.colours)]
            axes.plot(each.epochs, each.values, color=colour, marker="o", markersize=4, linewidth=1.6, linestyle="-")
            axes.set_ylabel(each.label, fontsize=9)
            if kind.share:
                axes.set_ylim(0, 1.02)
            if kind.mark_best and each.finite:
                _mark_best(axes, each, theme)
        panels[-1].set_xlabel("epoch", fontsize=9)
        if epochs is not None and epochs[1] > epochs[0]:
            beside = 0.03 * (epochs[1] - epochs[0])
            panels[-1].set_xlim(epochs[0] - beside, epochs[1] + beside)
            if epochs[1] - epochs[0] >= 2:
                panels[-1].xaxis.get_major_locator().set_params(integer=True)

    return draw


def _mark_best(axes, series: Series, theme: Theme) -> None:
    best = int(np.nanargmax(series.values))
    epoch, value = series.epochs[best], series.values[best]
    axes.plot([epoch], [value], marker="o", markersize=9, markerfacecolor="none", color=theme.colours[1], linestyle="")
    axes.annotate(f"{value:.4f}", (epoch, value), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9)


def curves_alt(series: Sequence[Series]) -> str:
    """First, last and extreme values in words."""
    parts = []
    for each in series:
        values = [value for value in each.values if math.isfinite(value)]
        if values:
            parts.append(
                f"{each.label}: {len(values)} points, first {values[0]:.4g}, last {values[-1]:.4g}, "
                f"lowest {min(values):.4g}, highest {max(values):.4g}"
            )
    return "; ".join(parts)


# ---- Results ----


def draw_groups(groups: Sequence[Group]) -> Draw:
    """Hits@5 and hits@1 of each group, with the interval of the latter."""

    def draw(figure, theme: Theme) -> None:
        axes = figure.subplots()
        places = np.arange(len(groups))
        firsts = np.array([group.metrics["hits@1"] for group in groups])
        ends = np.array([[group.interval.low, group.interval.high] for group in groups]).T
        fives = [group.metrics["hits@5"] for group in groups]
        axes.barh(places, fives, height=0.62, color=theme.line, label="hits@5")
        axes.barh(places, firsts, height=0.62, color=theme.colours[0], label="hits@1")
        axes.errorbar(
            firsts, places, xerr=np.maximum(np.abs(ends - firsts), 0), fmt="none", ecolor=theme.ink, elinewidth=1.2,
            capsize=3, label="95 % interval of hits@1",
        )  # fmt: skip
        axes.set_yticks(places, [f"{group.name} ({group.count:,})" for group in groups])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the mentions", fontsize=9)
        _percent(axes.xaxis)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False, fontsize=9)

    return draw


def groups_height(groups: Sequence[Group]) -> float:
    return 1.4 + 0.36 * len(groups)


def draw_gate(weights: dict[str, np.ndarray]) -> Draw:
    """Histograms of the weight of the pictures, each above the other."""

    def draw(figure, theme: Theme) -> None:
        panels = figure.subplots(len(weights), 1, sharex=True, squeeze=False)[:, 0]
        for number, (axes, (name, values)) in enumerate(zip(panels, weights.items(), strict=True)):
            counts = gate_counts(values)
            axes.bar(BINS[:-1], counts, width=np.diff(BINS), align="edge", color=theme.colours[number], linewidth=0)
            axes.set_ylabel(name, fontsize=9)
            axes.set_xlim(0, 1)
        panels[-1].set_xlabel("weight of the picture", fontsize=9)
        _percent(panels[-1].xaxis)

    return draw


BINS = np.linspace(0, 1, 41)


def gate_counts(weights: np.ndarray) -> np.ndarray:
    """Counts the weights in each of 40 bins from 0 to 1."""
    return np.histogram(np.clip(weights, 0, 1), BINS)[0]


def draw_coverage(coverage: Sequence[float], accuracy: Sequence[float]) -> Draw:
    """Right answers among the most confident."""

    def draw(figure, theme: Theme) -> None:
        axes = figure.subplots()
        marker = "o" if len(coverage) < 20 else ""
        axes.plot(
            coverage, accuracy, color=theme.colours[0], linewidth=1.6, linestyle="-", marker=marker, markersize=4
        )
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("coverage: share of the mentions that are answered, most confident first", fontsize=9)
        axes.set_ylabel("right answers", fontsize=9)
        _percent(axes.xaxis)
        _percent(axes.yaxis)

    return draw
