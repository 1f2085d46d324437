"""Results as JSON lines and as cells."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from .rdf import RdfNames


COLUMNS = (
    *("id", "mention", "start", "end", "text", "entity_id", "name", "is_nil"),
    *("probability", "nil_probability", "calibration", "score", "margin", "has_image", "image_weight"),
    *("prediction_set", "candidates"),
)
"""Columns of CSV. `score` is that of the best candidate; `candidates` are all of them as JSON, as is `prediction_set`."""


def write_json_lines(results: Iterable[dict], path: Path, names: RdfNames | None = None) -> None:
    """One object a line, which `LinkedMention.from_dict` reads."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for result in results:
            file.write(f"{json.dumps(result, ensure_ascii=False)}\n")


def write_csv(results: Iterable[dict], path: Path, names: RdfNames | None = None, delimiter: str = ",") -> None:
    """
    One line a mention: UTF-8, cells in quotes where they need them, lines that end as RFC 4180 has it. What is not known is
    an empty cell.

    Cells hold what the input and the knowledge base say. A spreadsheet takes a cell that begins with `=` for a formula:
    import files of unknown origin as text.
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(COLUMNS)
        for result in results:
            values = result | {
                "score": result["candidates"][0]["score"] if result["candidates"] else None,
                "candidates": json.dumps(result["candidates"], ensure_ascii=False),
            }
            if result["prediction_set"] is not None:
                values["prediction_set"] = json.dumps(result["prediction_set"], ensure_ascii=False)
            writer.writerow(_cell(values[name]) for name in COLUMNS)


def write_tsv(results: Iterable[dict], path: Path, names: RdfNames | None = None) -> None:
    """As CSV, with tabs."""
    write_csv(results, path, delimiter="\t")


def _cell(value) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (bool, float)) else str(value)
