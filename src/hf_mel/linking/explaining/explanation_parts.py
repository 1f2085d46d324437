"""The parts of an explanation: plain values for candidates, words, the picture and the gold entity."""

from dataclasses import asdict, dataclass
from typing import Any

from ...data.thumbnails import data_uri
from ..linked_mention import LinkedEntity


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
    Effect of leaving one word out of the text.

    Args:
        word (`str`), start (`int`):
            The word and its first character.
        margin (`float`):
            Score of the winner less that of its rival, without the word.
        change (`float`):
            That margin less the one with the word. Negative: the word supports the winner.
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
    Answer for the mention without its picture.

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
