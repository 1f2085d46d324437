"""Reads and writes `eval_results.json`: the results of a folder, by split."""

import json
import os
from pathlib import Path
from typing import Any

from .evaluation_result import EvaluationResult, refuse_constant


RESULTS_FILE = "eval_results.json"


def save_result(result: EvaluationResult, folder: str | Path, split: str) -> Path:
    """
    Writes a result into `eval_results.json`; one of the same split is replaced, those of others stay. The file is replaced
    whole or not at all.

    Args:
        result ([`EvaluationResult`]):
            The result.
        folder (`str` or `Path`):
            The folder, which is made if it is not there.
        split (`str`):
            Its split, such as `"test"`.

    Returns:
        `Path` of the file.

    Raises:
        ValueError: the file that stands there is damaged; nothing of it is lost.

    Example:

    ```py
    >>> save_result(result, "runs/mine", "test")
    >>> load_results("runs/mine")["test"].metrics["mrr"]
    ```
    """
    path = Path(folder) / RESULTS_FILE
    values = {name: each.to_dict() for name, each in load_results(folder).items()} | {split: result.to_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    return path


def load_results(folder: str | Path) -> dict[str, EvaluationResult]:
    """
    The results of a folder, by split, in the order in which they were first written.

    Args:
        folder (`str` or `Path`):
            The folder, or its `eval_results.json`. Where there is none there are no results.

    Raises:
        ValueError: no JSON, or a missing or unknown field, or a value of a wrong type; file, split and field are named.
    """
    path = Path(folder)
    path = path / RESULTS_FILE if path.is_dir() or path.suffix != ".json" else path
    if not path.is_file():
        return {}
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(each, dict) for each in values.values()):
        raise ValueError(f"{path} must hold an object of results, by split")
    found = {}
    for split, each in values.items():
        try:
            found[split] = EvaluationResult.from_dict(each)
        except ValueError as error:
            raise ValueError(f"{path}: {split}: {error}") from error
    return found
