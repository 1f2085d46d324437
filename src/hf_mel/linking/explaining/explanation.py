"""An explanation: its values, and its forms as JSON, text for a terminal and one HTML page."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...data.thumbnails import data_uri
from ...models.graphemes import columns_of, shortened
from ..linked_mention import LinkedMention
from .explanation_parts import ExplainedCandidate, Gold, WithoutPicture, WordEffect


@dataclass(frozen=True)
class Explanation:
    """
    Explanation of an answer.

    Args:
        linked ([`LinkedMention`]):
            The answer, with the shown candidates.
        candidates (`tuple[ExplainedCandidate, ...]`):
            The shown candidates, best first.
        num_candidates (`int`):
            How many candidates were compared, of which some are shown.
        reasons (`tuple[str, ...]`):
            What decided, in sentences; each follows from numbers that are here.
        threshold (`float`, *optional*):
            Probability below which a mention is NIL; `None` without one.
        score_threshold (`float`, *optional*):
            Score below which a mention is NIL; `None` without one.
        words (`tuple[WordEffect, ...]`):
            Words whose absence changes the margin between the winner and `rival_id` most.
        words_tried (`int`):
            Words that were left out, one at a time: those nearest to the mention.
        rival_id (`str`, *optional*):
            What `words` compares the winner with: the gold entity if it lost, otherwise the runner-up.
        without_picture ([`WithoutPicture`], *optional*):
            `None` if the mention has no picture, or the model does not look at it.
        gold ([`Gold`], *optional*):
            The entity that should have won, if the caller named it.
        picture (`bytes`, *optional*):
            A small JPEG of the mention's picture.

    Example:

    ```py
    >>> from pathlib import Path

    >>> explanation = explain(linker, MentionQuery("Jordan", "Jordan flows into the Dead Sea."), gold="Q40059")
    >>> print(explanation.to_text())
    >>> Path("jordan.html").write_text(explanation.to_html())
    ```
    """

    linked: LinkedMention
    candidates: tuple[ExplainedCandidate, ...]
    num_candidates: int
    reasons: tuple[str, ...] = ()
    threshold: float | None = None
    score_threshold: float | None = None
    words: tuple[WordEffect, ...] = ()
    words_tried: int = 0
    rival_id: str | None = None
    without_picture: WithoutPicture | None = None
    gold: Gold | None = None
    picture: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dictionary, for JSON. Pictures are data URIs."""
        linked = self.linked.to_dict()
        return linked | {
            "threshold": self.threshold,
            "score_threshold": self.score_threshold,
            "reasons": list(self.reasons),
            "num_candidates": self.num_candidates,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "without_picture": None if self.without_picture is None else self.without_picture.to_dict(),
            "rival_id": self.rival_id,
            "words": [asdict(word) for word in self.words],
            "words_tried": self.words_tried,
            "gold": None if self.gold is None else self.gold.to_dict(),
            "picture": data_uri(self.picture),
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    def to_text(self) -> str:
        """For a terminal: the sentences, then the candidates as a table."""
        return _text_page(self)

    def to_html(self) -> str:
        """A page that needs no other file and no script: style and pictures are inside."""
        return _html_page(self)


# ---- For a terminal and as a page ----

_EMPTY = "-"


def _number(value: float | None) -> str:
    return _EMPTY if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return _EMPTY if value is None else f"{value:.0%}"


# Heading, what stands below it, and how: a column in which no candidate has a value is left out.
_COLUMNS: list[tuple[str, Callable, Callable]] = [
    ("score", lambda entity: entity.score, _number),
    ("probability", lambda entity: entity.probability, _number),
    ("texts alone", lambda entity: entity.text_score, _number),
    ("pictures alone", lambda entity: entity.image_score, _number),
    ("picture's share", lambda entity: entity.image_weight, _share),
    ("model's score", lambda entity: entity.retrieval_score, _number),
    ("names' part", lambda entity: entity.name_score, _number),
    ("names' similarity", lambda entity: entity.lexical_score, _number),
    ("name that fits", lambda entity: entity.matched_alias, lambda value: value or _EMPTY),
    ("types", lambda entity: ", ".join(entity.types) or None, lambda value: value or _EMPTY),
]


def _candidate_rows(explanation: Explanation) -> tuple[list[str], list[tuple[ExplainedCandidate, list[str]]]]:
    """Headings, and for each shown candidate (and the gold entity, where it is not among them) the cells below them."""
    shown = list(explanation.candidates)
    gold = None if explanation.gold is None else explanation.gold.candidate
    if gold is not None and gold.entity.entity_id not in {each.entity.entity_id for each in shown}:
        shown.append(gold)
    columns = []
    for heading, value_of, form in _COLUMNS:
        values = [value_of(each.entity) for each in shown]
        same = heading == "model's score" and all(each.entity.score == each.entity.retrieval_score for each in shown)
        if any(value is not None for value in values) and not same:
            columns.append((heading, [form(value) for value in values]))
    cells = [[column[row] for _, column in columns] for row in range(len(shown))]
    return [heading for heading, _ in columns], list(zip(shown, cells, strict=True))


def _in_context(explanation: Explanation) -> tuple[str, str, str]:
    """The text before the mention, the mention, and the text after it."""
    linked = explanation.linked
    if linked.start is None:
        return f"{linked.text} ", linked.mention, ""
    return linked.text[: linked.start], linked.text[linked.start : linked.end], linked.text[linked.end :]


def _words_note(explanation: Explanation) -> str:
    """Returns a sentence about the comparison behind the changes by words."""
    best, rival = explanation.linked.best.entity_id, explanation.rival_id
    return (
        f"Each of the {explanation.words_tried} words nearest to the mention was removed in turn. The number is the change of "
        f"the lead of {best} over {rival}: a negative number means that the word supports {best}."
    )


def _text_page(explanation: Explanation) -> str:
    """For a terminal."""
    before, mention, after = _in_context(explanation)
    lines = [f"{before}[{mention}]{after}", ""]
    lines += [f"- {reason}" for reason in explanation.reasons]
    headings, rows = _candidate_rows(explanation)
    if rows:
        named = ["rank", *(_rank(candidate) for candidate, _ in rows)], ["entity", *(_name(each) for each, _ in rows)]
        columns = [
            *named,
            *([heading, *(cells[place] for _, cells in rows)] for place, heading in enumerate(headings)),
        ]
        lines += ["", *_table(columns)]
    if explanation.words:
        lines += ["", _words_note(explanation)]
        lines += [f"  {word.change:+.4f}  {word.word}" for word in explanation.words]
    return "\n".join(lines)


def _rank(candidate: ExplainedCandidate) -> str:
    return _EMPTY if candidate.rank is None else str(candidate.rank)


def _name(candidate: ExplainedCandidate) -> str:
    return f"{candidate.entity.name} ({candidate.entity.entity_id})"


def _table(columns: list[list[str]]) -> list[str]:
    widths = [max(map(columns_of, column)) for column in columns]
    return [
        "  ".join(cell + " " * (width - columns_of(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _html_page(explanation: Explanation) -> str:
    """A page that needs no other file. Every text that comes from the data is escaped."""
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(uri=data_uri, shortened=shortened)
    headings, rows = _candidate_rows(explanation)
    return environment.get_template("explanation.html").render(
        explanation=explanation,
        linked=explanation.linked,
        context=_in_context(explanation),
        headings=headings,
        rows=rows,
        gold_id=None if explanation.gold is None else explanation.gold.candidate.entity.entity_id,
        words_note=_words_note(explanation) if explanation.words else "",
    )
