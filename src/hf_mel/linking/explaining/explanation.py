"""An explanation as plain values, and as JSON, text and HTML."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from ...data.thumbnails import data_uri
from ..results import LinkedEntity, LinkedMention


@dataclass(frozen=True)
class ExplainedCandidate:
    """
    A candidate with its place and its picture.

    Args:
        rank (`int`, *optional*):
            Its place, from 1. `None`: it was not ranked.
        entity ([`LinkedEntity`]):
            The entity with its scores.
        thumbnail (`bytes`, *optional*):
            A small JPEG of its picture; `None` without one.
    """

    rank: int | None
    entity: LinkedEntity
    thumbnail: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for JSON; the picture is a data URI."""
        return {"rank": self.rank} | self.entity.to_dict() | {"thumbnail": data_uri(self.thumbnail)}


@dataclass(frozen=True)
class WordEffect:
    """
    What changes if one word is left out of the text.

    Args:
        word (`str`), start (`int`):
            The word and its first character.
        margin (`float`):
            Score of the winner less that of its rival, without the word.
        change (`float`):
            That margin less the one with the word. Negative: the word speaks for the winner.
        entity_id (`str`, *optional*), name (`str`, *optional*):
            What the mention would be linked to without the word; `None` for NIL.
    """

    word: str
    start: int
    margin: float
    change: float
    entity_id: str | None
    name: str | None


@dataclass(frozen=True)
class WithoutPicture:
    """
    What the mention would be linked to without its picture.

    Args:
        entity_id (`str`, *optional*), name (`str`, *optional*):
            The entity; `None` for NIL.
        best ([`LinkedEntity`], *optional*):
            The best candidate, also where the decision is NIL.
        margin (`float`, *optional*):
            Its score less that of the runner-up.
        winner_score (`float`, *optional*):
            Score of the entity that wins with the picture; `None` if it is no candidate without it.
    """

    entity_id: str | None
    name: str | None
    best: LinkedEntity | None
    margin: float | None
    winner_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for JSON."""
        return asdict(self) | {"best": None if self.best is None else self.best.to_dict()}


@dataclass(frozen=True)
class Gold:
    """
    The entity that should have won.

    Args:
        candidate ([`ExplainedCandidate`]):
            The entity. Its rank is that among the candidates, or, where it was none, that among all entities by the
            model's score.
        considered (`bool`):
            Whether it was a candidate.
        allowed (`bool`):
            Whether it may be a candidate: `types` and `entity_ids` leave it in.
        among (`int`):
            How many entities its rank counts.
        behind (`float`, *optional*):
            Score of the winner less its own; `None` where the two cannot be compared.
    """

    candidate: ExplainedCandidate
    considered: bool
    allowed: bool
    among: int
    behind: float | None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for JSON."""
        values = {name: getattr(self, name) for name in ("considered", "allowed", "among", "behind")}
        return values | {"candidate": self.candidate.to_dict()}


@dataclass(frozen=True)
class Explanation:
    """
    Why a mention was linked as it was.

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
        from .rendering import text_page

        return text_page(self)

    def to_html(self) -> str:
        """A page that needs no other file and no script: style and pictures are inside."""
        from .rendering import html_page

        return html_page(self)
