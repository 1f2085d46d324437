"""The review as a table for spreadsheets, and the table that comes back."""

import csv
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ...data.own.sources import CsvSource, Source, open_source
from ...data.problems import Problems, RecordProblems, listed, nearest
from ..linked_mention import LinkedMention
from .corrections import Correction
from .links import InputRow, answer_of, certainty, shown_candidates


CANDIDATES = 5
CORRECTED = "corrected_entity_id"
IMAGE_FILE = "image_file"
_FIRST = ("id", "mention", "text")
_LINK = ("entity_id", "entity_name", "probability", "is_nil")
_CANDIDATE_COLUMNS = tuple(
    f"candidate_{place}_{part}" for place in range(1, CANDIDATES + 1) for part in ("id", "name", "probability")
)
_FIXED = {*_FIRST, IMAGE_FILE, *_LINK, *_CANDIDATE_COLUMNS, CORRECTED}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\Z")


def write_table(
    links: Iterable[LinkedMention], path: str | os.PathLike, rows: Mapping[str, InputRow] | None = None,
    delimiter: str = ",",
) -> int:  # fmt: skip
    """
    Writes links as CSV that a spreadsheet opens: UTF-8 with a byte order mark, one line a link, flat columns.

    The columns are `id`, `mention` and `text`, those of the input, `image_file` if there are pictures, then `entity_id`,
    `entity_name`, `probability` and `is_nil`, id, name and probability of five candidates, and `corrected_entity_id`, which is
    empty. A column of the input that has the name of one of these is called `input_` and its name. A cell that a spreadsheet
    would take for a formula begins with an apostrophe, which [`read_table`] takes away.

    Args:
        links (`Iterable[LinkedMention]`): the links, in the order of the lines.
        path (`str` or `os.PathLike`): the file.
        rows (`Mapping[str, InputRow]`, *optional*): rows of the input by id.
        delimiter (`str`, *optional*, defaults to `","`): what separates the cells.

    Returns:
        `int`: the number of links.
    """
    rows, links = rows or {}, list(links)
    images = [IMAGE_FILE] if any(row.image is not None for row in rows.values()) else []
    named = own_columns(links, rows, _FIXED)
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(map(_cell, [*_FIRST, *named.values(), *images, *_LINK, *_CANDIDATE_COLUMNS, CORRECTED]))
        for link in links:
            row = rows.get(link.id or "", InputRow({}))
            cells = [link.id, link.mention, link.text, *(row.values.get(column) for column in named)]
            cells += [row.image for _ in images]
            cells += [answer_of(link), None if answer_of(link) is None else link.name, certainty(link), link.is_nil]
            for each in shown_candidates(link, CANDIDATES):
                cells += [None] * 3 if each is None else [each.entity_id, each.name, each.probability]
            writer.writerow([*map(_cell, cells), ""])
    return len(links)


def own_columns(
    links: Iterable[LinkedMention], rows: Mapping[str, InputRow], taken: Collection[str]
) -> dict[str, str]:
    """
    Columns of the input, and what they are called in a review: `input_` and their name, where the name is taken. `id`, `mention`
    and `text` are left out where these say what the links say, as are pictures in bytes.
    """
    columns: dict[str, None] = {}
    for row in rows.values():
        columns.update(dict.fromkeys(name for name, value in row.values.items() if not _is_picture(value)))
    known = [(link, rows[link.id or ""].values) for link in links if link.id in rows]
    same = {name for name in _FIRST if all(str(values.get(name)) == getattr(link, name) for link, values in known)}
    named: dict[str, str] = {}
    for name in columns:
        if name and name not in same:
            shown = name
            while shown in taken or shown in named.values() or (shown != name and shown in columns):
                shown = f"input_{shown}"
            named[name] = shown
    return named


def _is_picture(value) -> bool:
    return isinstance(value, (bytes, bytearray)) or (isinstance(value, dict) and "bytes" in value)


def as_text(value) -> str:
    """A value of the input in a cell: nothing is empty, lists and numbers are written as in JSON."""
    if value is None or _is_picture(value):
        return ""
    if isinstance(value, (bool, float, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _cell(value) -> str:
    text = as_text(value)
    if not isinstance(value, str):
        return text
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) and not _NUMBER.match(text) else text


def plain_cell(value) -> str:
    """The text of a cell without spaces around it, and without the apostrophe that keeps it from being a formula."""
    text = "" if value is None else str(value).strip()
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


# ---- The way back ----


def read_table(path: str | os.PathLike) -> Iterator[Correction]:
    """
    The lines of a reviewed table. Its delimiter is found out: a spreadsheet may write another one.

    Args:
        path (`str` or `os.PathLike`): CSV, TSV, JSON lines, Parquet or an Excel workbook with the columns `id` and `corrected_entity_id`.

    Raises:
        `ValueError`: there are no such columns. `FileNotFoundError`: there is no such file.
    """
    source = _opened(Path(path))
    problems = RecordProblems(source.subject)
    for place, record in source.records(None, problems):
        before, own = [], []
        for problem in problems.take():
            (own if place in (problem.where, problem.record) else before).append(problem)
        yield from (Correction(place=each.where, fault=each.what) for each in before)
        if own or not isinstance(record, dict):
            yield Correction(place=place, fault="; ".join(each.what for each in own) or "is no record")
            continue
        yield _correction(place, record)
    yield from (Correction(place=each.where, fault=each.what) for each in problems.take())


def _correction(place: str, record: dict) -> Correction:
    given = {name: plain_cell(value) for name, value in record.items()}
    return Correction(
        place=place,
        id=given["id"],
        answer=given[CORRECTED] or None,
        image=given.get(IMAGE_FILE) or None,
        column=CORRECTED,
        kept={name: given[name] for name in ("entity_id", "mention", "text", "probability") if name in given},
        own={name: value for name, value in given.items() if name and name not in _FIXED},
    )


def _opened(path: Path) -> Source:
    source = open_source(path, "reviewed links")
    candidates = [source]
    if isinstance(source, CsvSource):
        candidates = [CsvSource(path, delimiter) for delimiter in dict.fromkeys([source.delimiter, ",", ";", "\t"])]
    wanted = {"id", CORRECTED}
    for each in candidates:
        if wanted <= set(each.column_names(Problems(str(path), ""))):
            return each
    names = source.column_names(Problems(str(path), ""))
    if not any(names):
        raise ValueError(f"{path} is empty: give the table that `hf-mel review export` wrote, with the corrections")
    if CORRECTED not in names and "nil_probability" in names:
        raise ValueError(
            f"{path} holds links, and no corrections: `hf-mel review export` makes a table of them to correct"
        )
    missing = [name for name in ("id", CORRECTED) if name not in names]
    near = nearest(missing[0], [name for name in names if name not in _FIXED])
    added = (
        ". Add it: the right id, or NIL, where a link is wrong, and nothing where it is right. Corrections in another column are "
        "not read"
    )
    raise ValueError(
        f"{path}: column {listed(missing)} is missing{near}{added if missing == [CORRECTED] else ''}. Give the table that "
        f"`hf-mel review export` wrote, with its columns. There are {listed(names, 8)}"
    )
