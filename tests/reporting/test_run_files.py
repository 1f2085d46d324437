"""What is read from the folder of a run."""

import pytest

from hf_mel.cli import calibrate
from hf_mel.evaluation import load_results
from hf_mel.reporting import read_run
from hf_mel.reporting.run_files import CALIBRATION_REPORT_FILE

from .common import LOG, write_log


def test_everything(run_dir):
    run = read_run(run_dir)
    assert run.history == LOG and run.history_file == "trainer_state.json"
    assert run.results == {"test": load_results(run_dir)["test"]}
    assert run.calibration is None and run.calibration_report["metrics"]["nil"] == 2
    assert run.has_model


def test_the_command_writes_under_the_name_that_is_read():
    assert calibrate.REPORT_FILE == CALIBRATION_REPORT_FILE


def test_an_unfinished_run_has_the_log_of_its_last_checkpoint(tmp_path):
    write_log(tmp_path / "checkpoint-4", LOG[:2])
    write_log(tmp_path / "checkpoint-12", LOG[:4])
    write_log(tmp_path / "checkpoint-old", LOG)
    run = read_run(tmp_path)
    assert run.history == LOG[:4] and run.history_file == "checkpoint-12/trainer_state.json"
    write_log(tmp_path, LOG)
    assert read_run(tmp_path).history_file == "trainer_state.json"


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="has nothing of a run: none of trainer_state.json, eval_results.json"):
        read_run(tmp_path)


def test_all_that_is_damaged_is_told_at_once(run_dir):
    (run_dir / "trainer_state.json").write_text('{"log_history": [{"epoch": "one"}]}')
    (run_dir / "eval_results.json").write_text('{"test": {}}')
    (run_dir / "calibration.json").write_text("[]")
    (run_dir / "calibration_report.json").write_text(
        '{"report": {"metrics": {}, "coverage_curve": {"coverage": [1]}}}'
    )
    with pytest.raises(ValueError) as raised:
        read_run(run_dir)
    lines = str(raised.value).splitlines()
    assert lines[0] == f"{run_dir}: 4 problems"
    for name in (
        "trainer_state.json: `log_history[0].epoch` is 'one'",
        "eval_results.json: test: missing fields",
        "calibration.json: ",
        "calibration_report.json: `report` needs",
    ):
        assert any(line.strip().startswith(name) for line in lines), name


def test_a_calibration_without_a_measured_split(run_dir):
    (run_dir / "calibration_report.json").write_text('{"report": null}')
    assert read_run(run_dir).calibration_report is None
