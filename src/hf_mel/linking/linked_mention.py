"""Input and output of a linker: [`MentionQuery`], [`LinkedMention`] and [`LinkedEntity`], which convert to JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class MentionQuery:
    """
    A mention to be linked.

    Args:
        mention (`str`):
            The words that name an entity.
        text (`str`):
            The sentence they stand in.
        start (`int`, *optional*):
            Character of `text` at which the mention starts. `None`: its first occurrence.
        image (`PIL.Image.Image`, *optional*):
            The picture beside the sentence. Several mentions may share one.
        id (`str`, *optional*):
            The caller's name for it, which the answer repeats.

    Example:

    ```python
    >>> from hf_mel.linking import MentionQuery

    >>> MentionQuery("Ada", "Ada met Ada.", start=8).end
    11
    ```
    """

    mention: str
    text: str
    start: int | None = None
    image: Image.Image | None = None
    id: str | None = None

    @property
    def place(self) -> int | None:
        """Character at which the mention starts: `start`, or its first occurrence; `None` where it does not occur."""
        if self.start is not None:
            return self.start
        found = self.text.find(self.mention)
        return None if found < 0 else found

    @property
    def end(self) -> int | None:
        """Character after the mention; `None` where it does not occur."""
        return None if self.place is None else self.place + len(self.mention)


@dataclass(frozen=True)
class LinkedEntity:
    """
    A candidate for a mention.

    Args:
        entity_id (`str`):
            Its id in the knowledge base.
        name (`str`):
            Its name.
        text (`str`):
            The knowledge base's text of it.
        score (`float`):
            What it is ranked by: the model's score, a cosine for PGMEL, or the reranker's. It is no probability.
        probability (`float`, *optional*):
            Calibrated probability that this is the entity meant, in [0, 1]. `None` without calibration.
        text_score (`float`, *optional*):
            Score of the texts alone. `None` where the index holds no encodings of single modalities.
        image_score (`float`, *optional*):
            Score of the pictures alone. `None` where one of the two has no picture, or as above.
        image_weight (`float`, *optional*):
            How much of the entity's embedding comes from its picture, in [0, 1]. `None`: the model has no gate.
        retrieval_score (`float`, *optional*):
            The model's score, where a reranker gave `score`; else equal to `score`.
        lexical_score (`float`, *optional*):
            Similarity of the names, where candidates were looked up by name.
        matched_alias (`str`, *optional*):
            The name or alias of the entity that fits the mention's words: equal but for case and spacing, or one within
            the other as whole words. `None` where none does.
        types (`tuple[str, ...]`):
            Its types.

    Example:

    ```python
    >>> from hf_mel import LinkedEntity

    >>> LinkedEntity("Q1", "Ada Vale", "Occupation: painter.", score=0.4).to_dict()["probability"] is None
    True
    ```
    """

    entity_id: str
    name: str
    text: str
    score: float
    probability: float | None = None
    text_score: float | None = None
    image_score: float | None = None
    image_weight: float | None = None
    retrieval_score: float | None = None
    lexical_score: float | None = None
    matched_alias: str | None = None
    types: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for JSON."""
        return asdict(self) | {"types": list(self.types)}


@dataclass(frozen=True)
class LinkedMention:
    """
    Answer for a mention: the linked entity or NIL, its candidates, and why.

    Args:
        mention (`str`), text (`str`), start (`int`, *optional*), end (`int`, *optional*), id (`str`, *optional*):
            The query. `start` and `end` are characters, `None` where the mention does not occur in the text.
        entity_id (`str`, *optional*), name (`str`, *optional*):
            The entity; `None` for NIL.
        is_nil (`bool`, *optional*):
            Whether no entity fits. `None`: nothing to decide it by, since there is no calibration and no threshold.
        probability (`float`, *optional*):
            Calibrated probability of the best candidate, also where the decision is NIL. `None` without calibration.
        nil_probability (`float`, *optional*):
            Calibrated probability that no entity fits. `None` without calibration.
        margin (`float`, *optional*):
            Score of the best candidate less that of the runner-up; `None` with fewer than two candidates.
        has_image (`bool`):
            Whether a picture was given and the model looks at pictures.
        image_weight (`float`, *optional*):
            How much of the mention's embedding comes from its picture, in [0, 1]. `None`: the model has no gate.
        candidates (`tuple[LinkedEntity, ...]`):
            The candidates, best first, also where the decision is NIL.

    Example:

    ```python
    >>> from hf_mel import LinkedEntity, LinkedMention

    >>> candidate = LinkedEntity("Q1", "Ada Vale", "Occupation: painter.", score=0.4)
    >>> linked = LinkedMention("Vale", "Vale came.", 0, 4, is_nil=True, candidates=(candidate,))
    >>> linked.entity_id, linked.best.name
    (None, 'Ada Vale')
    >>> LinkedMention.from_dict(linked.to_dict()) == linked
    True
    ```
    """

    mention: str
    text: str
    start: int | None = None
    end: int | None = None
    id: str | None = None
    entity_id: str | None = None
    name: str | None = None
    is_nil: bool | None = None
    probability: float | None = None
    nil_probability: float | None = None
    margin: float | None = None
    has_image: bool = False
    image_weight: float | None = None
    candidates: tuple[LinkedEntity, ...] = field(default=())

    @property
    def best(self) -> LinkedEntity | None:
        """The best candidate, whether or not the decision is NIL."""
        return self.candidates[0] if self.candidates else None

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dictionary, for JSON."""
        return asdict(self) | {"candidates": [candidate.to_dict() for candidate in self.candidates]}

    def to_json(self) -> str:
        """One line of JSON, with keys in the order of the fields."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LinkedMention":
        """The inverse of `to_dict`."""
        candidates = (LinkedEntity(**each | {"types": tuple(each["types"])}) for each in values["candidates"])
        return cls(**{**values, "candidates": tuple(candidates)})
