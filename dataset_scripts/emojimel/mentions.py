"""The generated mentions: which entity, word, kind, picture and post each has."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from draws import Draw
from knowledge_base import Emoji, words_of
from PIL import Image
from posts import neutral_fillers, write_post


KINDS = ("text", "image", "both")
CONTEXT = {"text": (2, 3), "image": (0, 0), "both": (1, 1)}
QUALITIES = {
    "text": {"low_quality": 1, "low_value": 1, "low_relevance": 1, "missing": 1},
    "image": {"good": 3, "medium": 2},
    "both": {"medium": 1, "low_relevance": 1},
}
PER_ENTITY = {"train": 4, "validation": 3, "test": 4}
# How often an entity of the training split comes back, drawn by another vendor.
RETURNING = {"validation": 0.08, "test": 0.17, "": 0.75}
MOODS = ("smiling", "affectionate", "neutral / skeptical", "concerned", "negative", "sleepy", "unwell")


@dataclass
class Mention:
    """One row of the mention table before its picture is painted."""

    entity: Emoji
    split: str
    mention: str
    kind: str
    key: tuple
    source: str = "generated"
    vendor: str = ""
    quality: str = ""
    glyphs: list[tuple[str, str]] = field(default_factory=list)
    sentence: str = ""
    start: int = 0
    end: int = 0


class MentionWriter:
    """Writes the mentions of all entities.

    Args:
        entities (`list[Emoji]`): with their mention words.
        art (`Callable`): `(vendor, hexcode)` to a glyph or `None`.
    """

    def __init__(self, entities: list[Emoji], art: Callable[[str, str], Image.Image | None]):
        self.entities = entities
        self.art = art
        vocabulary = set().union(*(entity.visible_words | words_of(" ".join(entity.held)) for entity in entities))
        self.fillers = neutral_fillers(vocabulary)
        self.lengths = sorted(len(word) for entity in entities for word in words_of(" ".join(entity.held)))
        self.sentences: set[str] = set()

    def write(self, written: Path) -> list[Mention]:
        """The mentions written by hand, then the generated ones."""
        mentions = self._written(written)
        for entity in self.entities:
            mentions += self._of_entity(entity, entity.split, PER_ENTITY[entity.split])
            if entity.split == "train":
                back = Draw(entity.hexcode, "returns").weighted(RETURNING)
                mentions += self._of_entity(entity, back, 2) if back else []
        return mentions

    def _of_entity(self, entity: Emoji, split: str, number: int) -> list[Mention]:
        # Whoever cannot have the context of a `text` mention has none at all: else few keywords would tell the kind.
        words = [word for word in entity.mention_words if len(entity.context_words(word)) >= CONTEXT["text"][0]]
        if not words:
            return []
        kinds = Draw(entity.hexcode, split, "kinds").shuffled(KINDS)
        mentions = []
        for count in range(number):
            draw = Draw(entity.hexcode, split, count)
            mention = Mention(entity, split, draw.choice(words), kinds[count % len(kinds)], draw.key)
            if self._choose_picture(draw, mention):
                self._write_post(mention)
                mentions.append(mention)
        return mentions

    def _written(self, path: Path) -> list[Mention]:
        """The sentences of `written.jsonl`: their entities are in the test split and have the word in their text."""
        of_test = {entity.hexcode: entity for entity in self.entities if entity.split == "test"}
        mentions, wrong = [], []
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            row = json.loads(text)
            entity, found = of_test.get(row["entity"]), list(re.finditer(rf"\b{row['mention']}\b", row["text"]))
            if entity is None or row["mention"] not in entity.mention_words or len(found) != 1:
                wrong.append(f"  line {line}: {row['entity']} {row['mention']!r} occurs {len(found)} times; {entity}")
                continue
            draw = Draw(row["entity"], "written", row["text"])
            mention = Mention(entity, "test", row["mention"], row["kind"], draw.key, source="written")
            if not self._choose_picture(draw, mention):
                wrong.append(f"  line {line}: {entity.name} has no {mention.vendor} art")
            mention.sentence, mention.start, mention.end = row["text"], found[0].start(), found[0].end()
            self.sentences.add(mention.sentence.lower())
            mentions.append(mention)
        if wrong:
            raise ValueError(
                "\n".join([f"{path}: use an ambiguous word of an entity of the test split, once:", *wrong])
            )
        return mentions

    def _choose_picture(self, draw: Draw, mention: Mention) -> bool:
        """Sets vendor, quality and glyphs; false where the vendor has not drawn the emoji."""
        mention.vendor = self._vendor(draw, mention)
        if self.art(mention.vendor, mention.entity.hexcode) is None:
            return False
        mention.quality = draw.weighted(QUALITIES[mention.kind])
        mention.glyphs = self._choose_glyphs(draw, mention)
        return True

    def _vendor(self, draw: Draw, mention: Mention) -> str:
        """Training sees Noto only; entities that come back, and some of the unseen, are OpenMoji."""
        if mention.split == "train":
            return "noto"
        if mention.split != mention.entity.split:
            return "openmoji"
        return draw.weighted({"noto": 0.75, "openmoji": 0.25})

    def _choose_glyphs(self, draw: Draw, mention: Mention) -> list[tuple[str, str]]:
        """The glyphs in the picture. All but that of the entity are of its split's entities: splits share no glyph."""
        if mention.quality == "missing":
            return []
        pool = [
            entity
            for entity in self.entities
            if entity.split == mention.split and self.art(mention.vendor, entity.hexcode) is not None
        ]
        if mention.quality == "low_value":
            moods = [entity for entity in pool if entity.subgroup in MOODS and entity is not mention.entity]
            return [(mention.vendor, draw.choice(moods).hexcode)]
        glyphs = [(mention.vendor, mention.entity.hexcode)]
        if mention.quality == "low_relevance":
            others = draw.sample([entity for entity in pool if entity is not mention.entity], 4)
            glyphs += [(mention.vendor, entity.hexcode) for entity in others]
        return glyphs

    def _write_post(self, mention: Mention) -> None:
        """Draws again where a post of the same words is there already, so that no sentence is used twice."""
        low, high = CONTEXT[mention.kind]
        for attempt in range(100):
            draw = Draw(*mention.key, "post", attempt)
            context = mention.entity.context_words(mention.mention)
            number = low + draw.below(high - low + 1)
            post = write_post(draw, mention.mention, draw.sample(context, number), self.lengths, self.fillers)
            if post.sentence.lower() not in self.sentences:
                self.sentences.add(post.sentence.lower())
                mention.sentence, mention.start, mention.end = post.sentence, post.start, post.end
                return
        raise ValueError(f"no new post for {mention.key} in 100 attempts")
