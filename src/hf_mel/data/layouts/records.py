"""Records of JSON lines, and those of a release that cannot be used."""

import json
from collections.abc import Iterator
from pathlib import Path

from ..mention_checks import text_fault


class LeftOut:
    """Collects the records that a reader leaves out, for `RawBenchmark.left_out`.

    Args:
        split (`str`): their split, or `"entities"`.
    """

    def __init__(self, split: str):
        self.split = split
        self.entries: list[dict] = []

    def add(self, record: str, reason: str) -> None:
        self.entries.append({"split": self.split, "record": record, "reason": reason})


def read_lines(path: Path, left_out: LeftOut | None = None) -> Iterator[tuple[int, dict]]:
    """Number and fields of each line that is a JSON object; the others are added to `left_out`, empty ones are not.

    Args:
        path (`Path`): a file of JSON lines, which is never held in memory.
        left_out ([`LeftOut`], *optional*): takes the lines that are no object; they are passed over without it.
    """
    with open(path, "rb") as file:
        for number, encoded in enumerate(file, 1):
            if not encoded.strip():
                continue
            try:
                record = json.loads(encoded.decode("utf-8-sig" if number == 1 else "utf-8"))
                fault = None if isinstance(record, dict) else f"is {record!r:.60}, not an object with fields"
                if fault is None and b"\\u" in encoded:
                    fault = text_fault(json.dumps(record, ensure_ascii=False))
            except UnicodeDecodeError as error:
                record, fault = None, f"is not UTF-8 ({error.reason} at byte {error.start})"
            except json.JSONDecodeError as error:
                record, fault = None, f"is no JSON ({error.msg}, character {error.pos})"
            except RecursionError:
                record, fault = None, "is nested too deeply"
            if fault is None:
                yield number, record
            elif left_out is not None:
                left_out.add(f"{path.name}, line {number}", fault)


def first_record(path: Path) -> dict:
    """The first record of a file of JSON lines; an empty one if it has none."""
    return next((record for _, record in read_lines(path)), {})


def is_text(value) -> bool:
    """Returns `True` for a string with at least one character that is no space."""
    return isinstance(value, str) and bool(value.strip())
