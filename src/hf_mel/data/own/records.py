"""Checks of one record, and conversion of the ways in which files write its values."""

import math
import os
from collections.abc import Mapping

from PIL import Image

from ..images import array_cure
from ..mention_checks import text_fault
from ..problems import Problems, nearest
from ..schema import IMAGE_STATUS
from .columns import TableKind


_PICTURES = (str, os.PathLike, dict, bytes, bytearray, memoryview, Image.Image)


def check_record(
    record, place: str, kind: TableKind, problems: Problems, shown: Mapping[str, str] | None = None
) -> bool:
    """Adds everything that is wrong with the types of a record, and says whether there is nothing.

    Args:
        record: what should be a dict with fields of `kind`.
        place (`str`): where it is, such as `"line 3"`.
        kind ([`~hf_mel.data.own.columns.TableKind`]): entities or mentions.
        problems ([`~hf_mel.data.problems.Problems`]): where problems are added.
        shown (`Mapping[str, str]`, *optional*): what a field is called in messages; its name by default.
    """
    before = len(problems)
    if not isinstance(record, dict):
        problems.add(place, f"is {type(record).__name__}, not an object with fields")
        return False
    names = {name: f"`{name}`" for name in kind.features} | dict(shown or {})
    for name in record:
        if name not in kind.features:
            problems.add(place, f"field {name!r} is unknown{nearest(name, kind.features)}", field=str(name))
    for name in kind.needed:
        value = record.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            known = next(((key, record[key]) for key in kind.needed if record.get(key) and key != name), None)
            which = "" if known is None else f" ({known[0]} {known[1]!r:.60})"
            problems.add(place, f"{names[name]} is missing or empty{which}", field=name)
    for name in kind.texts:
        value = record.get(name)
        if value is not None and not isinstance(value, str):
            problems.add(place, f"{names[name]} must be text, not {value!r:.60}", field=name)
        elif value is not None and (fault := text_fault(value)) is not None:
            problems.add(place, f"{names[name]} {fault}", field=name)
    for name in kind.lists:
        value = record.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            problems.add(place, f"{names[name]} must be a list of texts, not {value!r:.60}", field=name)
        elif fault := next(filter(None, map(text_fault, value or ())), None):
            problems.add(place, f"{names[name]} {fault}", field=name)
    for name in kind.numbers:
        value = record.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63):
            problems.add(place, f"{names[name]} must be a whole number, not {value!r:.60}", field=name)
    _check_picture(record, place, names, problems)
    return len(problems) == before


def _check_picture(record: dict, place: str, names: Mapping[str, str], problems: Problems) -> None:
    status, image = record.get("image_status"), record.get("image")
    if isinstance(status, str) and status not in IMAGE_STATUS:
        problems.add(
            place,
            f"{names['image_status']} {status!r} is unknown; use one of {', '.join(IMAGE_STATUS)}",
            field="image_status",
        )
    if status == "ok" and (image is None or image == ""):
        problems.add(place, f"{names['image_status']} is 'ok', but there is no `image`", field="image_status")
    if isinstance(image, dict) and not image.keys() & {"bytes", "path"}:
        problems.add(
            place, f"{names['image']} must have `bytes` or `path`, not {', '.join(map(str, image))}", field="image"
        )
    elif isinstance(image, str) and "\0" in image:
        problems.add(place, f"{names['image']} is no path: it holds a null character", field="image")
    elif image is not None and not isinstance(image, _PICTURES):
        wrong = f"{names['image']} must be a path or a picture, not {type(image).__name__}{array_cure(image)}"
        problems.add(place, wrong, field="image")


def from_cells(record: dict, kind: TableKind, separator: str) -> dict:
    """Values as their fields want them, from text: empty is null, lists are split, numbers are read.

    What is no number stays text, so that the check names it.
    """
    result: dict = {}
    for name, cell in record.items():
        if cell == "":
            result[name] = None
        elif name in kind.lists:
            result[name] = split_list(cell, separator)
        elif name in kind.numbers:
            result[name] = _number(cell)
        else:
            result[name] = cell
    return result


def split_list(cell: str, separator: str) -> list[str]:
    """`"A. Holt| Ada "` gives `["A. Holt", "Ada"]`."""
    return [item.strip() for item in cell.split(separator) if item.strip()]


def _number(cell: str) -> int | str | None:
    """The number of a cell; that of `4.0` is 4, and NaN is missing, as in Python."""
    written = cell.strip()
    if written.casefold() == "nan":
        return None
    whole, point, decimals = written.partition(".")
    digits = whole if point and not decimals.strip("0") else written
    return int(digits) if digits.removeprefix("-").isdecimal() and digits.isascii() else cell


def plain_value(value):
    """Numbers as pandas leaves them: a column of whole numbers with gaps becomes one of floats, its gaps NaN."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value
