"""Renders results as Markdown tables between two markers of a document, so that no table is typed by hand."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .evaluation_result import EvaluationResult


# Shares from 0 to 1, which a table prints in percent as the field does.
_SHARE = re.compile(r"(hits@\d+|mrr|T@\d+( \(gold added\))?|retrieved)$")
_METRIC_FIELDS = ("metrics.", "seen.", "unseen.", "leaked.", "without_leaked.")


def results_table(
    results: Sequence[EvaluationResult | str | Path],
    columns: Mapping[str, str],
    *,
    intervals: bool = True,
    decimals: int = 1,
) -> str:
    """
    A Markdown table of results, and under it how the numbers came about: protocol, data, command, commit, seeds,
    machine and date of every row.

    Args:
        results (sequence of [`EvaluationResult`] or of paths of their JSON files):
            The rows, in the order of the table.
        columns (`dict[str, str]`):
            Heading -> field of the result, with dots: `model_name`, `metrics.hits@1`, `unseen.mrr`,
            `extra.seconds_per_epoch`. Hits@k, T@k and MRR are printed in percent. A cell whose field is not in the
            result is "-", but a column that no row has is an error.
        intervals (`bool`, *optional*, defaults to `True`):
            Print the bootstrap interval beside a metric that has one, and the standard deviation between seeds.
        decimals (`int`, *optional*, defaults to 1):
            Digits after the point of a percentage.

    Returns:
        `str` that ends in a newline.

    Raises:
        ValueError: no results, no columns, or a column that no result has.

    Example:

    ```python
    >>> from hf_mel.evaluation import Environment, EvaluationResult, Protocol, results_table

    >>> result = EvaluationResult(
    ...     model_name="PGMEL",
    ...     dataset="miniature, test",
    ...     metrics={"hits@1": 0.5, "mrr": 0.75},
    ...     protocol=Protocol("full-kb", kb_size=30, kb_text_field="description", num_mentions=2, num_nil=0),
    ...     data_fingerprint="0f3a",
    ...     seeds=[0, 1],
    ...     command="hf-mel evaluate",
    ...     date="2025-11-20",
    ...     environment=Environment({"torch": "2.13.0"}, "3.11", "2 CPU cores, x86_64", 1, "abc1234"),
    ... )
    >>> table = results_table([result], {"Model": "model_name", "H@1": "metrics.hits@1", "MRR": "metrics.mrr"})
    >>> print("\\n".join(table.splitlines()[:3]))
    | Model | H@1 | MRR |
    |---|---:|---:|
    | PGMEL | 50.0 | 75.0 |
    >>> print(table.splitlines()[-1])
    Measured with `hf-mel evaluate` · commit abc1234 · seeds 0, 1 · 2 CPU cores, x86_64 · 2025-11-20

    ```
    """
    if not results or not columns:
        raise ValueError("a table needs at least one result and one column")
    rows = [item if isinstance(item, EvaluationResult) else EvaluationResult.load(item) for item in results]
    as_dicts = [row.to_dict() for row in rows]
    for heading, path in columns.items():
        if all(_look_up(row, path) is None for row in as_dicts):
            raise ValueError(f"column {heading!r}: no result has the field {path!r}")
    right = {path: any(isinstance(_look_up(row, path), (int, float)) for row in as_dicts) for path in columns.values()}
    lines = [
        _line(columns),
        "|" + "|".join("---:" if right[path] else "---" for path in columns.values()) + "|",
        *(_line(_cell(row, path, intervals, decimals) for path in columns.values()) for row in as_dicts),
        "",
        *_notes(rows, intervals and any(path.startswith("metrics.") for path in columns.values())),
    ]
    return "\n".join(lines) + "\n"


def render_into(markdown_path: str | Path, marker: str, text: str) -> bool:
    """
    Replace what stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->` in a Markdown file.

    Args:
        markdown_path (`str` or `Path`):
            The file; all outside the two markers stays as it is.
        marker (`str`):
            The NAME.
        text (`str`):
            The new text.

    Returns:
        `bool`: whether the file changed, so that a check in CI can refuse a stale document.

    Raises:
        ValueError: the two markers do not stand in the file exactly once and in this order, or the text holds one.

    Example:

    ```python
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hf_mel.evaluation import render_into

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Path(folder, "results.md")
    ...     _ = page.write_text("# Results\\n<!-- generated: main -->\\n<!-- end: main -->\\n")
    ...     render_into(page, "main", "| Model |"), render_into(page, "main", "| Model |")
    (True, False)
    ```
    """
    path = Path(markdown_path)
    # Newlines as they are: a file with \r\n must not change outside the markers.
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    start, end = f"<!-- generated: {marker} -->", f"<!-- end: {marker} -->"
    if start in text or end in text:
        raise ValueError(f"{path}: the text for {marker!r} holds its own marker, and could not be replaced again")
    counts = before.count(start), before.count(end)
    if counts != (1, 1) or before.index(start) > before.index(end):
        raise ValueError(
            f"{path}: needs the lines {start!r} and {end!r}, each once and in this order; found {counts[0]} and {counts[1]}"
        )
    head, rest = before.split(start)
    tail = rest.split(end)[1]
    after = f"{head}{start}\n{text.strip()}\n{end}{tail}"
    if after == before:
        return False
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(after)
    return True


def _look_up(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _cell(row: Mapping[str, Any], path: str, intervals: bool, decimals: int) -> str:
    value = _look_up(row, path)
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    metric = path.partition(".")[2]
    if path.startswith(_METRIC_FIELDS) and _SHARE.match(metric):
        cell = f"{100 * value:.{decimals}f}"
        # Intervals are those of all mentions; the seen and the unseen have none of their own.
        interval = row["intervals"].get(metric) if intervals and path.startswith("metrics.") else None
        if interval is None:
            return cell
        cell += f" [{100 * interval['low']:.{decimals}f}, {100 * interval['high']:.{decimals}f}]"
        return cell if interval["seed_std"] is None else f"{cell} ± {100 * interval['seed_std']:.{decimals + 1}f}"
    if isinstance(value, float):
        return f"{value:,.{decimals}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _line(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _notes(rows: Sequence[EvaluationResult], intervals: bool) -> list[str]:
    """The lines under a table: each protocol and each way of measuring once, with its models where they differ."""
    notes = []
    protocols = _group(rows, lambda row: f"{row.dataset}: {row.protocol.describe()}; data {row.data_fingerprint}.")
    for note, models in protocols.items():
        notes.append(note if len(protocols) == 1 else f"{models}: {note}")
    levels = sorted({interval.level for row in rows for interval in row.intervals.values()})
    if intervals and levels:
        percent = " and ".join(f"{100 * level:g} %" for level in levels)
        notes.append(
            f"In brackets: {percent} bootstrap interval over mentions; after ±: standard deviation between seeds."
        )
    measured = _group(rows, _provenance)
    for note, models in measured.items():
        notes.append(note if len(measured) == 1 else f"{models}: {note}")
    # Two spaces end a line of a Markdown paragraph.
    return [note + "  " for note in notes[:-1]] + notes[-1:]


def _group(rows: Sequence[EvaluationResult], describe) -> dict[str, str]:
    models: dict[str, list[str]] = {}
    for row in rows:
        models.setdefault(describe(row), []).append(row.model_name)
    return {note: ", ".join(dict.fromkeys(names)) for note, names in models.items()}


def _provenance(row: EvaluationResult) -> str:
    seeds = f"seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))}" if row.seeds else "no seed"
    commit = f"commit {row.environment.git_commit}" if row.environment.git_commit else "commit unknown"
    return f"Measured with `{row.command}` · {commit} · {seeds} · {row.environment.machine} · {row.date}"
