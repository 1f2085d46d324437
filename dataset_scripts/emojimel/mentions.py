"""The mentions: each sentence with the picture that it needs."""

from collections.abc import Callable
from dataclasses import dataclass

from draws import Draw
from PIL import Image
from texts import Entity, Sentence, hexcode


# Pictures of the training split are by other vendors than those of validation and test, and those of entities by none of these.
VENDORS = {"train": ("noto", "fluent"), "validation": ("openmoji",), "test": ("openmoji",)}
QUALITIES = {
    "text": {"low_quality": 1, "low_value": 1, "low_relevance": 1, "missing": 1},
    "image": {"good": 3, "medium": 2},
    "both": {"medium": 1, "low_relevance": 1},
    "nil": {"low_value": 1, "missing": 1},
}
# Emoji that say nothing about an entity.
MOODS = ("😀", "😂", "😍", "😎", "😅", "😢", "😡", "😱", "😴", "🙄", "🤔", "😇", "🥳", "😬", "🤩", "😐", "🙂", "😭")
CLUTTER = 4


@dataclass(frozen=True)
class Mention:
    """One row of the mention table before its picture is painted; `glyphs` are `(vendor, code points)`."""

    sentence: Sentence
    split: str
    quality: str
    glyphs: tuple[tuple[str, str], ...]

    @property
    def key(self) -> tuple[str, str]:
        """Names the draws of the mention."""
        return self.split, self.sentence.text


def add_pictures(
    split: str, sentences: list[Sentence], entities: dict[str, Entity], art: Callable[[str, str], Image.Image | None]
) -> list[Mention]:
    """Chooses vendor, quality and glyphs of each sentence.

    Args:
        split (`str`): the split of the sentences.
        sentences (`list[Sentence]`): the sentences.
        entities (`dict[str, Entity]`): all entities by id.
        art (`Callable`): `(vendor, code points)` to a drawing or `None`.
    """
    pool = sorted({sentence.entity.hexcode for sentence in sentences if sentence.entity is not None})
    return [_mention(split, sentence, entities, pool, art) for sentence in sentences]


def _mention(split: str, sentence: Sentence, entities: dict, pool: list[str], art: Callable) -> Mention:
    draw = Draw(split, sentence.text, "glyphs")
    vendor = draw.choice(VENDORS[split])
    quality = _quality(draw, sentence)
    own = hexcode(sentence.drawing) if sentence.drawing else sentence.entity and sentence.entity.hexcode
    if quality == "missing":
        codes = []
    elif quality == "low_value":
        codes = [hexcode(draw.choice(MOODS))]
    elif quality == "two_entities":
        codes = draw.shuffled([own, entities[sentence.shown].hexcode])
    elif quality == "low_relevance":
        codes = [own, *draw.sample([code for code in pool if code != own], CLUTTER)]
    else:
        codes = [own]
    if any(art(vendor, code) is None for code in codes):
        vendor = next(each for each in VENDORS[split] if all(art(each, code) is not None for code in codes))
    return Mention(sentence, split, quality, tuple((vendor, code) for code in codes))


def _quality(draw: Draw, sentence: Sentence) -> str:
    if sentence.shown is not None:
        return "two_entities"
    if sentence.entity is None and sentence.drawing is None:
        return draw.weighted(QUALITIES["nil"])
    return draw.weighted(QUALITIES[sentence.kind])
