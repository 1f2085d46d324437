"""A linker whose scores are sums of weights that a test gives, so that every number of an explanation is known."""

import re
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from hf_mel.data import UnknownEntityError
from hf_mel.data.thumbnails import small_jpeg
from hf_mel.linking import LinkedEntity, LinkedMention, MentionQuery
from hf_mel.linking.candidates import Retrieved, matched_alias
from hf_mel.linking.explaining import Explanation


@dataclass
class Entity:
    """`words`: what each word of a text adds to the score. `picture`: what a picture of this colour adds."""

    id: str
    name: str
    words: dict[str, float] = field(default_factory=dict)
    picture: dict[str, float] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    text: str = "a text"
    thumbnail: bytes | None = None


def coloured(colour: str) -> Image.Image:
    image = Image.new("RGB", (200, 100), colour)
    image.putpixel((0, 0), (1, 2, 3))  # a picture of one colour counts as none
    image.info["colour"] = colour
    return image


def jpeg(colour: str) -> bytes:
    return small_jpeg(coloured(colour))


class WeighedIndex:
    def __init__(self, entities: list[Entity]):
        self.all = entities
        self.ids = [entity.id for entity in entities]
        self.num_rows = len(entities)
        self.alive = np.ones(len(entities), dtype=bool)

    def __len__(self) -> int:
        return self.num_rows

    def row(self, entity_id: str) -> int:
        if entity_id not in self.ids:
            raise UnknownEntityError(f"no entity {entity_id!r} in this index")
        return self.ids.index(entity_id)

    def entities(self, rows) -> list[Entity]:
        return [self.all[row] for row in rows]

    def rows_of(self, types=None, ids=None) -> np.ndarray:
        rows = [
            (types is None or bool(set(types) & set(each.types))) and (ids is None or each.id in ids)
            for each in self.all
        ]
        return np.array(rows)


@dataclass
class Fitted:
    threshold: float
    kind: str = "fitted"


class WeighedFinder:
    @staticmethod
    def find_exact(queries, encoded, k, allowed=None) -> Retrieved:
        scores = encoded["scores"].numpy().copy()
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, rows, axis=1)
        return Retrieved(np.where(np.isinf(scores), -1, rows), scores, scores, encoded)


class WeighedLinker:
    """The documented part of a `Linker`. `calls` keeps the queries of each call."""

    def __init__(self, entities, num_candidates=64, threshold=None, by_name=False, reranked=None):
        self.index = WeighedIndex(entities)
        self.finder = WeighedFinder()
        self.setup = {"num_candidates": num_candidates, "candidates": "lexical" if by_name else "dense"}
        self.calibration = None if threshold is None else Fitted(threshold)
        self.by_name = by_name
        self.reranker = reranked
        self.calls: list[list[MentionQuery]] = []

    def parts(self, query: MentionQuery, entity: Entity) -> tuple[float, float | None]:
        words = re.findall(r"[^\W\d_]+", query.text)
        text = sum(entity.words.get(word, 0.0) for word in words)
        colour = None if query.image is None else query.image.info["colour"]
        return text, (entity.picture.get(colour, 0.0) if colour is not None and entity.picture else None)

    def encode_queries(self, queries):
        scores = [
            [sum(part or 0.0 for part in self.parts(query, each)) for each in self.index.all] for query in queries
        ]
        return {"scores": torch.tensor(scores), "alone": {"text": {"scores": torch.zeros(1)}}}

    def link_queries(
        self, queries, *, top_k=5, threshold=None, score_threshold=None, types=None, entity_ids=None
    ) -> list[LinkedMention]:
        self.calls.append(list(queries))
        if threshold is None and self.calibration is not None:
            threshold = self.calibration.threshold
        return [self._link(query, top_k, threshold, score_threshold, types, entity_ids) for query in queries]

    def _link(self, query, top_k, threshold, score_threshold, types, entity_ids) -> LinkedMention:
        allowed = self.index.rows_of(types, entity_ids)
        found = []
        for entity, may in zip(self.index.all, allowed, strict=True):
            alias = matched_alias(query.mention, [entity.name, *entity.aliases])
            if not may or (self.by_name and alias is None):
                continue
            text, picture = self.parts(query, entity)
            score = retrieval = text + (picture or 0.0)
            if self.reranker is not None:
                score = self.reranker[entity.id]
            found.append(
                LinkedEntity(
                    entity.id, entity.name, entity.text, score, text_score=text, image_score=picture,
                    image_weight=0.25 if entity.picture else 0.0, retrieval_score=retrieval, matched_alias=alias,
                    types=tuple(entity.types),
                )
            )  # fmt: skip
        found.sort(key=lambda each: -each.score)
        found = found[: max(top_k, self.setup["num_candidates"])]
        nil = None
        if self.calibration is not None:
            total = sum(np.exp(each.score) for each in found) + 1
            found = [
                LinkedEntity(**{**vars(each), "probability": float(np.exp(each.score) / total)}) for each in found
            ]
            nil = float(1 / total)
        is_nil = None
        if not found:
            is_nil = True
        elif threshold is not None or score_threshold is not None:
            is_nil = (threshold is not None and 1 - nil < threshold) or (
                score_threshold is not None and found[0].score < score_threshold
            )
        best = found[0] if found and not is_nil else None
        return LinkedMention(
            mention=query.mention, text=query.text, start=query.place, end=query.end, id=query.id,
            entity_id=None if best is None else best.entity_id, name=None if best is None else best.name, is_nil=is_nil,
            probability=found[0].probability if found else None, nil_probability=nil,
            margin=found[0].score - found[1].score if len(found) > 1 else None, has_image=query.image is not None,
            image_weight=0.5 if query.image is not None else 0.0, candidates=tuple(found[:top_k]),
        )  # fmt: skip


TEXT = "the singer Jordan gave a concert on the river"


def jordans() -> list[Entity]:
    return [
        Entity("R", "Jordan", {"river": 0.5, "a": 0.18}, {"blue": 0.25, "red": 0.02}, types=["river"]),
        Entity(
            "S", "Montell Jordan", {"singer": 0.51, "concert": 0.19}, {"red": 0.3}, ["Jordan"], ["person", "artist"]
        ),
        Entity("B", "Michael Jordan", {"the": 0.1}, {"red": 0.4}, ["MJ"], ["person"], thumbnail=jpeg("red")),
        Entity("N", "Petra", {"Jordan": 0.05}, types=["city"]),
    ]


def has(explanation: Explanation, *sentences: str):
    for sentence in sentences:
        assert sentence in explanation.reasons, explanation.reasons


def has_not(explanation: Explanation, *parts: str):
    for part in parts:
        assert not any(part in reason for reason in explanation.reasons), explanation.reasons


def query(text: str = TEXT, mention: str = "Jordan", colour: str | None = None, **more) -> MentionQuery:
    return MentionQuery(mention, text, image=None if colour is None else coloured(colour), **more)
