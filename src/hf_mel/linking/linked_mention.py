"""Input and output of a linker: [`MentionQuery`], [`LinkedMention`] and [`LinkedEntity`], which convert to JSON."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from ..data.mention_checks import find_mention
from .prediction_sets import check_rate


Picture = Image.Image | str | os.PathLike | bytes | dict
"""A picture as it may be given; [`~hf_mel.data.images.read_picture`] opens it."""


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
            Character of `text` at which the mention starts. `None`: it is found, see
            [`~hf_mel.data.mention_checks.find_mention`].
        image (`PIL.Image.Image`, `str`, `os.PathLike`, `bytes` or `dict`, *optional*):
            The picture next to the sentence: an open picture, a path, or an encoded picture. Several mentions may share one.
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
    image: Picture | None = None
    id: str | None = None

    @property
    def place(self) -> int | None:
        """Character at which the mention starts: `start`, or where it is found; `None` where it does not occur."""
        if self.start is not None:
            return self.start
        found = find_mention(self.mention, self.text)
        return None if found is None else found[0]

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
            What it is ranked by: the model's score or the reranker's. It is no probability.
        probability (`float`, *optional*):
            Probability that this is the entity meant, in [0, 1]. `None` without calibration, which includes the prior.
        p_value (`float`, *optional*):
            Conformal p-value: [`~LinkedMention.prediction_set`] holds the entities for which it is above `alpha`. `None`
            where the calibration has no prediction sets.
        text_score (`float`, *optional*):
            Score of the texts alone. `None` where the index holds no encodings of single modalities.
        image_score (`float`, *optional*):
            Score of the pictures alone. `None` where one of the two has no picture, or as above.
        image_weight (`float`, *optional*):
            How much of the entity's embedding comes from its picture, in [0, 1]. `None`: the model has no gate.
        retrieval_score (`float`, *optional*):
            The model's score, where a reranker gave `score`; else equal to `score`.
        name_score (`float`, *optional*):
            The part of `retrieval_score` that comes from the names. `None`: the model has no part for them.
        lexical_score (`float`, *optional*):
            Similarity of the names, where candidates were looked up by name.
        matched_alias (`str`, *optional*):
            The name or alias of the entity that fits the mention's words: with the same normal form ([`normal_name`]), or
            one within the other as whole words. `None` where there is none.
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
    name_score: float | None = None
    lexical_score: float | None = None
    matched_alias: str | None = None
    types: tuple[str, ...] = ()
    p_value: float | None = None

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
            Whether no entity fits. `None`: nothing to decide it by, since there are no probabilities and no threshold.
        calibration (`str`, *optional*):
            Where the probabilities come from: `"fitted"`, `"shrunk"`, `"prior"` or `"transferred"`, as in [`Calibration`].
            `None`: there are none.
        probability (`float`, *optional*):
            Probability of the best candidate, also where the decision is NIL. `None` where there are none.
        nil_probability (`float`, *optional*):
            Probability that none of the candidates is meant. `None` where there are none. The decision is NIL where it is
            more than 1 less the threshold.
        nil_p_value (`float`, *optional*), unlisted_p_value (`float`, *optional*):
            Conformal p-values of NIL, and the highest of all entities that are not in `candidates`.
        alpha (`float`, *optional*):
            The error rate of the prediction set that was asked for.
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
    calibration: str | None = None
    nil_p_value: float | None = None
    unlisted_p_value: float | None = None
    alpha: float | None = None

    def prediction_set(self, alpha: float | None = None) -> tuple[str | None, ...]:
        """
        The answers one of which is right, with a guaranteed rate of errors: split conformal prediction.

        The set lacks the right answer for at most a share `alpha` of new mentions, if these and the labelled mentions of
        the calibration are exchangeable: drawn in the same way, from the same kind of text, with the same share of NIL. The
        most probable answer is always in the set.

        Args:
            alpha (`float`, *optional*):
                The error rate, between 0 and 1. Defaults to that with which the mention was linked.

        Returns:
            `tuple[str | None, ...]`: ids of entities, and `None` for NIL, by falling p-value.

        Raises:
            `ValueError`: there are no prediction sets here, or entities that are not in `candidates` may belong to the set.

        Example:

        ```python
        >>> from hf_mel import LinkedEntity, LinkedMention

        >>> candidates = (LinkedEntity("Q1", "Ada Vale", "", 0.4, p_value=0.7), LinkedEntity("Q2", "Ada", "", 0.3, p_value=0.1))
        >>> linked = LinkedMention("Vale", "Vale.", candidates=candidates, nil_p_value=0.2, unlisted_p_value=0.02)
        >>> linked.prediction_set(alpha=0.15), linked.prediction_set(alpha=0.05)
        (('Q1', None), ('Q1', None, 'Q2'))
        ```
        """
        alpha = self.alpha if alpha is None else alpha
        if alpha is None:
            raise ValueError("`alpha` is missing: the error rate of the set, such as 0.1")
        check_rate(alpha)
        if self.nil_p_value is None or self.unlisted_p_value is None:
            raise ValueError(
                f"there are no prediction sets: they need a calibration that was fitted on labelled mentions for this index, "
                f"and this one is {self.calibration!r}; fit one with `hf-mel calibrate`"
            )
        if alpha < self.unlisted_p_value - 1e-9:
            raise ValueError(
                f"alpha={alpha}: entities that are not among the {len(self.candidates)} candidates shown may belong to the "
                f"set, with p-values up to {self.unlisted_p_value:.3g}. Link with prediction_set={alpha}, which shows all "
                "that belong to it, or calibrate with more labelled mentions"
            )
        answers = [(each.p_value, each.entity_id) for each in self.candidates] + [(self.nil_p_value, None)]
        answers.sort(key=lambda answer: -answer[0])  # stable: of equal p-values a candidate comes before NIL
        return tuple(name for place, (value, name) in enumerate(answers) if place == 0 or value > alpha + 1e-9)

    @property
    def best(self) -> LinkedEntity | None:
        """The best candidate, whether or not the decision is NIL."""
        return self.candidates[0] if self.candidates else None

    def to_dict(self) -> dict[str, Any]:
        """
        A plain nested dictionary, for JSON. Where a prediction set was asked for, `prediction_set` holds its ids, with
        `None` for NIL.
        """
        chosen = None if self.alpha is None else list(self.prediction_set())
        candidates = [candidate.to_dict() for candidate in self.candidates]
        return asdict(self) | {"candidates": candidates, "prediction_set": chosen}

    def to_json(self) -> str:
        """One line of JSON, with keys in the order of the fields."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LinkedMention":
        """The inverse of `to_dict`."""
        candidates = (LinkedEntity(**each | {"types": tuple(each["types"])}) for each in values["candidates"])
        values = {
            name: value for name, value in values.items() if name != "prediction_set"
        }  # it follows from the others
        return cls(**{**values, "candidates": tuple(candidates)})
