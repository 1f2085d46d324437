"""`hf-mel report`: what it writes, says and refuses."""

import json
import sys

import pytest

from hf_mel import make_miniature
from hf_mel.cli.main import main
from hf_mel.linking import EntityIndex
from hf_mel.reporting import plots
from tests.reporting.common import LOG, tiny_parts, write_log, write_run


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A run, and its data and index in folders."""
    folder = tmp_path_factory.mktemp("report")
    data = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=8)
    write_run(folder / "run", data)
    EntityIndex.build(*tiny_parts(), data.entities, folder / "index", encode_dtype="float32")
    return data, folder


@pytest.fixture
def given_data(places, monkeypatch):
    monkeypatch.setattr("hf_mel.data.load_data", {"miniature": places[0]}.__getitem__)


@pytest.fixture
def no_plots(monkeypatch):
    """Plots are not drawn, which takes most of the time."""
    monkeypatch.setattr(plots, "render", lambda draw, alt, height=0: plots.Plot(b"light", b"dark", alt))


def refused(capsys, *argv) -> str:
    assert main(["report", *map(str, argv)]) == 2
    return capsys.readouterr().err.rpartition("hf-mel report: ")[2]


def test_with_data(places, given_data, no_plots, capsys, tmp_path):
    run, index = places[1] / "run", places[1] / "index"
    assert main(["report", str(run), "--data", "miniature", "--out", str(tmp_path / "a"), "--mistakes", "2"]) == 0
    out = capsys.readouterr().out
    assert out == f"written to {tmp_path / 'a' / 'report.html'}, with 10 plots\n"
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert page.count("linked to, score") == 2 and "test split" in page
    argv = ["report", str(run), "--data", "miniature", "--index", str(index), "--out", str(tmp_path / "b")]
    assert main([*argv, "--mistakes", "2"]) == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert main([*argv, "--split", "validation"]) == 0
    assert "validation split" in (tmp_path / "b" / "report.html").read_text(encoding="utf-8")


def test_into_the_run_and_what_is_left_out(capsys, tmp_path):
    write_log(tmp_path, LOG)
    assert main(["report", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"written to {tmp_path / 'report' / 'report.html'}, with 6 plots"
    assert "left out: Worst mistakes (no data were given: `--data` names them)" in lines
    assert len(list((tmp_path / "report").glob("*.png"))) == 6


def test_what_is_refused(places, capsys, tmp_path):
    run = places[1] / "run"
    assert "there is no folder" in refused(capsys, tmp_path / "nowhere", "--data", "emojimel")
    assert "has nothing of a run" in refused(capsys, tmp_path)
    assert "--index says something about data" in refused(capsys, run, "--index", places[1] / "index")
    assert "there is no split 'tset' among the results, only test" in refused(capsys, run, "--split", "tset")
    (tmp_path / "file").write_text("")
    assert "file is a file: name a folder" in refused(capsys, run, "--out", tmp_path / "file")
    assert "did you mean 'emojimel'" in refused(capsys, run, "--data", "emojimell")
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": 3}))
    assert "trainer_state.json: `log_history` must be a list" in refused(capsys, tmp_path)


def test_without_matplotlib(places, given_data, capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    error = refused(capsys, places[1] / "run", "--data", "miniature", "--out", tmp_path / "out")
    assert error == 'a report needs matplotlib: pip install "hf-mel[report]"\n'
    assert not (tmp_path / "out").exists()
