"""Links that `hf-mel link` wrote, the rows of its input, and the order in which people look at them."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ...data.own.sources import open_source
from ...data.problems import Problems, listed
from ..batch import TableInput
from ..linked_mention import LinkedEntity, LinkedMention


SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_FOUND = re.compile(r"#[0-9]+\Z")
_NEEDED = ("id", "mention", "text", "candidates")
_NUMBERS = ("start", "end")
_FLOATS = ("probability", "nil_probability", "margin", "image_weight")
_SWITCHES = ("is_nil", "has_image")
_MENTION_FIELDS = {each.name for each in fields(LinkedMention)}
_ENTITY_FIELDS = {each.name for each in fields(LinkedEntity)}


@dataclass(frozen=True)
class InputRow:
    """A row of the table that was linked.

    Args:
        values (`dict`): its own columns.
        image (`str`, *optional*): the file of its picture, or a URL; `None` where it has none, or bytes in place of a file.
    """

    values: dict
    image: str | None = None


def read_links(path: str | os.PathLike) -> dict[str, LinkedMention]:
    """
    The results of `hf-mel link`, by their ids, in the order of the file.

    Args:
        path (`str` or `os.PathLike`): JSON lines, CSV, TSV or Parquet. CSV lacks some fields, which are `None` then.

    Raises:
        `FileNotFoundError`: there is no such file. `ValueError`: another format, or what is no result; the line is named.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel import LinkedEntity, LinkedMention
    >>> from hf_mel.linking.review import read_links

    >>> link = LinkedMention("Vale", "Vale came.", 0, 4, id="m1", candidates=(LinkedEntity("Q1", "Ada Vale", "", 0.4),))
    >>> _ = Path("links.jsonl").write_text(link.to_json())
    >>> read_links("links.jsonl")["m1"].best.name
    'Ada Vale'
    ```
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: links are read from .jsonl, .csv, .tsv or .parquet; give `hf-mel link` such an --output"
        )
    source = open_source(path, "links")
    problems = Problems(str(path), "Give the file that `hf-mel link --output` wrote, as it is.")
    links: dict[str, LinkedMention] = {}
    for place, record in source.records(None, problems):
        if not links and not len(problems):
            _check_first(path, record)
        try:
            link = _link_of(record, source.cells)
        except ValueError as error:
            problems.add(place, f"is not a result of `hf-mel link`: {error}")
            continue
        if link.id is None or link.id in links:
            problems.add(place, f"`id` {link.id!r} is missing or stands twice")
            continue
        links[link.id] = link
    problems.raise_if_any()
    if not links:
        raise ValueError(f"{path} holds no link")
    return links


def _check_first(path: Path, record) -> None:
    """Refuses a file of another kind by its first record, once for all records."""
    names = list(record) if isinstance(record, dict) else []
    missing = [name for name in _NEEDED if name not in names]
    if not missing:
        return
    kind = (
        "is a table that people correct, not the links themselves"
        if "corrected_entity_id" in names
        else "holds no links"
    )
    raise ValueError(
        f"{path} {kind}: there is no column {listed(map(repr, missing))} (its columns are {listed(names, 8) or 'none'}). Give the "
        "file that `hf-mel link --output` wrote"
    )


def _link_of(record, cells: bool) -> LinkedMention:
    """The link of a record, or a `ValueError` that names the field that no link has."""
    if not isinstance(record, dict):
        raise ValueError(f"{record!r:.60}")
    values = {name: value for name, value in record.items() if name in _MENTION_FIELDS}
    missing = [f"`{name}`" for name in _NEEDED if name not in values]
    if missing:
        raise ValueError(f"{listed(missing)} is missing")
    if cells:
        values = {name: None if value == "" else value for name, value in values.items()}
        for name in (*_NUMBERS, *_FLOATS, *_SWITCHES, "candidates"):
            if isinstance(values.get(name), str):
                values[name] = _of_cell(name, values[name])
    for name in ("mention", "text"):
        if not isinstance(values[name], str):
            raise ValueError(f"`{name}` is {values[name]!r:.60}, not a text")
    values["has_image"] = bool(values.get("has_image"))
    try:
        candidates = [
            LinkedEntity(**{name: value for name, value in each.items() if name in _ENTITY_FIELDS} | _types(each))
            for each in values["candidates"] or ()
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"`candidates` is {values['candidates']!r:.60}, not the candidates of a mention") from error
    return LinkedMention(**values | {"candidates": tuple(candidates)})


def _of_cell(name: str, cell: str):
    try:
        return json.loads(cell)
    except ValueError as error:
        raise ValueError(f"`{name}` is {cell!r:.60}") from error


def _types(candidate: dict) -> dict:
    return {"types": tuple(candidate.get("types") or ())}


# ---- The input ----


def read_input(source: TableInput, ids: Iterable[str]) -> dict[str, InputRow]:
    """
    The rows of the table that was linked, by the ids of the links. Mentions that were found in one row share it.

    Args:
        source ([`TableInput`]): the table, read as `hf-mel link` read it: with the same columns.
        ids (`Iterable[str]`): the ids of the links.

    Raises:
        `ValueError`: no row has the id of a link: it is another table, or was read with other columns.
    """
    ids = list(ids)
    found = sum(_FOUND.search(each) is not None for each in ids)
    source = replace(source, all_kept=True)
    reader = _finding(source).open() if found else source.open()
    rows: dict[str, InputRow] = {}
    for record in reader.checked(whole=True):
        if record.row is not None:
            image = record.row["image"]
            given = record.given if isinstance(record.given, dict) else {}
            rows[record.row["id"]] = InputRow(given, image if isinstance(image, str) else None)
    matched = {each: rows.get(each) or rows.get(_FOUND.sub("", each)) for each in ids}
    known = {each: row for each, row in matched.items() if row is not None}
    if not known:
        raise ValueError(
            f"{reader.source.subject} has no row with the id of a link, such as {ids[0]!r}: give the --input of `hf-mel "
            "link`, with its --columns"
        )
    return known


def _finding(source: TableInput) -> TableInput:
    """The same table, whose rows may be without a mention."""
    return replace(source, find_mentions=lambda texts: [[] for _ in texts])


# ---- Order ----


def certainty(link: LinkedMention) -> float | None:
    """The probability of the answer, entity or NIL; `None` where there are no probabilities."""
    return link.nil_probability if answer_of(link) is None else link.probability


def answer_of(link: LinkedMention) -> str | None:
    """The entity that was linked, `None` for NIL."""
    return None if link.is_nil else link.entity_id


def review_order(links: Sequence[LinkedMention], sample: int | None = None, seed: int = 0) -> list[LinkedMention]:
    """
    The links to look at: the least certain first, then by falling doubt. Where there are no probabilities, the margin counts.

    Args:
        links (`Sequence[LinkedMention]`): all links.
        sample (`int`, *optional*): only so many, drawn at random by a hash of seed and id. Agreement and calibration that are
            measured on the least certain links do not hold for all of them.
        seed (`int`, *optional*, defaults to 0): another seed draws others.
    """
    chosen = list(links)
    if sample is not None:
        chosen.sort(key=lambda link: hashlib.sha256(f"{seed}:{link.id}".encode("utf-8", "surrogatepass")).digest())
        kept = {link.id for link in chosen[:sample]}
        chosen = [link for link in links if link.id in kept]
    return sorted(chosen, key=_doubt)


def _doubt(link: LinkedMention) -> tuple[bool, float]:
    known = certainty(link)
    if known is None:
        known = link.margin
    return known is not None, 0.0 if known is None else known


def shown_candidates(link: LinkedMention, number: int) -> Iterator[LinkedEntity | None]:
    """The best candidates, `None` in place of those that are missing."""
    for place in range(number):
        yield link.candidates[place] if place < len(link.candidates) else None
