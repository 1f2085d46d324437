"""Curves are the numbers of the log."""

import math

import pytest

from hf_mel.reporting import plots
from hf_mel.reporting.curves import CURVES, curve_table, curves_of, series_of

from .common import LOG


def logged(name: str) -> list[tuple[float, float]]:
    return [(log["epoch"], log[name]) for log in LOG if name in log]


def test_every_curve_is_that_of_the_log():
    found = {kind.key: series for kind, series in curves_of(LOG)}
    assert list(found) == ["losses", "reward", "entropy", "active_triplets", "negative_ranks", "validation_mrr"]
    names = [
        "discriminator_loss", "generator_loss", "reward", "generator_entropy", "active_triplets", "sampled_rank", "eval_mrr",
    ]  # fmt: skip
    assert [each.name for series in found.values() for each in series] == names
    for series in found.values():
        for each in series:
            assert list(zip(each.epochs, each.values, strict=True)) == logged(each.name)
    (mrr,) = found["validation_mrr"]
    assert mrr.values == [0.25, 0.5, 0.375] and mrr.steps == [4, 8, 12]


@pytest.mark.parametrize("kind", CURVES, ids=lambda kind: kind.key)
def test_what_is_drawn_is_what_was_logged(kind):
    series = dict((found.key, each) for found, each in curves_of(LOG))[kind.key]
    figure = plots.new_figure(plots.draw_curves(kind, series, (1.0, 3.0)))
    assert len(figure.axes) == len(series)
    for axes, each in zip(figure.axes, series, strict=True):
        assert axes.lines[0].get_xydata().tolist() == [list(point) for point in logged(each.name)]
        assert axes.get_ylabel() == each.label
        low, high = axes.get_xlim()
        assert low < 1 and high > 3, "all plots have the same epochs"
        assert not kind.share or axes.get_ylim() == (0, 1.02)
    if kind.mark_best:
        assert figure.axes[0].lines[1].get_xydata().tolist() == [[2.0, 0.5]]
        assert figure.axes[0].texts[0].get_text() == "0.5000"


def test_the_table():
    found = {kind.key: series for kind, series in curves_of(LOG)}
    assert curve_table(found["losses"]) == [
        ["epoch", "step", "discriminator", "generator"],
        ["1", "4", "0.8000", ""],
        ["2", "8", "0.6000", "-0.5000"],
        ["3", "12", "0.7000", "-0.2500"],
    ]


def test_what_is_not_finite_is_a_gap():
    log = [{"epoch": 1.0, "step": 1, "reward": 0.5}, {"epoch": 2.0, "step": 2, "reward": math.inf}]
    series = series_of(log, "reward")
    assert series.finite == 1 and math.isnan(series.values[1])
    assert curve_table([series])[2] == ["2", "2", "not finite"]
    assert plots.curves_alt([series]) == "reward: 1 points, first 0.5, last 0.5, lowest 0.5, highest 0.5"


@pytest.mark.parametrize("value", ["0.5", None, True, [1]])
def test_what_is_no_number_is_an_error(value):
    with pytest.raises(ValueError, match=r"`log_history\[1\].reward` is .*, not a number"):
        series_of([{"epoch": 1.0}, {"epoch": 1.0, "reward": value}], "reward")
