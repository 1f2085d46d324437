"""Graphemes (characters as readers see them), scripts without spaces between words, and places where a text may be cut."""

import unicodedata

import regex


# For a character class: scripts that write no spaces between words. `LB=SA` is Unicode's class of Thai, Lao, Khmer, Burmese
# and their kin, marks included.
UNSPACED = r"\p{LB=SA}\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}ー"
_UNSPACED = regex.compile(f"[{UNSPACED}]")
# Korean has spaces, but writes particles onto the word, so that a name may end where no word does.
_OPEN_ENDED = regex.compile(rf"[{UNSPACED}\p{{Hangul}}]")
_GRAPHEME = regex.compile(r"\X")
_RUN = regex.compile(r"\S+")
# A run of more characters without a space is no word, but a URL, a hashtag or a text whose spaces were lost.
_LONGEST_WORD = 50
_JOINERS = "\u200c\u200d"


def graphemes(text: str) -> list[str]:
    """
    Characters of a text as readers see them (Unicode's extended grapheme clusters): a letter with its marks, a flag, an
    emoji with its skin tone or with what it is joined to.

    Example:

    ```python
    >>> from hf_mel.models.graphemes import graphemes

    >>> [len(each) for each in graphemes("e\u0301a🇩🇪👍🏽")]
    [2, 1, 2, 2]
    ```
    """
    return _GRAPHEME.findall(text)


def cut_places(text: str) -> list[int]:
    """
    Places between graphemes where a text may be cut, ascending: beginning and end of each word, and in scripts without
    spaces between words, or in a word of more than 50 characters, every place between two graphemes.

    Example:

    ```python
    >>> from hf_mel.models.graphemes import cut_places

    >>> cut_places("a cat"), cut_places("我喝茶 too")
    ([0, 1, 2, 5], [0, 1, 2, 3, 4, 7])
    ```
    """
    places = []
    for run in _RUN.finditer(text):
        start, end = run.span()
        begins = is_boundary(text, start)
        within = end - start > _LONGEST_WORD
        if not (within or is_unspaced(run[0])):
            places += [start, end] if begins else [end]
            continue
        bounds = [grapheme.start() for grapheme in _GRAPHEME.finditer(text, start, end)]
        inner = [place for place in bounds[1:] if within or is_unspaced(text[place - 1 : place + 1])]
        places += [*([start] if begins else []), *inner, end]
    return places


def shortened(text: str, most: int, end: str = "...") -> str:
    """
    The beginning of a text, cut at the last of its [`cut_places`], and `end`. A first word that is too long is cut between
    graphemes.

    Args:
        text (`str`): The text.
        most (`int`): Largest number of characters, without `end`. A text that is no longer is returned whole.
        end (`str`, *optional*, defaults to `"..."`): Marks a text that was cut.

    Example:

    ```python
    >>> from hf_mel.models.graphemes import shortened

    >>> shortened("a capital city", 11), shortened("中华人民共和国首都", 4), shortened("short", 11)
    ('a capital...', '中华人民...', 'short')
    ```
    """
    if len(text) <= most:
        return text
    head = text[: most + _LONGEST_WORD + 1]  # a run that goes on behind it is too long for a word in any case
    places = [place for place in cut_places(head) if 0 < place <= most]
    places = places or [match.end() for match in _GRAPHEME.finditer(head) if match.end() <= most] or [0]
    return text[: places[-1]].rstrip() + end


def columns_of(text: str) -> int:
    """Columns of a terminal that a text takes: two for a wide grapheme, such as a Chinese character or an emoji."""
    return sum(1 + any(unicodedata.east_asian_width(each) in "WF" for each in one) for one in graphemes(text))


def is_boundary(text: str, place: int) -> bool:
    """`True` if no grapheme is cut at this place."""
    # A match ends where a grapheme does, wherever it begins.
    return not 0 < place < len(text) or _GRAPHEME.match(text, place - 1).end() == place


def in_one_word(text: str, place: int) -> bool:
    """
    `True` if no word ends at this place: letters, digits and their marks stand on both sides, or a grapheme would be cut.
    In scripts without spaces, and in Korean, whose particles are written onto the word, words may end at any grapheme.

    Example:

    ```python
    >>> from hf_mel.models.graphemes import in_one_word

    >>> in_one_word("Anna", 3), in_one_word("Ann.", 3), in_one_word("北京", 1), in_one_word("e\u0301", 1)
    (True, False, False, True)
    ```
    """
    if not 0 < place < len(text):
        return False
    if not is_boundary(text, place):
        return True
    left, right = text[place - 1], text[place]
    if left in _JOINERS or right in _JOINERS:
        return True
    letters = all(unicodedata.category(each)[0] in "LNM" for each in (left, right))
    return letters and not (_OPEN_ENDED.match(left) or _OPEN_ENDED.match(right))


def is_unspaced(text: str) -> bool:
    """`True` if a text holds letters of a script without spaces between words."""
    return _UNSPACED.search(text) is not None


def is_open_ended(text: str) -> bool:
    """`True` if a text holds letters of a script in which a name may end where no word does: one without spaces, or Korean."""
    return _OPEN_ENDED.search(text) is not None
