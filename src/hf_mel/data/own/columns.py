"""Mapping from the columns of a user's table to the fields of the schema."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from datasets import Features, List, Value

from ..problems import Problems, listed, nearest
from ..schema import ENTITY_FEATURES, MENTION_FEATURES


logger = logging.getLogger(__name__)

_IMAGE = ("image_path", "image_file", "image_url", "img", "img_path", "picture", "photo", "file_name")


@dataclass(frozen=True)
class TableKind:
    """Required fields of a kind of table, and other common names of its columns.

    Args:
        noun (`str`), plural (`str`): what a record is, for messages.
        features (`Features`): the columns of the result.
        needed (`tuple[str, ...]`): fields without which a record is refused.
        synonyms (`dict[str, tuple[str, ...]]`): other names of a field. A name stands for one field only.
        columns (`tuple[str, ...]`): fields that need a column, though its cells may be empty.
    """

    noun: str
    plural: str
    features: Features
    needed: tuple[str, ...]
    synonyms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    def fields_of(self, feature) -> list[str]:
        """Names of the fields with this feature, in the order of the schema."""
        return [name for name, other in self.features.items() if other == feature]

    @cached_property
    def needed_columns(self) -> list[str]:
        """Fields that a table must have a column for. Mentions without `id` are numbered."""
        names = dict.fromkeys((*self.needed, *self.columns))
        return [name for name in names if name != "id" or self.noun == "entity"]

    @cached_property
    def texts(self) -> list[str]:
        return self.fields_of(Value("string"))

    @cached_property
    def lists(self) -> list[str]:
        return self.fields_of(List(Value("string")))

    @cached_property
    def numbers(self) -> list[str]:
        return self.fields_of(Value("int64"))


ENTITIES = TableKind(
    noun="entity",
    plural="entities",
    features=ENTITY_FEATURES,
    needed=("id", "name"),
    synonyms={
        "id": ("entity_id", "qid", "wikidata_id", "identifier"),
        "name": ("label", "title", "entity_name"),
        "aliases": ("alias", "also_known_as"),
        "description": ("desc", "abstract", "summary"),
        "types": ("type", "instance_of"),
        "image": _IMAGE,
    },
)
MENTIONS = TableKind(
    noun="mention",
    plural="mentions",
    features=MENTION_FEATURES,
    needed=("id", "mention", "text"),
    synonyms={
        "id": ("mention_id",),
        "mention": ("mention_text", "surface", "surface_form"),
        "text": ("sentence", "context", "caption"),
        "start": ("mention_start", "start_offset", "start_char"),
        "end": ("mention_end", "end_offset", "end_char"),
        "mention_type": ("type", "ner_type"),
        "image": _IMAGE,
        "entity_id": ("qid", "gold", "gold_id", "answer", "kb_id", "wikidata_id"),
        "entity_name": ("gold_name", "entity_title"),
    },
    columns=("mention", "text", "entity_id"),
)


_ANSWERS = {
    "corrected_entity_id": "is a table of `hf-mel review export`: its `entity_id` is what the model answered, and the corrections stand in "
    "another column. `hf-mel review import` makes labelled mentions of it",
    "nil_probability": "holds the answers of a model, which are no labels: let people look at them (`hf-mel review export`)",
}


def refuse_answers(names: Iterable[str], subject: str) -> None:
    """
    Refuses links, and tables of links to be corrected, where labelled mentions are needed: the answers of a model would be taken
    for the right ones.

    Args:
        names (`Iterable[str]`): columns of the table.
        subject (`str`): what the table is called.

    Raises:
        `ValueError`: it is such a table.
    """
    names = set(names)
    for column, wrong in _ANSWERS.items():
        if column in names and "entity_id" in names:
            raise ValueError(f"{subject} {wrong}")


def map_columns(
    kind: TableKind,
    available: Iterable[str],
    columns: Mapping[str, str | None] | None,
    problems: Problems,
    *,
    strict_columns: bool = False,
    argument: str = "columns",
    all_kept: bool = False,
) -> dict[str, str]:
    """The column of each field.

    What `columns` says goes first; then a column that has the name of the field but for case, spaces and hyphens; then a
    synonym, which the log tells. Two columns that could both be a field are a problem, not a choice.

    Args:
        kind ([`TableKind`]): entities or mentions.
        available (`Iterable[str]`): columns of the source.
        columns (`Mapping[str, str]`, *optional*): column by field; `None` leaves a field out.
        problems ([`~hf_mel.data.problems.Problems`]): where what is wrong is added.
        strict_columns (`bool`, *optional*, defaults to `False`): a column that is not used is a problem.
        argument (`str`, *optional*, defaults to `"columns"`): what the caller calls `columns`.
        all_kept (`bool`, *optional*, defaults to `False`): the caller keeps columns that are no field, so that the log need
            not name them.

    Returns:
        `dict[str, str]`: column by field.
    """
    available = list(available)
    found = _told(kind, available, columns or {}, problems)
    undecided = [name for name in kind.features if name not in (columns or {})]
    for name, candidates in _alike(undecided, available, found):
        _take(name, candidates, found, problems, argument)
    guessed = {}
    for name in undecided:
        if name not in found:
            candidates = [c for c in available if _plain(c) in kind.synonyms.get(name, ()) and c not in found.values()]
            if _take(name, candidates, found, problems, argument):
                guessed[name] = found[name]
    unused = [column for column in available if column and column not in found.values()]
    for name in kind.needed_columns:
        if name not in found and name not in (columns or {}):
            _missing(kind, name, available, unused, problems, argument)
    if guessed:
        pairs = listed(f"`{name}` from {column!r}" for name, column in guessed.items())
        logger.warning("%s: took %s; name others by `%s=`", problems.subject, pairs, argument)
    if unused and strict_columns:
        for column in unused:
            problems.add(f"column {column!r}", f"is not used{nearest(_plain(column), kind.features)}")
    elif unused and not all_kept:
        logger.warning("%s: columns not used: %s", problems.subject, listed(unused))
    return found


def _plain(column: str) -> str:
    return column.strip().casefold().replace(" ", "_").replace("-", "_")


def _told(kind: TableKind, available: list[str], columns: Mapping, problems: Problems) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, column in columns.items():
        if name not in kind.features:
            hint = nearest(name, kind.features) or f"; {kind.plural} have {listed(kind.features)}"
            problems.add(f"columns: field {name!r}", f"is unknown{hint}")
        elif column is not None and column not in available:
            hint = nearest(column, available) or f"; there are {listed(available)}"
            problems.add(f"columns: column {column!r}", f"(for `{name}`) is not there{hint}")
        elif column is not None:
            found[name] = column
    return found


def _alike(names: list[str], available: list[str], found: dict[str, str]) -> Iterable[tuple[str, list[str]]]:
    """Fields with the columns of that name; the exact spelling wins over another case."""
    for name in names:
        candidates = [column for column in available if _plain(column) == name and column not in found.values()]
        yield name, [name] if name in candidates else candidates


def _take(name: str, candidates: list[str], found: dict[str, str], problems: Problems, argument: str) -> bool:
    if len(candidates) > 1:
        problems.add(
            f"columns {listed(map(repr, candidates))}",
            f"could each be `{name}`: say which, by {argument}={{{name!r}: {candidates[0]!r}}}",
        )
        found[name] = candidates[0]  # so that the field does not count as missing too
    elif candidates:
        found[name] = candidates[0]
    return len(candidates) == 1


def _missing(
    kind: TableKind, name: str, available: list[str], unused: list[str], problems: Problems, argument: str
) -> None:
    near = nearest(name, unused)
    hint = near or f"; there are {listed(available)}"
    if len(available) == 1 and any(sign in available[0] for sign in ";\t|,"):
        sign = next(sign for sign in ";\t|," if sign in available[0])
        how = "" if sign == "\t" else f" delimiter={sign!r} says so"
        hint = f"; the only column is {available[0]!r}: is the delimiter another one?{how}"
    if name == "entity_id":
        hint += (
            f". Where no gold entity is known, say so by {argument}={{'entity_id': None}}: every mention is NIL then"
        )
    problems.add(f"column `{name}`", f"is missing{hint}")
