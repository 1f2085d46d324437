"""A generated post: sentences around the mention, some words about it, hashtags. Nothing countable tells the kind."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from draws import Draw
from phrases import ASIDES, BLANKS, CLAUSES, CLOSERS, FILLERS, OPENERS


# How many places for words a post has; drawn before and without regard to how many of them the kind fills.
PLACES = {"3": 0.4, "4": 0.4, "5": 0.2}

# Clauses fit a thing that can be counted. Others need one in which nothing counts them or agrees with a singular.
_ANY_NUMBER = re.compile(r"\b([Tt]he|[Nn]o|[Mm]y|[Ss]ame) \{m\}")
_ONE = re.compile(r"\b([Oo]ne|[Aa]|[Ee]very|[Tt]his|[Tt]hat) (\S+ )?\{m\}|\{m\}.* (is|it|its|was|deserves|came|got)\b")
_PLURAL = frozenset("clothes people police".split())
_UNCOUNTABLE = frozenset(
    """amusement anger ballet beer bedtime booze bread christmas cinema clothing communication death education
    entertainment evil fantasy fear fire food football fruit ground hair halloween honey ice life light magic math
    love mail medicine milk money music nature paper punctuation rain religion rice romance safety science shopping sleep smoke snow
    space speech sport sweat tea tennis traffic volume water weather""".split()
)


@dataclass
class Post:
    """A sentence and where the mention stands in it."""

    sentence: str
    start: int
    end: int


def write_post(draw: Draw, mention: str, context: list[str], lengths: list[int], fillers: Collection[str]) -> Post:
    """A post about `mention` with the `context` words and neutral fillers in its places.

    Args:
        draw (`Draw`): where its choices come from.
        mention (`str`): the ambiguous word.
        context (`list[str]`): words that tell what is meant, at most 3.
        lengths (`list[int]`): lengths of context words in general; fillers are as long as a word drawn from them, so
            that the number of characters does not tell how many places hold fillers.
        fillers (`Collection[str]`): words that say nothing about any entity.
    """
    places = int(draw.weighted(PLACES))
    words = context + [_filler(draw, draw.choice(lengths), fillers, mention) for _ in range(places - len(context))]
    words = draw.shuffled(words)
    aside_words, hashtags = _divided(draw, words)
    before = [_filled(draw, draw.choice(OPENERS))] if draw.uniform() < 0.5 else []
    after = [_filled(draw, draw.choice(CLOSERS))] if draw.uniform() < 0.5 else []
    aside = draw.choice(ASIDES[len(aside_words)])
    for name, word in zip("ab", aside_words, strict=False):
        aside = aside.replace(f"{{{name}}}", word).replace(f"{{{name.upper()}}}", word.capitalize())
    clause = _filled(draw, draw.choice(_clauses(mention)))
    parts = draw.choice([[clause, aside], [clause, aside], [aside, clause]])
    tail = " ".join(f"#{word}" for word in hashtags)
    sentence = " ".join(part for part in [*before, *parts, *after, tail] if part)
    if draw.uniform() < 0.3:
        sentence = sentence.lower()
    sentence = _articles(sentence, mention)
    start = sentence.index("{m}")
    return Post(sentence.replace("{m}", mention), start, start + len(mention))


def _divided(draw: Draw, words: list[str]) -> tuple[list[str], list[str]]:
    """None, one or two words for the text, the others as hashtags."""
    inside = draw.below(3)
    return words[:inside], words[inside:]


def _filler(draw: Draw, length: int, fillers: Collection[str], mention: str) -> str:
    allowed = [word for word in fillers if mention not in word]
    distance = min(abs(len(word) - length) for word in allowed)
    return draw.choice([word for word in allowed if abs(len(word) - length) == distance])


def _filled(draw: Draw, phrase: str) -> str:
    """The phrase with its blanks filled, all but that of the mention."""
    for name, values in BLANKS.items():
        while f"{{{name}}}" in phrase:
            phrase = phrase.replace(f"{{{name}}}", draw.choice(values), 1)
    return phrase[:1].upper() + phrase[1:]


def _clauses(mention: str) -> list[str]:
    """The clauses that fit the number of the mention and do not hold the same word elsewhere."""
    plural = mention in _PLURAL or (mention.endswith("s") and not mention.endswith(("ss", "us", "is", "christmas")))
    fits = [clause for clause in CLAUSES if mention not in clause.lower()]
    if plural or mention in _UNCOUNTABLE:
        fits = [clause for clause in fits if _ANY_NUMBER.search(clause) and not _ONE.search(clause)]
    return fits


def _articles(sentence: str, mention: str) -> str:
    """`a` becomes `an` before a vowel, also before that of the mention."""
    sentence = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", sentence)
    return re.sub(r"\b([Aa]) (?=\{m\})", r"\1n ", sentence) if mention[0] in "aeiou" else sentence


def neutral_fillers(vocabulary: set[str]) -> list[str]:
    """The fillers that no entity has in its name or among its keywords."""
    return sorted(set(FILLERS) - vocabulary)
