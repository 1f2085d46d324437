"""The tiny run, made once."""

import shutil

import pytest

from hf_mel import make_miniature
from hf_mel.reporting import make_report, plots

from .common import write_run


@pytest.fixture(scope="session")
def reported_data():
    return make_miniature(num_entities=12, num_train=6, num_validation=6, num_test=14)


@pytest.fixture(scope="session")
def _made_run(reported_data, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "tiny-run", reported_data)


@pytest.fixture
def run_dir(_made_run, tmp_path):
    """A copy, which a test may damage."""
    return shutil.copytree(_made_run, tmp_path / "tiny-run")


@pytest.fixture(scope="session")
def report(_made_run, reported_data):
    """All of it, with its plots; a test that writes takes a copy of the run."""
    return make_report(_made_run, reported_data, num_mistakes=3)


@pytest.fixture
def no_plots(monkeypatch):
    """Plots are not drawn, which takes most of the time."""
    monkeypatch.setattr(plots, "render", lambda draw, alt, height=0: plots.Plot(b"light", b"dark", alt))
