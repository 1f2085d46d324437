"""PNGs: their bytes, and what drawing leaves alone."""

import ast
import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hf_mel import reporting
from hf_mel.reporting import plots


def drawn() -> plots.Plot:
    return plots.render(plots.draw_coverage([0.5, 1.0], [0.75, 0.5]), "a curve")


def test_a_plot_is_the_same_twice_and_holds_nothing_but_the_picture():
    first, second = drawn(), drawn()
    assert first == second and first.light != first.dark
    for png in (first.light, first.dark):
        with Image.open(io.BytesIO(png)) as image:
            assert image.size == (768, 408) and set(image.info) <= {"dpi"}
    corners = [Image.open(io.BytesIO(png)).convert("RGB").getpixel((1, 1)) for png in (first.light, first.dark)]
    assert corners == [(255, 255, 255), (0x17, 0x17, 0x1A)]


def test_settings_stay_the_callers():
    before = dict(matplotlib.rcParams)
    drawn()
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_one_files_affair_and_opens_no_window():
    found = {}
    for path in sorted(Path(reporting.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_once = set(tree.body)
        for node in ast.walk(tree):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name and name.split(".")[0] == "matplotlib":
                    found.setdefault(path.name, set()).add(name)
                    assert node not in at_once, "loaded when something is drawn, not when the room is imported"
    assert found == {"plots.py": {"matplotlib.figure", "matplotlib.text", "matplotlib.ticker"}}, "and no pyplot"


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "hf-mel\[report\]"') as raised:
        drawn()
    assert raised.value.name is None, "told in a line, not as a fault of the package"


def test_coverage_is_drawn_as_given():
    figure = plots.new_figure(plots.draw_coverage([0.5, 1.0], [0.75, 0.5]))
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0.5, 0.75], [1.0, 0.5]]


def test_the_bins_of_the_gate():
    weights = np.array([0.0, 0.01, 0.03, 0.99, 1.0, 1.0000001])
    counts = plots.gate_counts(weights)
    assert len(counts) == 40 and counts[0] == 2 and counts[1] == 1 and counts[-1] == 3 and counts.sum() == 6
    figure = plots.new_figure(plots.draw_gate({"mentions": weights, "entities": weights[:2]}))
    for axes, total in zip(figure.axes, (6, 2), strict=True):
        assert sum(bar.get_height() for bar in axes.patches) == total
