"""The normal form of a name, by which names are compared everywhere in this package."""

import itertools
import re
import unicodedata

import regex

from ..models.graphemes import UNSPACED, graphemes


# Accents and points that are written on letters: Latin, Greek and Cyrillic, Hebrew, Arabic; and the marks that choose the
# look of a sign. Marks of other scripts, such as the vowels of Devanagari or the voicing of kana, are part of the letter.
_MARKS = dict.fromkeys(
    [
        *range(0x0300, 0x0370),
        *(*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7),
        *(0x0640, *range(0x064B, 0x0660), 0x0670),
        *range(0xFE00, 0xFE10),
        *range(0x1F3FB, 0x1F400),  # skin tones
    ]
)
# Letters that are written for each other: the Turkish i without a dot; Arabic yeh without dots and that of Persian, Persian
# kaf, and teh marbuta.
_VARIANTS = str.maketrans("ıىیکة", "iييكه")
_TRADE_SIGNS = dict.fromkeys(map(ord, "™®©℠"))  # NFKC would make letters of them
# A title's note behind a space, or behind a letter of a script that writes none: "Bat (animal)", "苹果（公司）", not "f(x)".
_NOTE = re.compile(r"(?<=\S)(?:\s+|(?<=[^\x00-\x7f]))\([^()]*\)\s*$")
# A Chinese character, a run of letters of another script without spaces, or a word: a normal form has spaces between words,
# another text has any other sign there.
_TOKEN = regex.compile(rf"(?V1)\p{{Han}}|(?P<run>[[{UNSPACED}]--\p{{Han}}]+)|[^ {UNSPACED}]+")
_WORD = regex.compile(rf"(?V1)\p{{Han}}|(?P<run>[[{UNSPACED}]--\p{{Han}}]+)|[[\w\p{{N}}]--[{UNSPACED}]]+")
_LONGEST_ACRONYM = 10


class _Letters(dict):
    """Translation table: digits of other scripts to 0-9, what has no width to nothing. Filled when asked."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        if category == "Nd":
            self[code] = str(unicodedata.decimal(chr(code)))
        else:
            self[code] = "" if category == "Cf" else code
        return self[code]


class _Separators(dict):
    """Translation table: punctuation and white space to a space, what has no width to nothing. Filled when asked."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        if category == "Cf":
            self[code] = ""
        else:
            self[code] = " " if category[0] in "PZC" or category == "Sk" else code
        return self[code]


_LETTERS, _SEPARATORS = _Letters(_MARKS | _VARIANTS), _Separators()


def fold_letters(text: str) -> str:
    """
    A text without what makes the same letters look different: case, width, accents and points, as [`fold`] lists them.
    Punctuation and spaces stay.

    Args:
        text (`str`): The text.

    Example:

    ```python
    >>> from hf_mel.names import fold_letters

    >>> fold_letters("ΑΘΉΝΑ, Αθήνα"), fold_letters("Iğdır = IĞDIR"), fold_letters("ﾀﾜｰ")
    ('αθηνα, αθηνα', 'igdir = igdir', 'タワー')
    ```
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_TRADE_SIGNS))
        text = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def fold(text: str) -> str:
    """
    A text as names are compared: Unicode NFKC, without case and accents, punctuation as single spaces.

    - Removed: case, width, accents of Latin, Greek and Cyrillic letters, points of Hebrew and vowel signs of Arabic, tatweel, skin
      tones, signs without width. Marks of other scripts are part of the letter and stay.
    - The same: ß and ss, σ and ς, i and ı, the forms of alef, yeh and ى, heh and teh marbuta, digits of all scripts.
    - Different: letters with a stroke (ł, ø, đ) and those without, hiragana and katakana, traditional and simplified characters.

    Nothing is turned into Latin letters. Signs that are no punctuation stay ("C++"). A text of punctuation alone keeps it.

    Args:
        text (`str`): The text.

    Returns:
        `str`: the folded text; folding it again changes nothing.

    Example:

    ```python
    >>> from hf_mel.names import fold

    >>> fold("Jean-Luc Gödel"), fold("Лев Толстой"), fold("!!!")
    ('jean luc godel', 'лев толстои', '!!!')
    ```
    """
    text = fold_letters(text)
    words = text.translate(_SEPARATORS).split()
    return " ".join(words) if words else "".join(text.split())


def without_note(name: str) -> str:
    """A name without the note in parentheses at the end of a title, as Wikipedia writes it: "Bat (animal)" is "Bat"."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name.translate(_TRADE_SIGNS))
    return _NOTE.sub("", name) if name.rstrip().endswith(")") else name


def normal_name(name: str) -> str:
    """
    The normal form of a name: [`fold`], without a note in parentheses at the end.

    Args:
        name (`str`): The name of an entity, or the words of a mention.

    Returns:
        `str`: two names are the same if their normal forms are equal.

    Example:

    ```python
    >>> from hf_mel.names import normal_name

    >>> normal_name("Bat (animal)"), normal_name("  ＢＡＴ "), normal_name("(animal)")
    ('bat', 'bat', 'animal')
    ```
    """
    return fold(without_note(name))


def name_tokens(normal: str) -> list[str]:
    """
    Tokens of a normal form: words; in scripts without spaces between words, each Chinese character, and every two neighbours of
    other letters, such as kana and Thai, so that a part of a name shares tokens with the whole.

    Args:
        normal (`str`): What [`normal_name`] or [`fold`] returned.

    Example:

    ```python
    >>> from hf_mel.names import name_tokens

    >>> name_tokens("robin williams"), name_tokens("北京 university"), name_tokens("さいたま市")
    (['robin', 'williams'], ['北', '京', 'university'], ['さい', 'いた', 'たま', '市'])
    ```
    """
    return _tokens(_TOKEN, normal)


def text_words(text: str) -> list[str]:
    """
    Words of any text, for counts: runs of letters with their marks and digits, the rest as in [`name_tokens`].

    Args:
        text (`str`): The text; its letters stay what they are.

    Example:

    ```python
    >>> from hf_mel.names import text_words

    >>> text_words("हिन्दी, C++"), text_words("タワー!")
    (['हिन्दी', 'C'], ['タワ', 'ワー'])
    ```
    """
    return _tokens(_WORD, text)


def token_starts(normal: str) -> list[int]:
    """Positions at which the tokens of a normal form begin."""
    starts = []
    for match in _TOKEN.finditer(normal):
        parts = _graphemes_of(match)[:-1] or [match[0]]
        starts += itertools.accumulate(map(len, parts[:-1]), initial=match.start())
    return starts


def _tokens(pattern: regex.Pattern, text: str) -> list[str]:
    tokens = []
    for match in pattern.finditer(text):
        parts = _graphemes_of(match)
        tokens += parts if len(parts) == 1 else map("".join, itertools.pairwise(parts))
    return tokens


def _graphemes_of(match: regex.Match) -> list[str]:
    """The graphemes of a run in a script without spaces; a word whole."""
    return graphemes(match["run"]) if match["run"] else [match[0]]


# ---- Acronyms ----


def acronym_of(name: str) -> str | None:
    """The folded letters of a name that is an acronym, such as "NATO" or "U.S."; `None` for any other name."""
    name = without_note(name)
    words = name.translate(_SEPARATORS).split()
    letters = "".join(words)
    if not (2 <= len(letters) <= _LONGEST_ACRONYM and letters.isalpha() and letters.isupper()):
        return None
    return fold(letters) if len(words) == 1 or len(words) == len(letters) else None


def initials_of(name: str) -> set[str]:
    """The folded initials of a name of several words: of all its words, and of those with a capital."""
    words = without_note(name).translate(_SEPARATORS).split()
    if len(words) < 2:
        return set()
    found = ("".join(word[0] for word in words), "".join(word[0] for word in words if word[0].isupper()))
    return {fold(each) for each in found if len(each) >= 2}
