"""Reads the texts of EmojiMEL: entities from `texts/entities.txt`, sentences from `texts/SPLIT/*.txt`."""

import re
from dataclasses import dataclass
from pathlib import Path

from hf_mel.data import SPLITS


TEXTS = Path(__file__).parent / "texts"
KINDS = ("text", "image", "both")
# gold entity, kind with its options, sentence: "bat-animal both/bat-cricket@de The [Fledermaus] slept."
_LINE = re.compile(r"(?P<gold>\S+) (?P<kind>[a-z]+)(/(?P<shown>\S+?))?(@(?P<language>[a-z]{2}))? (?P<text>.+)")
_MENTION = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Entity:
    """An entity: its emoji, and what the knowledge base says about it."""

    id: str
    emoji: str
    name: str
    aliases: tuple[str, ...]
    type: str
    description: str

    @property
    def hexcode(self) -> str:
        return hexcode(self.emoji)

    @property
    def surfaces(self) -> set[str]:
        """Lower-case name and aliases."""
        return {each.lower() for each in (self.name, *self.aliases)}


@dataclass(frozen=True)
class Sentence:
    """A sentence with its mention.

    `entity` is `None` for NIL, and `drawing` the emoji that decides a NIL mention of kind `image`. `shown` is the id of
    another entity that the picture shows as large as the right one, and that the sentence rules out.
    """

    entity: Entity | None
    kind: str
    text: str
    mention: str
    start: int
    language: str = "en"
    shown: str | None = None
    drawing: str | None = None
    source: str = "written"


def hexcode(emoji: str) -> str:
    """Code points without variation selectors, such as `1F3F4-200D-2620`."""
    return "-".join(f"{ord(character):04X}" for character in emoji if character != "\ufe0f")


def read_entities(path: Path = TEXTS / "entities.txt") -> dict[str, Entity]:
    """The entities by id, in the order of the file."""
    entities: dict[str, Entity] = {}
    for number, line in _lines(path):
        cells = line.split(" | ")
        if len(cells) != 6:
            raise ValueError(f"{path}, line {number}: {len(cells)} cells, needed are 6, separated by ' | '")
        id, emoji, name, aliases, kind, description = cells
        if id in entities or any(emoji == other.emoji for other in entities.values()):
            raise ValueError(f"{path}, line {number}: {id} {emoji} is used twice")
        entities[id] = Entity(id, emoji, name, tuple(each.strip() for each in aliases.split(",")), kind, description)
    return entities


def read_sentences(split: str, entities: dict[str, Entity], folder: Path = TEXTS) -> list[Sentence]:
    """The sentences of a split.

    Raises:
        `ValueError`: lines of another form, with an unknown entity, or without exactly one mention in brackets; all are
            listed.
    """
    sentences, wrong = [], []
    for path in sorted((folder / split).glob("*.txt")):
        for number, line in _lines(path):
            try:
                sentences.append(_parse(line, entities))
            except ValueError as error:
                wrong.append(f"  {path.name}, line {number}: {error}: {line}")
    if wrong:
        raise ValueError("\n".join([f"{folder / split}:", *wrong]))
    return sentences


def read_all(entities: dict[str, Entity]) -> dict[str, list[Sentence]]:
    return {split: read_sentences(split, entities) for split in SPLITS}


def surfaces(entities: dict[str, Entity]) -> dict[str, list[Entity]]:
    """The entities that share a name or alias, by it."""
    found: dict[str, list[Entity]] = {}
    for entity in entities.values():
        for surface in sorted(entity.surfaces):
            found.setdefault(surface, []).append(entity)
    return found


def _parse(line: str, entities: dict[str, Entity]) -> Sentence:
    found = _LINE.fullmatch(line)
    if found is None or found["kind"] not in KINDS:
        raise ValueError("not of the form 'ENTITY KIND SENTENCE'")
    for name in ("gold", "shown"):
        if found[name] is not None and not found[name].startswith("-") and found[name] not in entities:
            raise ValueError(f"unknown entity {found[name]}")
    mentions = list(_MENTION.finditer(found["text"]))
    if len({mention[1] for mention in mentions}) != 1:
        raise ValueError("needed is one mention in brackets")
    first = mentions[0]
    return Sentence(
        entity=entities.get(found["gold"]),
        kind=found["kind"],
        text=_MENTION.sub(r"\1", found["text"]),
        mention=first[1],
        start=first.start(),
        language=found["language"] or "en",
        shown=found["shown"],
        drawing=found["gold"][1:] or None if found["gold"].startswith("-") else None,
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
