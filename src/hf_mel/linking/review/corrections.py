"""Corrections of links by people, checked against the links and the knowledge base."""

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.problems import SHOWN, listed, nearest
from ..linked_mention import LinkedMention
from .links import answer_of, certainty


if TYPE_CHECKING:
    from ...data import KnowledgeBase

CONFIRMED, CORRECTED, MADE_NIL = "confirmed", "corrected", "made_nil"
_COLUMNS = ("id", "mention", "text", "start", "end", "image", "entity_id", "entity_name")
_TEXTS = {"mention", "text"}
_FEW = 3
_ROUNDED = 0.006
_NAMESAKES = 3
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\Z", re.ASCII)


@dataclass(frozen=True)
class Correction:
    """
    A person's answer about one link.

    Args:
        place (`str`): the line of the file, or the task.
        id (`str`): the id of the link.
        answer (`str`, *optional*): an id, or a word for NIL; `None` confirms the link.
        image (`str`, *optional*): the file of the picture.
        column (`str`): where the answer stands.
        kept (`dict[str, str]`): what the file says about the link itself, which nobody should change.
        own (`dict[str, str]`): the columns of the input that was linked.
        fault (`str`, *optional*): why the line cannot be used at all.
    """

    place: str
    id: str = ""
    answer: str | None = None
    image: str | None = None
    column: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class LabelledMention:
    """
    A link with the answer of a person.

    Args:
        link ([`LinkedMention`]): the link.
        entity_id (`str`, *optional*): the entity; `None` is NIL.
        verdict (`str`): `"confirmed"`, `"corrected"` or `"made_nil"`.
        image (`str`, *optional*): the file of the picture.
        own (`dict[str, str]`): the columns of the input that was linked.
    """

    link: LinkedMention
    entity_id: str | None
    verdict: str
    image: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)


def check_corrections(
    corrections: Iterable[Correction],
    links: Mapping[str, LinkedMention],
    kb: "KnowledgeBase",
    *,
    links_name: str = "the links",
    nil_values: Sequence[str] = ("NIL",),
) -> tuple[list[LabelledMention], list[str]]:
    """
    Takes over what can be: a wrong line does not keep the others out.

    Args:
        corrections (`Iterable[Correction]`): the answers of people.
        links (`Mapping[str, LinkedMention]`): the links, by id.
        kb ([`KnowledgeBase`]): the entities.
        links_name (`str`, *optional*): what the links are called in messages.
        nil_values (`Sequence[str]`, *optional*, defaults to `("NIL",)`): words for "no entity", in any case.

    Returns:
        `tuple[list[LabelledMention], list[str]]`: the labelled mentions, and what is wrong, with line and column.

    Raises:
        `ValueError`: a word for NIL is the id of an entity, or most corrections are about other links than these.
    """
    taken = [value for value in nil_values if value in kb]
    if taken:
        raise ValueError(
            f"{taken[0]!r} is the id of an entity, so it cannot stand for NIL: name another word in `nil_values`"
        )
    corrections = list(corrections)
    _refuse_other_links(corrections, links, links_name)
    checker = _Checker(links, kb, links_name, frozenset(value.strip().casefold() for value in nil_values))
    labelled = [found for found in map(checker.label, corrections) if found is not None]
    return labelled, checker.problems


def _refuse_other_links(
    corrections: Sequence[Correction], links: Mapping[str, LinkedMention], links_name: str
) -> None:
    """
    One error in place of one a line, where the file of links is not the one that was exported: most ids are not in it, or
    most of its texts or probabilities are others. `entity_id` does not count: people correct links there by mistake.
    """
    ids = _ByNumber(links)
    usable = [each for each in corrections if each.fault is None and each.id]
    of_others: Counter[str] = Counter()
    for given in usable:
        link = links.get(ids.get(given.id))
        if link is None:
            of_others["ids"] += 1
        elif any(
            _words(given.kept.get(name, "")) != _words(getattr(link, name)) for name in given.kept.keys() & _TEXTS
        ):
            of_others["texts"] += 1
        elif _is_other(given.kept.get("probability", ""), certainty(link)):
            of_others["probabilities"] += 1
    for kind, number in of_others.items():
        if number >= _FEW and 2 * number > len(usable):
            raise ValueError(
                f"{number:,} of {len(usable):,} lines have {kind} that are not those of {links_name}: it is not the file of "
                "links that `hf-mel review export` was given"
            )


def _is_other(cell: str, known: float | None) -> bool:
    """Returns `True` for a probability that is not that of the link, also if a spreadsheet has rounded it."""
    return bool(_NUMBER.match(cell)) and (known is None or abs(float(_number(cell)) - known) > _ROUNDED)


class _Checker:
    """Holds one correction after the other against links and entities."""

    def __init__(self, links: Mapping[str, LinkedMention], kb: "KnowledgeBase", links_name: str, nil: frozenset[str]):
        self.links, self.kb, self.links_name, self.nil = links, kb, links_name, nil
        self.problems: list[str] = []
        self._seen: dict[str, str] = {}
        self._ids, self._link_ids = _ByNumber(kb.ids), _ByNumber(links)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for entity_id, name in zip(kb.ids, kb.names(), strict=True):
            self._by_name[name.casefold()].append(entity_id)

    def label(self, given: Correction) -> LabelledMention | None:
        """The labelled mention; `None` where something is wrong, which is added to `problems`."""
        given = replace(given, id=self._link_ids.get(given.id))
        wrong = given.fault or self._wrong_row(given)
        if wrong is not None:
            self.problems.append(f"{given.place}: {wrong}")
            return None
        self._seen[given.id] = given.place
        link = self.links[given.id]
        linked = answer_of(link)
        if given.answer is None:
            answer = linked
        else:
            answer = None if given.answer.casefold() in self.nil else self._answer(given.answer, link)
        if answer is not None and answer not in self.kb:
            self.problems.append(f"{given.place}: {self._unknown(given, link, answer)}")
            return None
        verdict = CONFIRMED if answer == linked else MADE_NIL if answer is None else CORRECTED
        return LabelledMention(link, answer, verdict, given.image, given.own)

    def _answer(self, written: str, link: LinkedMention) -> str:
        """The id that was meant. A number that may count a candidate is none, unless it is an id as it stands."""
        return written if _place_of_candidate(written, link) is not None else self._ids.get(written)

    def _wrong_row(self, given: Correction) -> str | None:
        if not given.id:
            return "column `id` is empty"
        if given.id not in self.links:
            near = self._nearest(given.id, self.links)
            return f"column `id`: {given.id!r} is not in {self.links_name}{near}. Spreadsheets change ids such as 007: open this column as text"
        if given.id in self._seen:
            return f"column `id`: {given.id!r} is already that of {self._seen[given.id]}"
        link = self.links[given.id]
        was = answer_of(link) or ""
        now = given.kept.get("entity_id", was)
        if now != was and not _same_number(now, was):
            return (
                f"column `entity_id` was changed from {was!r} to {now!r}: leave it as it is, and write the right id in "
                f"`{given.column}`"
            )
        for name in ("mention", "text"):
            if _words(given.kept.get(name, getattr(link, name))) != _words(getattr(link, name)):
                return f"column `{name}` was changed, or the line belongs to another id: leave `id`, `mention` and `text` as they are"
        return None

    def _unknown(self, given: Correction, link: LinkedMention, answer: str) -> str:
        if given.answer is None:
            return f"the linked entity {answer!r} is not in the knowledge base, so it cannot be confirmed"
        wrong = f"column `{given.column}`: {answer!r} is not the id of an entity"
        place = _place_of_candidate(answer, link)
        if place is not None:
            return f"{wrong}; for candidate {place} write {link.candidates[place - 1].entity_id!r}"
        named = self._by_name.get(answer.casefold())
        if named:
            return f"{wrong} but the name of {listed(map(repr, named), _NAMESAKES)}: write the id"
        return f"{wrong} (NIL, if there is none){self._nearest(answer, self.kb.ids)}"

    def _nearest(self, name: str, valid: Iterable[str]) -> str:
        """The nearest name, for as many problems as are shown: each look takes longer the more names there are."""
        return nearest(name, valid) if len(self.problems) < SHOWN else ""


def _place_of_candidate(answer: str, link: LinkedMention) -> int | None:
    return int(answer) if answer.isdecimal() and 1 <= int(answer) <= len(link.candidates) else None


class _ByNumber:
    """Finds `1955.20` for `1955.2`, and `007` for `7`: a spreadsheet writes numbers in its own way."""

    def __init__(self, ids: Iterable[str]):
        self.ids, self._of_number = set(ids), defaultdict(list)
        for each in self.ids:
            if _NUMBER.match(each):
                self._of_number[_number(each)].append(each)

    def get(self, written: str) -> str:
        """The id of this spelling, or else the only one of this number; without one, what was written."""
        found = self._of_number.get(_number(written), ()) if _NUMBER.match(written) else ()
        return found[0] if written not in self.ids and len(found) == 1 else written


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def _same_number(one: str, other: str) -> bool:
    return bool(_NUMBER.match(one) and _NUMBER.match(other)) and _number(one) == _number(other)


def _words(text: str) -> list[str]:
    """Spreadsheets change spaces and ends of lines, which do not matter here."""
    return text.split()


def write_mentions(mentions: Iterable[LabelledMention], path: str | os.PathLike, kb: "KnowledgeBase") -> None:
    """
    Writes labelled mentions as CSV that `hf-mel data import --mentions` and `hf-mel calibrate --mentions` read. NIL is an
    empty cell. The columns of the input follow, but those that have the name of another column here.

    Args:
        mentions (`Iterable[LabelledMention]`): what [`check_corrections`] returns.
        path (`str` or `os.PathLike`): the file.
        kb ([`KnowledgeBase`]): the entities, for their names.
    """
    mentions = list(mentions)
    columns = [name for name in _COLUMNS if name != "image" or any(each.image for each in mentions)]
    own = dict.fromkeys(name for each in mentions for name in each.own if name not in _COLUMNS)
    names = dict(zip(kb.ids, kb.names(), strict=True))
    with open(Path(path), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *own])
        for each in mentions:
            link = each.link
            values = {"id": link.id, "mention": link.mention, "text": link.text, "start": link.start, "end": link.end}
            values |= {
                "image": each.image,
                "entity_id": each.entity_id,
                "entity_name": names.get(each.entity_id or ""),
            }
            cells = ["" if values[name] is None else values[name] for name in columns]
            writer.writerow([*cells, *(each.own.get(name, "") for name in own)])
