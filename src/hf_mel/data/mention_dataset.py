"""Checks the mentions that a program passes in, and gives them one form."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset, Features, IterableDataset, Value, concatenate_datasets
from datasets import Image as ImageFeature
from PIL import Image

from .images import named_place, read_picture, undecoded
from .mention_checks import place_mention
from .own.columns import MENTIONS, refuse_answers
from .own.records import check_record, plain_value
from .problems import Problems, listed
from .schema import MENTION_FEATURES, dataset_of_columns
from .tables import as_stored
from .url_names import is_url, shown_url


_KIND = replace(MENTIONS, needed=("mention", "text"))
_KEYS = ("id", "entity_id")
_READ = (*_KEYS, "mention", "text", "start", "end", "image", "image_status")
_STRINGS = ("string", "large_string", "string_view")
_CURE = "Correct these rows, or leave them out."


def as_mentions(data, what: str, needs_gold: bool) -> Dataset:
    """
    Mentions as a `Dataset` with all columns of [`MENTION_FEATURES`], from whatever form they are passed in.

    Columns that are not needed get empty values where they are missing, and `id` the number of the row. `start` and `end` are
    checked, and found where they are missing, as in [`~hf_mel.data.mention_checks.place_mention`]. `sentence` is read as
    `text` where there is no `text`. NaN is read as missing. A format such as `with_format("torch")` is removed. A data set
    that needs no change is returned as it is.

    Args:
        data (`datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
            The mentions. Further columns of a data set are kept, those of other forms are left out.
        what (`str`):
            Name of the caller's argument, for error messages.
        needs_gold (`bool`):
            Whether there must be a column `entity_id`. An empty value in it is NIL.

    Raises:
        `TypeError`: another kind of object, such as a `DatasetDict`, an `IterableDataset` or a path.
        `ValueError`: no mention, a missing column, a column of the wrong type, or rows that cannot be used; the first of
            these are listed.

    Example:

    ```python
    >>> from hf_mel.data import as_mentions

    >>> rows = [{"mention": "Ada", "text": "Ada wrote a program.", "entity_id": "Q7259"}]
    >>> as_mentions(rows, "train_dataset", needs_gold=True)["id"][:]
    ['0']
    >>> as_mentions([{"mention": "Ada"}], "train_dataset", needs_gold=True)
    Traceback (most recent call last):
    ...
    ValueError: `train_dataset` lacks the columns `text`, `entity_id`; it has mention.
    ```
    """
    if isinstance(data, Dataset):
        return _of_dataset(data, what, needs_gold)
    columns, number = _columns(data, what)
    if "text" not in columns and "sentence" in columns:
        columns["text"] = columns["sentence"]
    _require(list(columns), number, what, needs_gold)
    columns = {name: values for name, values in columns.items() if name in MENTION_FEATURES}
    return dataset_of_columns(_checked(columns, number, what), MENTION_FEATURES)


def mention_rows(data, what: str) -> Dataset | list[dict]:
    """
    The rows of a table to be linked, of which nothing but its form is checked: its kind, and the names and types of its
    columns. [`checked_mention`] checks a row.

    Args:
        data (`datasets.Dataset`, `pandas.DataFrame` or `dict[str, list]`): The mentions.
        what (`str`): Name of the caller's argument, for error messages.

    Raises:
        `TypeError`, `ValueError`: as in [`as_mentions`], except for rows that cannot be used.
    """
    if isinstance(data, Dataset):
        return undecoded(_typed(data, what, needs_gold=False))
    columns, number = _columns(data, what)
    if "text" not in columns and "sentence" in columns:
        columns["text"] = columns["sentence"]
    _require(list(columns), number, what, needs_gold=False)
    return [{name: values[row] for name, values in columns.items()} for row in range(number)]


def as_eval_mentions(data, what: str = "eval_dataset") -> Dataset | dict[str, Dataset] | None:
    """
    One data set for evaluation, several by name, or `None`; each is given its form by [`as_mentions`].

    Args:
        data (as in [`as_mentions`], `dict` of these by name, or `None`): The mentions.
        what (`str`, *optional*, defaults to `"eval_dataset"`): Name of the caller's argument, for error messages.
    """
    if data is None:
        return None
    if _are_splits(data):
        return {name: as_mentions(part, f"{what}[{name!r}]", needs_gold=True) for name, part in data.items()}
    return as_mentions(data, what, needs_gold=True)


def _are_splits(data) -> bool:
    """Returns `True` if these are several tables by name, and not one table by column."""
    tables = (Dataset, IterableDataset, pd.DataFrame, Mapping)
    return isinstance(data, Mapping) and any(isinstance(part, tables) or _are_rows(part) for part in data.values())


def _are_rows(part) -> bool:
    """Returns `True` for a list of mentions, and not for a column, which may hold dicts as well: those of pictures."""
    return isinstance(part, (list, tuple)) and len(part) > 0 and isinstance(part[0], Mapping) and "mention" in part[0]


def _require(names: Sequence[str], number: int, what: str, needs_gold: bool) -> None:
    """Refuses a table without rows or without a column that is needed."""
    if not number:
        raise ValueError(f"`{what}` is empty: it holds no mention.")
    if needs_gold:
        refuse_answers(names, f"`{what}`")
    needed = ("mention", "text", *(["entity_id"] if needs_gold else []))
    missing = [name for name in needed if name not in names]
    if not missing:
        return
    others = {name: next((o for o in MENTIONS.synonyms[name] if o in names), None) for name in missing}
    renamed = [f"{other!r} to {name!r}" for name, other in others.items() if other is not None]
    cure = f" Rename {' and '.join(renamed)}." if renamed else ""
    plural = "columns" if len(missing) > 1 else "column"
    raise ValueError(
        f"`{what}` lacks the {plural} {', '.join(f'`{name}`' for name in missing)}; it has {listed(names)}.{cure}"
    )


# ---- Data sets ----


def _typed(data: Dataset, what: str, needs_gold: bool) -> Dataset:
    """A data set with the columns that are needed, in types that can hold their fields; others are refused."""
    if data.format["type"] is not None or set(data.format["columns"]) != set(data.column_names):
        data = data.with_format(None)
    if "sentence" in data.column_names and "text" not in data.column_names:
        data = data.rename_column("sentence", "text")
    _require(data.column_names, len(data), what, needs_gold)
    wrong = [name for name in _READ if name in data.column_names and not _fits(name, data.features[name])]
    if wrong:
        name = wrong[0]
        wanted = "a picture or a path" if name == "image" else "a number" if name in MENTIONS.numbers else "string"
        raise ValueError(
            f"column `{name}` of `{what}` has the type {data.features[name]}, not {wanted}: cast it, or pass another "
            f"column under this name."
        )
    pictures = data.features.get("image")
    if isinstance(pictures, dict) or getattr(pictures, "dtype", None) in ("binary", "large_binary"):
        data = data.cast_column("image", ImageFeature())
    return data


def _of_dataset(data: Dataset, what: str, needs_gold: bool) -> Dataset:
    data = _typed(data, what, needs_gold)
    light = [name for name in _READ if name in data.column_names]
    stored = isinstance(data.features.get("image"), ImageFeature)
    if stored:
        light.remove("image")  # not opened here: there may be gigabytes of them
    given = {name: data[name][:] for name in light}
    columns = dict(given)
    if stored:  # the paths alone are quick to read, and say which pictures are URLs
        columns["image"] = undecoded(data.select_columns(["image"])).flatten()["image.path"][:]
    checked = _checked(columns, len(data), what, with_pictures=not stored)
    if stored:
        del checked["image"]
    return _with_columns(data, {name: checked.get(name) for name in MENTION_FEATURES}, given)


def _fits(name: str, feature) -> bool:
    """Returns `True` if a column of this type can hold the field."""
    dtype = feature.dtype if isinstance(feature, Value) else None
    if dtype == "null" or (dtype or "").startswith("float"):
        return name not in ("mention", "text")  # what is NaN throughout is missing; other floats are looked at
    if name == "image":
        struct = isinstance(feature, dict) and set(feature) == {"bytes", "path"}
        return isinstance(feature, ImageFeature) or struct or dtype in (*_STRINGS, "binary", "large_binary")
    integer = (dtype or "").startswith(("int", "uint"))
    return integer if name in MENTIONS.numbers else dtype in _STRINGS or (integer and name in _KEYS)


def _with_columns(data: Dataset, checked: dict[str, list | None], given: dict[str, list]) -> Dataset:
    """The data set with the columns that were missing or have changed, and all others as they are."""
    new: dict[str, list] = {}
    for name, values in checked.items():
        present = name in data.column_names
        # Types are compared too: 1.0 equals 1.
        if not present or (
            values is not None and (values != given[name] or data.features[name] != MENTION_FEATURES[name])
        ):
            new[name] = [None] * len(data) if values is None else values
    if not new:
        return data
    features = Features({name: MENTION_FEATURES[name] for name in new})
    data = data.remove_columns([name for name in new if name in data.column_names])
    return concatenate_datasets([data, Dataset.from_dict(new, features=features)], axis=1)


# ---- Python objects ----


def _columns(data, what: str) -> tuple[dict[str, list], int]:
    """The columns of a table, and the number of its rows."""
    _refuse_others(data, what)
    if isinstance(data, pd.DataFrame):
        frame = data.astype(object).where(data.notna(), None)
        return {str(name): frame[name].tolist() for name in frame.columns}, len(frame)
    if isinstance(data, Mapping):
        columns = {str(name): list(values) for name, values in data.items() if not _is_single(values)}
        single = [str(name) for name, values in data.items() if _is_single(values)]
        if single:
            raise ValueError(f"`{what}` is a dict, so each value must be a list; {listed(single)} is none.")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            told = listed(f"{len(values)} of {name}" for name, values in columns.items())
            raise ValueError(f"`{what}` has columns of different lengths: {told}.")
        return columns, lengths.pop() if lengths else 0
    problems = Problems(
        f"`{what}`", "Each row must be a dict such as {'mention': ..., 'text': ..., 'entity_id': ...}."
    )
    for number, row in enumerate(data):
        if not isinstance(row, Mapping):
            problems.add(f"row {number}", f"is a {type(row).__name__}, not a dict: {row!r:.60}")
    problems.raise_if_any()
    rows = [{"text": row["sentence"], **row} if "sentence" in row else row for row in data]
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}, len(rows)


def _is_single(values) -> bool:
    return isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or not hasattr(values, "__getitem__")


def _refuse_others(data, what: str) -> None:
    """Refuses what is no table of mentions, with the way to get one from it."""
    if _are_splits(data):
        splits = list(data)
        raise TypeError(
            f"`{what}` is of type {type(data).__name__}, with the splits {listed(map(repr, splits))}: pass one of them, such as "
            f"`dataset[{splits[0]!r}]`."
        )
    if isinstance(data, IterableDataset):
        raise TypeError(
            f"`{what}` is an IterableDataset, whose rows cannot be read by number: load it without `streaming=True`, or "
            "pass `Dataset.from_list(list(dataset))`."
        )
    if isinstance(data, (str, os.PathLike)):
        raise TypeError(f"`{what}` is {str(data)!r}: read a file with `load_mentions`, and pass what it returns.")
    if not isinstance(data, (pd.DataFrame, Mapping, list, tuple)):
        raise TypeError(
            f"`{what}` has the type {type(data).__name__}: pass a `datasets.Dataset`, a list of dicts, a dict of lists or a pandas "
            "DataFrame."
        )


# ---- Values ----


def checked_mention(record: Mapping, place: str, problems: Problems) -> dict[str, Any] | None:
    """
    Checks one mention that a program passes in: its fields, its texts and its offsets. Pictures are not opened.

    Args:
        record (`Mapping`): Fields of [`MENTION_FEATURES`].
        place (`str`): Name of the record for messages, such as `"row 3"`.
        problems ([`~hf_mel.data.problems.Problems`]): What is wrong is added here.

    Returns:
        `dict`: The fields with plain values, and `start` and `end`, `None` where the mention does not occur. `None` if
        anything is wrong.

    Example:

    ```python
    >>> from hf_mel.data.mention_dataset import checked_mention
    >>> from hf_mel.data.problems import Problems

    >>> checked_mention({"mention": "jug", "text": "The JUG."}, "row 0", Problems("rows", "Correct them."))
    {'mention': 'jug', 'text': 'The JUG.', 'start': 4, 'end': 7}
    ```
    """
    record = {name: _plain(name, value) for name, value in record.items()}
    if not check_record(record, place, _KIND, problems):
        return None
    path = named_place(record.get("image"))
    if is_url(path):
        wrong = f"`image` {shown_url(path):.80} is a URL, which is not fetched: download it, and pass the file"
        problems.add(place, wrong, field="image")
        return None
    offsets = record.get("start"), record.get("end")
    try:
        span = place_mention(record["mention"], record["text"], *offsets)
    except ValueError as error:
        problems.add(place, str(error), field="end" if offsets[0] is None else "start")
        return None
    start, end = span or (None, None)
    return record | {"start": start, "end": end}


def _checked(columns: dict[str, list], number: int, what: str, with_pictures: bool = True) -> dict[str, list]:
    """
    The columns with plain values, and ids and offsets for all rows; rows that cannot be used are refused. Without
    pictures, `image` holds their paths, which are checked only.
    """
    ids = [_plain("id", value) for value in columns.get("id", [None] * number)]
    problems = Problems(f"`{what}`", _CURE)
    # Without the pictures nobody can say whether a status fits.
    names = [name for name in columns if name != "image_status" or with_pictures]
    checked: dict[str, list] = {name: [] for name in (*names, "start", "end")}
    for row in range(number):
        place = f"row {row}" if ids[row] is None else f"row {row}, mention {ids[row]!r}"
        record = checked_mention({name: columns[name][row] for name in names}, place, problems)
        if record is not None and not len(problems):
            if with_pictures and "image" in record:
                record["image"] = _stored(record["image"], place, problems)
            for name, values in checked.items():
                values.append(record[name])
    problems.raise_if_any()
    return columns | checked | {"id": [id_or_number(value, row) for row, value in enumerate(ids)]}


def id_or_number(value, row: int):
    """The id of a mention, or the number of its row where it has none."""
    value = _plain("id", value)
    return str(row) if value is None else value


def _stored(image, place: str, problems: Problems) -> dict | None:
    """A picture as a table holds it."""
    if isinstance(image, Image.Image):
        # Before it is encoded: the formats hold neither every kind of pixels nor the EXIF orientation.
        image, _, reason = read_picture(image)
        if reason is not None:
            problems.add(place, f"`image`: {reason}", field="image")
    return as_stored(image)


def _plain(name: str, value) -> Any:
    """A value as the check of records wants it: `None` for what is missing, digits for a key that is a number."""
    if isinstance(value, np.generic):
        value = value.item()
    value = None if value is pd.NA or value is pd.NaT else plain_value(value)
    if name in _KEYS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name in (*_KEYS, "image") and isinstance(value, str) and not value.strip():
        return None
    if name == "image" and isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return str(value) if name == "image" and isinstance(value, os.PathLike) else value
