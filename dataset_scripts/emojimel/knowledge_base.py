"""The entities of EmojiMEL: which emoji, their names, their descriptions and the keywords kept for the mentions."""

import re
from collections import Counter
from dataclasses import dataclass, field

from draws import Draw


# Flags, keypad characters and squared letters are long lists of one kind; components (skin tones, hair) are no emoji.
GROUPS_LEFT_OUT = {"flags", "components"}
SUBGROUPS_LEFT_OUT = {"keypad characters", "alphanumeric symbols", "gender signs", "family"}
# Joined sequences that only change the gender, the direction or the members of another emoji.
VARIANT_PARTS = {"2640", "2642", "27A1", "1F468", "1F469"}
STOP_WORDS = frozenset("and for from not off out over own the too two under with without".split())
SHARED_BY = (3, 60)
# Nouns to WordNet, but not what a person would call a thing in a post.
NO_MENTIONS = frozenset(
    """absent accessibility asian athletics awkward back backhand blind cardinal check construction double epic evil
    exclamation fancy french ground ideograph improvement index input joy latin left liquid marine medium men
    ornithology parts place point post props right shade type way wow""".split()
)
ING_NOUNS = frozenset("building clothing dating king lightning ring shopping string wedding wing writing".split())


@dataclass
class Emoji:
    """One entity. `shown` keywords stand in its description, `held` ones only in mentions."""

    hexcode: str
    character: str
    name: str
    group: str
    subgroup: str
    shown: list[str]
    held: list[str]
    split: str
    mention_words: list[str] = field(default_factory=list)

    def context_words(self, mention: str) -> list[str]:
        """Words that tell this entity from others with the same mention: held-out keywords first, then its name."""
        held = sorted(words_of(" ".join(self.held)) - {mention})
        return held + sorted(words_of(self.name) - {mention, *held})

    @property
    def description(self) -> str:
        return f"{self.subgroup}: {', '.join(self.shown)}" if self.shown else self.subgroup

    @property
    def visible_words(self) -> set[str]:
        return words_of(self.name) | words_of(self.description)


def words_of(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]+", text.lower()) if len(word) >= 3 and word not in STOP_WORDS}


def choose_entities(emojibase: list[dict], cldr: dict[str, tuple[str, list[str]]]) -> list[Emoji]:
    """The emoji without flags, keypad characters and variants in skin tone, gender or direction."""
    chosen = []
    for row in emojibase:
        parts = row["hexcode"].split("-")
        if row["group"] in GROUPS_LEFT_OUT or row["subgroup"] in SUBGROUPS_LEFT_OUT:
            continue
        if "200D" in parts and VARIANT_PARTS & set(parts):
            continue
        annotation = cldr.get(row["emoji"].replace("\ufe0f", "").replace("\ufe0e", ""))
        if annotation is None:
            continue
        name, keywords = annotation
        shown, held = halves(row["hexcode"], keywords)
        chosen.append(
            Emoji(
                row["hexcode"],
                row["emoji"],
                name,
                row["group"],
                row["subgroup"],
                shown,
                held,
                split_of(row["hexcode"]),
            )
        )
    return chosen


def halves(hexcode: str, keywords: list[str]) -> tuple[list[str], list[str]]:
    """The keywords that the description shows, the larger half, and those held out for the mentions."""
    order = Draw(hexcode, "keywords").shuffled(sorted(set(keywords)))
    middle = (len(order) + 1) // 2
    return sorted(order[:middle]), sorted(order[middle:])


def split_of(hexcode: str) -> str:
    return Draw(hexcode, "split").weighted({"train": 65, "validation": 10, "test": 25})


def set_mention_words(entities: list[Emoji], nouns: set[str]) -> Counter:
    """Gives each entity the ambiguous nouns that it can be mentioned by; returns by how many each word is shared.

    A word is ambiguous where 3 to 60 entities have it in their name or description, which is what a linker can read.
    An entity that has no such word shows one of its held-out keywords instead of another, if that gives it one.
    """
    shared = _shared(entities)
    for entity in entities:
        entity.mention_words = _ambiguous(entity, shared, nouns)
    for entity in entities:
        if not entity.mention_words:
            _show_another(entity, shared, nouns)
            shared = _shared(entities)
    for entity in entities:
        entity.mention_words = _ambiguous(entity, shared, nouns)
    return shared


def _shared(entities: list[Emoji]) -> Counter:
    return Counter(word for entity in entities for word in entity.visible_words)


def _ambiguous(entity: Emoji, shared: Counter, nouns: set[str]) -> list[str]:
    # Not the words of the subgroup alone: nobody calls a broom "household".
    own = words_of(" ".join([entity.name, *entity.shown]))
    low, high = SHARED_BY
    return sorted(word for word in own if word in nouns and low <= shared[word] <= high and _is_thing(word))


def _show_another(entity: Emoji, shared: Counter, nouns: set[str]) -> None:
    low, high = SHARED_BY
    for keyword in Draw(entity.hexcode, "show another").shuffled(entity.held):
        if keyword in nouns and low <= shared[keyword] < high and _is_thing(keyword):
            hidden = Draw(entity.hexcode, "hide").choice(entity.shown)
            entity.shown = sorted({*entity.shown, keyword} - {hidden})
            entity.held = sorted({*entity.held, hidden} - {keyword})
            return


def _is_thing(word: str) -> bool:
    return word.isascii() and word not in NO_MENTIONS and (not word.endswith("ing") or word in ING_NOUNS)
