"""The normal form of a name, by which names are compared everywhere in this package."""

import re
import unicodedata


# Accents and points that are written on letters: Latin, Greek and Cyrillic, Hebrew, Arabic; and the marks that choose the
# look of a sign. Marks of other scripts, such as the vowels of Devanagari or the voicing of kana, are part of the letter.
_MARKS = dict.fromkeys(
    [
        *range(0x0300, 0x0370),
        *(*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7),
        *(0x0640, *range(0x064B, 0x0660), 0x0670),
        *range(0xFE00, 0xFE10),
    ]
)
_TRADE_SIGNS = dict.fromkeys(map(ord, "™®©℠"))  # NFKC would make letters of them
# A title's note behind a space, or behind a letter of a script that writes none: "Bat (animal)", "苹果（公司）", not "f(x)".
_NOTE = re.compile(r"(?<=\S)(?:\s+|(?<=[^\x00-\x7f]))\([^()]*\)\s*$")
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(f"[{_HAN}]|[\u3041-\u309f]+|[\u30a1-\u30ff]+|[^ {_HAN}\u3041-\u309f\u30a1-\u30ff]+")
_LONGEST_ACRONYM = 10


class _Separators(dict):
    """Translation table: punctuation and white space to a space, what has no width to nothing. Filled when asked."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        if category == "Cf":
            self[code] = ""
        else:
            self[code] = " " if category[0] in "PZC" or category == "Sk" else code
        return self[code]


_SEPARATORS = _Separators()


def fold(text: str) -> str:
    """
    A text as names are compared: Unicode NFKC, without case and accents, punctuation as single spaces.

    Letters of all scripts stay what they are; nothing is turned into ASCII. Signs that are no punctuation stay too ("C++").
    A text of punctuation alone keeps it.

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
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_TRADE_SIGNS))
        text = unicodedata.normalize("NFKD", text.casefold()).translate(_MARKS)
        text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
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
    Tokens of a normal form: words; of Chinese characters, which have no spaces between words, each one.

    Args:
        normal (`str`): What [`normal_name`] or [`fold`] returned.

    Example:

    ```python
    >>> from hf_mel.names import name_tokens

    >>> name_tokens("robin williams"), name_tokens("北京 university"), name_tokens("さいたま市")
    (['robin', 'williams'], ['北', '京', 'university'], ['さいたま', '市'])
    ```
    """
    return _TOKEN.findall(normal)


def token_starts(normal: str) -> list[int]:
    """Positions at which the tokens of a normal form begin."""
    return [token.start() for token in _TOKEN.finditer(normal)]


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
