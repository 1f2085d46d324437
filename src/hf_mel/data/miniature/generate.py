"""A small multimodal benchmark which is generated, for demonstrations and tests: no file, no download.

Everything follows from the seed by hashing, so two machines make the same data, and no random generator is touched.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from datasets import DatasetDict
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from ..knowledge_base import KnowledgeBase
from ..mel_data import MELData
from ..schema import ENTITY_FEATURES, MENTION_FEATURES, SPLITS, dataset_of_columns
from . import words
from .pictures import (
    COLOURS,
    GROUNDS,
    SHAPES,
    colour_picture,
    encode_png,
    entity_picture,
    mention_picture,
    unrelated_picture,
)


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


KINDS = ("text", "image", "both", "name", "typo", "nil")
"""Attributes that distinguish the gold entity, stored in the column `topic` of a miniature's mentions."""

# Of 50 mentions, in this order: what disambiguates. One in fifty is NIL.
_MIX = ("text",) * 16 + ("image",) * 18 + ("both",) * 10 + ("name",) * 3 + ("typo",) * 2 + ("nil",)
_FAMILY = 5
# Members of a family share their city and their colour in such pairs that each alone leaves two, both leave one.
_FAMILY_CITIES = (0, 0, 1, 1, 2)
_FAMILY_COLOURS = (0, 1, 1, 0, 2)
_MAX_ENTITIES = 200
_TRAP = ("Marta", "Marga")


class _Person(NamedTuple):
    id: str
    first: str
    surname: str
    occupation: str
    city: str
    year: int
    look: tuple[int, int, int]
    slot: int

    @property
    def name(self) -> str:
        return f"{self.first} {self.surname}"

    @property
    def attributes(self) -> str:
        return f"Occupation: {self.occupation}. Birth: {self.year}, {self.city}."


def make_miniature(
    seed: int = 0,
    *,
    num_entities: int = 160,
    num_train: int = 1200,
    num_validation: int = 200,
    num_test: int = 300,
    image_size: int = 32,
) -> MELData:
    """Generates people, their portraits, and sentences with photographs that mention them.

    Five people share a surname, and most mentions are the surname alone. What tells them apart is the kind of the
    mention, in its column `topic`:

    - `text`: the sentence names the occupation; the picture is missing or shows something else.
    - `image`: only the picture does: the portrait's shape and colours, moved, scaled and noisy.
    - `both`: the sentence names the city of birth, which two of the five share; the picture shows a colour, which two
      others share.
    - `name`: the full name is written out. `typo`: it is, with two letters of the first name exchanged.
    - `nil`: somebody who is not in the knowledge base (`entity_id` is null).

    No two sentences are equal, so none of the test is seen in training.

    Args:
        seed (`int`, *optional*, defaults to 0): another seed gives other people, pictures and sentences from the same
            vocabulary.
        num_entities (`int`, *optional*, defaults to 160): 5 to 200.
        num_train, num_validation, num_test (`int`, *optional*): mentions, at least 1 each.
        image_size (`int`, *optional*, defaults to 32): height and width of the pictures.

    Returns:
        [`MELData`]: `report` holds how many mentions of each kind, NIL and picture status each split has.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature

    >>> data = make_miniature(num_entities=10, num_train=50, num_validation=5, num_test=5)
    >>> data.entities
    KnowledgeBase(10 entities, text_field='attributes', 10 with a picture)
    >>> data.report["splits"]["train"]["nil"]
    1
    >>> data.entities.images([0])[0].size
    (32, 32)
    ```
    """
    sizes = dict(zip(SPLITS, (num_train, num_validation, num_test), strict=True))
    _check_sizes(num_entities, sizes)
    people = _people(seed, num_entities)
    seen: set[str] = set()
    tables, counts = {}, {}
    for split, size in sizes.items():
        rows = [_mention(seed, split, number, people, image_size, seen) for number in range(size)]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        tables[split] = dataset_of_columns(columns, MENTION_FEATURES)
        counts[split] = _counts(columns)
    report = {"layout": "miniature", "seed": seed, "entities": num_entities, "splits": counts}
    return MELData(DatasetDict(tables), _knowledge_base(seed, people, image_size), report)


def _check_sizes(num_entities: int, sizes: dict[str, int]) -> None:
    if not _FAMILY <= num_entities <= _MAX_ENTITIES:
        raise ValueError(f"num_entities={num_entities}: the miniature has {_FAMILY} to {_MAX_ENTITIES} entities")
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(f"num_{split}={size}: each split needs at least one mention")


def _counts(columns: dict[str, list]) -> dict:
    return {
        "mentions": len(columns["id"]),
        "nil": columns["entity_id"].count(None),
        "kinds": dict(sorted(Counter(columns["topic"]).items())),
        "images": dict(sorted(Counter(columns["image_status"]).items())),
    }


def miniature_vocabulary() -> list[str]:
    """All lower-case words and punctuation that a miniature of any seed can hold, sorted.

    Example:

    ```python
    >>> from hf_mel.data import miniature_vocabulary

    >>> vocabulary = miniature_vocabulary()
    >>> "painter" in vocabulary, "," in vocabulary, "Painter" in vocabulary
    (True, True, False)
    ```
    """
    texts = ["Occupation: . Birth: , "]
    texts += [re.sub(r"\{\w+\}", " ", template) for group in words.TEMPLATES.values() for template in group]
    for group in (words.FIRST_NAMES, words.SURNAMES, words.UNKNOWN_SURNAMES, words.OCCUPATIONS, words.CITIES):
        texts += group
    texts += [word for group in words.FILLERS for word in group]
    texts += [words.typo(name) for name in words.FIRST_NAMES]
    texts += [str(words.FIRST_YEAR + number) for number in range(words.YEARS)]
    return sorted({token for text in texts for token in re.findall(r"\w+|[^\w\s]", text.lower())})


def make_miniature_tokenizer(model_max_length: int = 48) -> "PreTrainedTokenizerFast":
    """A tokenizer with one token for each word of [`miniature_vocabulary`], in BERT's form `[CLS] ... [SEP] ... [SEP]`.

    Ids: `[PAD]` 0, `[UNK]` 1, `[CLS]` 2, `[SEP]` 3, then the words in their order.

    Example:

    ```python
    >>> from hf_mel.data import make_miniature_tokenizer

    >>> tokenizer = make_miniature_tokenizer()
    >>> tokenizer.convert_ids_to_tokens(tokenizer("The painter, Holt.")["input_ids"])
    ['[CLS]', 'the', 'painter', ',', 'holt', '.', '[SEP]']
    ```
    """
    from transformers import PreTrainedTokenizerFast  # here: data alone need no transformers, which is slow to import

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ids = {token: number for number, token in enumerate(special + miniature_vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=model_max_length,
    )


# ---- People ----


def _people(seed: int, number: int) -> list[_Person]:
    surnames = _shuffled(words.SURNAMES, seed, "surnames")
    taken: set[tuple[int, int, int]] = set()
    people = []
    for row in range(number):
        family, slot = divmod(row, _FAMILY)
        if slot == 0:
            # The lexical trap stands in the first family: two first names that differ by one letter.
            names = _shuffled(words.FIRST_NAMES, seed, "first", family)
            names = [*_TRAP, *(name for name in names if name not in _TRAP)] if family == 0 else names
            occupations = _shuffled(words.OCCUPATIONS, seed, "occupation", family)
            cities = _shuffled(words.CITIES, seed, "city", family)
            looks: list[tuple[int, int, int]] = []
        colour = (3 * family + _FAMILY_COLOURS[slot]) % len(COLOURS)
        looks.append(_free_look(seed, family, colour, looks, taken))
        people.append(
            _Person(
                id=f"M{row + 1}",
                first=names[slot],
                surname=surnames[family],
                occupation=occupations[slot],
                city=cities[_FAMILY_CITIES[slot]],
                year=words.FIRST_YEAR + _draw(seed, "year", row) % words.YEARS,
                look=looks[-1],
                slot=slot,
            )
        )
    return people


def _free_look(seed: int, family: int, colour: int, relatives: list, taken: set) -> tuple[int, int, int]:
    """A look nobody has yet, not on the ground of the relative with the same colour, if possible of a new shape.

    Of 36 looks a colour is used at most 25 times, and a relative rules out 6: one is always free.
    """
    options = [(ground, shape) for ground in range(len(GROUNDS)) for shape in range(len(SHAPES))]
    grounds = {look[1] for look in relatives if look[0] == colour}
    shapes = {look[2] for look in relatives}
    free = [
        (colour, ground, shape)
        for ground, shape in _shuffled(options, seed, "look", family, colour)
        if ground not in grounds and (colour, ground, shape) not in taken
    ]
    look = next((look for look in free if look[2] not in shapes), free[0])
    taken.add(look)
    return look


def _knowledge_base(seed: int, people: list[_Person], image_size: int) -> KnowledgeBase:
    pictures = [entity_picture(person.look, image_size, f"{seed}/entity/{person.id}") for person in people]
    columns = {
        "id": [person.id for person in people],
        "name": [person.name for person in people],
        "attributes": [person.attributes for person in people],
        "types": [["person"] for _ in people],
        "image": [
            encode_png(picture, f"{person.id}.png") for person, picture in zip(people, pictures, strict=True)
        ],
        "image_status": ["ok"] * len(people),
        "source_row": list(range(len(people))),
    }  # fmt: skip
    return KnowledgeBase(dataset_of_columns(columns, ENTITY_FEATURES))


# ---- Mentions ----


def _mention(seed: int, split: str, number: int, people: list[_Person], image_size: int, seen: set[str]) -> dict:
    key = f"{seed}/{split}/{number}"
    # Every run of fifty holds the whole mix, in an order of its own.
    kind = _shuffled(_MIX, seed, split, "kind", number // len(_MIX))[number % len(_MIX)]
    person = people[_draw(key, "person") % len(people)]
    if kind == "both" and person.slot == _FAMILY - 1:
        kind = "text"  # the fifth of a family shares neither city nor colour, so that nothing needs both
    mention = _surface(kind, person, key)
    sentence = _sentence(kind, mention, person, key, seen)
    picture = _picture(kind, person, key, image_size)
    start = sentence.index(mention)
    return {
        "id": f"{split}-{number}",
        "mention": mention,
        "text": sentence,
        "start": start,
        "end": start + len(mention),
        "mention_type": "person",
        "image": None if picture is None else encode_png(picture, f"{split}-{number}.png"),
        "image_status": "none" if picture is None else "ok",
        "entity_id": None if kind == "nil" else person.id,
        "entity_name": None if kind == "nil" else person.name,
        "topic": kind,
    }


def _surface(kind: str, person: _Person, key: str) -> str:
    if kind == "name":
        return person.name
    if kind == "typo":
        return f"{words.typo(person.first)} {person.surname}"
    if kind == "nil":
        return words.UNKNOWN_SURNAMES[_draw(key, "unknown") % len(words.UNKNOWN_SURNAMES)]
    return person.surname


def _sentence(kind: str, mention: str, person: _Person, key: str, seen: set[str]) -> str:
    templates = words.TEMPLATES[{"typo": "name", "nil": "image"}.get(kind, kind)]
    for attempt in range(1_000):
        template = templates[_draw(key, "template", attempt) % len(templates)]
        place, weekday, thing = (
            group[_draw(key, "filler", attempt, position) % len(group)] for position, group in enumerate(words.FILLERS)
        )
        sentence = template.format(
            mention=mention, occupation=person.occupation, city=person.city, place=place, weekday=weekday, object=thing
        )
        if sentence not in seen:
            seen.add(sentence)
            return sentence
    raise ValueError(f"no unused sentence of kind {kind!r} is left: ask for fewer mentions or more entities")


def _picture(kind: str, person: _Person, key: str, size: int):
    if kind == "image":
        return mention_picture(person.look, size, key)
    if kind == "both":
        return colour_picture(person.look, size, key)
    # The rest needs no picture: half have none, half one that does not help.
    return None if _draw(key, "picture") % 2 else unrelated_picture(size, key)


# ---- Chance from hashes ----


def _draw(*key) -> int:
    """A number that looks random and is the same everywhere for the same key."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest(), "big")


def _shuffled(items: Sequence, *key) -> list:
    return [items[i] for i in sorted(range(len(items)), key=lambda i: (_draw(*key, i), i))]
