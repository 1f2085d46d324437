"""`hf-mel calibrate`, on a tiny model of a toy that is large enough."""

import json
import shutil

import pytest

from hf_mel import EntityIndex, KnowledgeBase, Linker, make_miniature
from hf_mel.checkpoint import load_checkpoint
from hf_mel.cli.main import main
from hf_mel.data import MELData
from hf_mel.linking import Calibration
from tests.training.common import tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def data() -> MELData:
    return make_miniature(num_entities=60, num_train=5, num_validation=120, num_test=130, image_size=16)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that was not trained: its bag of words finds names all the same."""
    folder = tmp_path_factory.mktemp("model")
    tiny_linker(False).save_pretrained(folder)
    tiny_processor(False).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(saved, data, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_mel.data.load_data", lambda target: {"toy": data}[target])
    return shutil.copytree(saved, tmp_path / "model")


def refused(argv, capsys) -> str:
    assert main([str(word) for word in argv]) == 2
    before, prefix, error = capsys.readouterr().err.rpartition("hf-mel calibrate: ")
    assert prefix and "Traceback" not in before
    return error


def test_fits_measures_prints_and_saves(checkpoint, data, capsys, tmp_path):
    argv = ["calibrate", str(checkpoint), "--data", "toy", "--num_candidates", "20", "--seed", "2"]
    assert main([*argv, "--output_dir", str(tmp_path / "report")]) == 0
    shown = capsys.readouterr().out
    calibration = Calibration.load(checkpoint)
    assert calibration.num_candidates == 20 and calibration.fitted_on["seed"] == 2
    assert (calibration.fitted_on["data"], calibration.fitted_on["split"]) == ("toy", "validation")
    fitted, measured = calibration.metrics["fitted"], calibration.metrics["measured"]
    assert (fitted["split"], fitted["mentions"]) == ("validation", 120)
    assert (measured["split"], measured["mentions"]) == ("test", 130)
    assert "fitted (validation)  measured (test)" in shown and f"threshold {calibration.threshold:.3f}" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("calibration error")]
    assert line.split()[-4:] == [f"{100 * fitted['ece']:.1f}", "%", f"{100 * measured['ece']:.1f}", "%"]
    (line,) = [line for line in shown.splitlines() if line.startswith("  most confident 70")]
    assert f"{100 * measured['accuracy_at']['0.7']:.1f} %" in line
    report = json.loads((tmp_path / "report" / "calibration_report.json").read_text())
    assert report["calibration"] == calibration.to_dict() and report["report"]["metrics"] == measured
    assert len(report["report"]["coverage_curve"]["coverage"]) == 100
    assert report["command"].startswith("hf-mel calibrate model --data toy")
    assert f"prediction sets from {len(calibration.sets.truth)} mentions" in shown and "sets at 0.2: coverage" in shown
    # A linker from the checkpoint has it, and the same command gives the same file but for the command.
    linker = Linker.from_pretrained(checkpoint, data.entities, num_candidates=20)
    assert linker.calibration == calibration
    before = (checkpoint / "calibration.json").read_bytes()
    assert main(argv) == 0 and (checkpoint / "calibration.json").read_bytes() == before


def test_with_an_index(checkpoint, data, capsys, tmp_path):
    model, processor = load_checkpoint(str(checkpoint))
    argv = ["calibrate", checkpoint, "--data", "toy", "--num_candidates", "20", "--index", tmp_path / "index"]
    EntityIndex.build(model, processor, data.entities, tmp_path / "index")
    assert main([str(word) for word in argv]) == 0
    assert Calibration.load(tmp_path / "index").fitted_on["entities"] == 60 and Calibration.load(checkpoint) is None
    assert "in place of" not in capsys.readouterr().out
    assert main([str(word) for word in argv]) == 0
    assert "in place of the one fitted on toy (20" in capsys.readouterr().out
    # One of another set-up is not replaced unless that is asked for, and is found before anything is fitted.
    before = (tmp_path / "index" / "calibration.json").read_bytes()
    other = ["21" if word == "20" else str(word) for word in argv]
    assert "would be lost: the calibration was fitted with --num_candidates 20 instead of 21" in refused(other, capsys)
    assert (tmp_path / "index" / "calibration.json").read_bytes() == before
    assert main([*other, "--overwrite"]) == 0
    assert Calibration.load(tmp_path / "index").num_candidates == 21
    assert "--calibration: not with" in refused([*argv, "--calibration", tmp_path], capsys)
    shutil.rmtree(tmp_path / "index")
    gold = data.mentions["validation"]["entity_id"][0]
    fewer = [row for row, entity_id in enumerate(data.entities.ids) if entity_id != gold]
    EntityIndex.build(model, processor, KnowledgeBase(data.entities.dataset.select(fewer)), tmp_path / "index")
    assert f"gold `entity_id` {gold!r} is not in the index" in refused(argv, capsys)


def test_few_mentions_are_drawn_towards_the_prior(checkpoint, capsys):
    assert main(["calibrate", str(checkpoint), "--data", "toy", "--split", "train"]) == 0
    shown = capsys.readouterr().out
    assert (
        "fitted on only 5 mentions: with fewer than 50 the numbers stay near the prior" in shown
        and Calibration.load(checkpoint).kind == "shrunk"
    )


def test_without_a_split_to_measure_on(checkpoint, data, capsys, monkeypatch):
    part = MELData(type(data.mentions)({"validation": data.mentions["validation"]}), data.entities)
    monkeypatch.setattr("hf_mel.data.load_data", lambda target: part)
    assert main(["calibrate", str(checkpoint), "--num_candidates", "20"]) == 0
    assert list(Calibration.load(checkpoint).metrics) == ["fitted"] and "measured" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "dev"], "there is no split 'dev', only train, validation, test"),
        (["--report", "tset"], "there is no split 'tset'"),
        (["--report", "validation"], "cannot be judged on it"),
        (["--split", "train", "--num_candidates", "9"], "5 mentions, too few"),
        (["--nil_share", "0.9"], "nil_share must lie between 0 and 0.5"),
        (["--criterion", "f1"], "unknown criterion 'f1'"),
        (["--candidates", "sparse"], "sparse"),
    ],
)
def test_what_cannot_be(options, message, checkpoint, capsys):
    assert message in refused(["calibrate", checkpoint, "--data", "toy", *options], capsys)
    assert not (checkpoint / "calibration.json").exists()


def test_a_checkpoint_that_is_no_folder_needs_a_place(capsys):
    assert "name one with --output_dir" in refused(["calibrate", "nobody/no-model", "--data", "toy"], capsys)


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        main(["calibrate", "--help"])
    assert done.value.code == 0 and "--nil_share" in capsys.readouterr().out
