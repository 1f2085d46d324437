"""Contribution of each word of a text, measured by leaving it out."""

import dataclasses
import re
import unicodedata

import regex

from ...models.graphemes import UNSPACED, is_open_ended
from ..linked_mention import MentionQuery
from ..linker import Linker
from .explanation_parts import WordEffect


SHOWN = 5
# Below this, a change is rounding: batches are padded to other lengths.
_ROUNDING = 1e-5
# Up to four graphemes of a script without spaces between words, or what stands between such.
_PIECE = regex.compile(rf"(?:(?=[{UNSPACED}])\X){{1,4}}|[^{UNSPACED}]+")


def words_around(query: MentionQuery, most: int) -> list[tuple[int, int]]:
    """
    Start and end of up to `most` words nearest to the mention, in the order of the text. In scripts without spaces between
    words, pieces of up to four graphemes replace words.
    """
    start, end = query.place, query.end
    if start is None:
        return []
    found = [
        span for run in re.finditer(r"\S+", query.text) for span in _words_of(query.text, *run.span(), start, end)
    ]
    found.sort(key=lambda span: (max(span[0] - end, start - span[1]), span))
    return sorted(found[:most])


def _words_of(text: str, first: int, last: int, start: int, end: int) -> list[tuple[int, int]]:
    """The words in a run without spaces. What hangs on the mention is none, unless a name may end where no word does."""
    parts = [(first, last)]
    if first < end and last > start:
        parts = [(first, min(start, last)), (max(end, first), last)] if is_open_ended(text[first:last]) else []
    words = []
    for piece in (piece for part in parts for piece in _PIECE.finditer(text, *part)):
        begin, stop = piece.span()
        while begin < stop and unicodedata.category(text[begin])[0] in "PZ":
            begin += 1
        while begin < stop and unicodedata.category(text[stop - 1])[0] in "PZ":
            stop -= 1
        if begin < stop:
            words.append((begin, stop))
    return words


def without(query: MentionQuery, start: int, end: int) -> MentionQuery:
    """The query without these characters, and without a space that would be left double."""
    text = query.text
    if end < len(text) and text[end].isspace() and (start == 0 or text[start - 1].isspace()):
        end += 1
    place = query.place if query.place < start else query.place - (end - start)
    return dataclasses.replace(query, text=text[:start] + text[end:], start=place)


def margins(linker: Linker, queries: list[MentionQuery], winner: str, rival: str) -> list[float | None]:
    """Score of the winner less that of the rival for each query; `None` where one of them is no candidate any more."""
    linked = linker.link_queries(queries, top_k=2, entity_ids=[winner, rival])
    scores = [{candidate.entity_id: candidate.score for candidate in each.candidates} for each in linked]
    return [each[winner] - each[rival] if len(each) == 2 else None for each in scores]


def word_effects(
    linker: Linker, query: MentionQuery, winner: str, rival: str, most: int, options: dict
) -> tuple[list[WordEffect], int]:
    """
    The words that matter most, the strongest first, and how many were tried.

    Two candidates are scored for each word; all are searched anew for the words that are returned alone.
    """
    spans = words_around(query, most)
    variants = [without(query, start, end) for start, end in spans]
    base, *changed = margins(linker, [query, *variants], winner, rival)
    if base is None:
        return [], 0
    moved = [
        (margin - base, margin, span, variant)
        for margin, span, variant in zip(changed, spans, variants, strict=True)
        if margin is not None and abs(margin - base) > _ROUNDING
    ]
    moved.sort(key=lambda each: (-abs(each[0]), each[2]))
    moved = moved[:SHOWN]
    answers = linker.link_queries([each[3] for each in moved], top_k=1, **options)
    effects = []
    for (change, margin, (start, end), _), answer in zip(moved, answers, strict=True):
        effects.append(WordEffect(query.text[start:end], start, margin, change, answer.entity_id, answer.name))
    return effects, len(spans)
