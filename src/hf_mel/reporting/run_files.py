"""The files of a run, read and checked; nothing is computed."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.problems import Problems
from ..evaluation import RESULTS_FILE, EvaluationResult, load_results
from ..linking.calibration import CALIBRATION_FILE, Calibration


STATE_FILE = "trainer_state.json"
CONFIG_FILE = "config.json"
CALIBRATION_REPORT_FILE = "calibration_report.json"


@dataclass(frozen=True)
class RunFiles:
    """
    Files of a run.

    Args:
        folder (`Path`): The folder.
        history (`list[dict]`): `log_history` of the Trainer; empty where there is none.
        history_file (`str`, *optional*): Where it stands, relative to the folder.
        results (`dict[str, EvaluationResult]`): By split.
        calibration ([`Calibration`], *optional*): The one saved in the folder.
        calibration_report (`dict`, *optional*): What `hf-mel calibrate --output_dir` measured: `metrics`,
            `coverage_curve` and `reliability`.
        has_model (`bool`): Whether there is a model to link with.
    """

    folder: Path
    history: list[dict[str, Any]] = field(default_factory=list)
    history_file: str | None = None
    results: dict[str, EvaluationResult] = field(default_factory=dict)
    calibration: Calibration | None = None
    calibration_report: dict[str, Any] | None = None
    has_model: bool = False


def read_run(folder: str | os.PathLike) -> RunFiles:
    """
    Reads what a run left in its folder. What is missing stays empty; what is damaged is an error.

    Args:
        folder (`str` or `os.PathLike`):
            The `output_dir` of a training, or of `hf-mel evaluate`. The log of an unfinished training is taken from its last
            checkpoint.

    Returns:
        [`RunFiles`].

    Raises:
        `FileNotFoundError`: there is no such folder.
        `ValueError`: the folder has nothing of a run, or files that cannot be read; all of them are listed.

    Example:

    ```python
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from hf_mel.reporting import read_run

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = [{"epoch": 1.0, "step": 5, "loss": 0.5}]
    ...     _ = Path(folder, "trainer_state.json").write_text(json.dumps({"log_history": log}))
    ...     read_run(folder).history
    [{'epoch': 1.0, 'step': 5, 'loss': 0.5}]
    ```
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: name the output folder of a training or an evaluation")
    problems = Problems(f"{folder}", "Mend or remove these files; a report leaves out what is not there.")
    history, history_file = _history(folder, problems)
    results = _results(folder, problems)
    run = RunFiles(
        folder,
        history,
        history_file,
        results,
        _calibration(folder, problems),
        _calibration_report(folder, problems),
        (folder / CONFIG_FILE).is_file(),
    )
    problems.raise_if_any()
    if history_file is None and not (results or run.calibration or run.calibration_report or run.has_model):
        names = (STATE_FILE, RESULTS_FILE, CALIBRATION_FILE, CALIBRATION_REPORT_FILE, CONFIG_FILE)
        raise ValueError(f"{folder} has nothing of a run: none of {', '.join(names)}")
    return run


# ---- The log ----


def _history(folder: Path, problems: Problems) -> tuple[list[dict[str, Any]], str | None]:
    """The log, and the file in which it stands: the run's own, or that of its last checkpoint."""
    path = folder / STATE_FILE
    if not path.is_file():
        steps = [each for each in folder.glob(f"checkpoint-*/{STATE_FILE}") if each.parent.name[11:].isdecimal()]
        if not steps:
            return [], None
        path = max(steps, key=lambda each: int(each.parent.name[11:]))
    name = path.relative_to(folder).as_posix()
    state = _json(path, name, problems)
    if state is None:
        return [], name
    history = state.get("log_history")
    if not isinstance(history, list) or not all(isinstance(log, dict) for log in history):
        problems.add(name, "`log_history` must be a list of objects")
        return [], name
    for place, log in enumerate(history):
        for key, value in log.items():
            if key in ("epoch", "step") and not _is_number(value):
                problems.add(name, f"`log_history[{place}].{key}` is {value!r}, not a number")
    return history, name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---- Results ----


def _results(folder: Path, problems: Problems) -> dict[str, EvaluationResult]:
    try:
        return load_results(folder)
    except (ValueError, OSError) as error:
        problems.add(RESULTS_FILE, str(error).removeprefix(f"{folder / RESULTS_FILE}: "))
        return {}


# ---- Calibration ----


def _calibration(folder: Path, problems: Problems) -> Calibration | None:
    try:
        return Calibration.load(folder)
    except (ValueError, OSError) as error:
        problems.add(CALIBRATION_FILE, str(error).removeprefix(f"{folder / CALIBRATION_FILE}: "))
        return None


def _calibration_report(folder: Path, problems: Problems) -> dict[str, Any] | None:
    path = folder / CALIBRATION_REPORT_FILE
    values = _json(path, path.name, problems) if path.is_file() else None
    report = None if values is None else values.get("report")
    if report is None:  # nothing was measured
        return None
    curve = report.get("coverage_curve") if isinstance(report, dict) else None
    columns = [curve.get(name) for name in ("coverage", "accuracy")] if isinstance(curve, dict) else [None]
    lists = all(isinstance(column, list) and column and all(map(_is_number, column)) for column in columns)
    if not lists or len({len(column) for column in columns}) != 1 or not isinstance(report.get("metrics"), dict):
        problems.add(path.name, "`report` needs `metrics`, and numbers `coverage` and `accuracy` in `coverage_curve`")
        return None
    return report


def _json(path: Path, name: str, problems: Problems) -> dict | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        problems.add(name, f"is no JSON ({error})")
        return None
    if not isinstance(values, dict):
        problems.add(name, "must hold an object")
        return None
    return values
