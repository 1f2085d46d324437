"""Checks of the texts and offsets of a mention, the same for every way of passing one in."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import regex


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# Letters of scripts with spaces between words, their marks, digits. In Korean a particle may follow the name.
_IN_WORD = regex.compile(r"(?V1)[[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Extend}\p{N}_]--\p{Hangul}]")


def text_fault(text: str) -> str | None:
    """
    Returns the reason why a string cannot be used as a text, or `None` if it can.

    Example:

    ```python
    >>> from hf_mel.data.mention_checks import text_fault

    >>> text_fault("Ada \U0001f600")
    >>> text_fault("A\\0d\\0a\\0")
    'holds a null character (character 1): it is no text, or was read in the wrong encoding'
    ```
    """
    found = _NO_TEXT.search(text)
    if found is None:
        return None
    if found[0] == "\0":
        return f"holds a null character (character {found.start()}): it is no text, or was read in the wrong encoding"
    return f"holds half of a surrogate pair (character {found.start()}), which is no character: {text!r:.60}"


def find_mention(mention: str, text: str, turn: int = 1) -> tuple[int, int] | None:
    """
    Finds a mention in its text.

    The exact spelling comes first, and whole words come before parts of words. A mention in another case is found only
    where there is one such place.

    Args:
        mention (`str`): The mention.
        text (`str`): Its text.
        turn (`int`, *optional*, defaults to 1): Which of several exact occurrences; the last if there are fewer.

    Returns:
        `tuple[int, int]`: its first character and the one after its last; `None` where it does not occur.

    Example:

    ```python
    >>> from hf_mel.data.mention_checks import find_mention

    >>> find_mention("Ann", "Anna met Ann."), find_mention("jug", "The JUG."), find_mention("jug", "JUG, Jug")
    ((9, 12), (4, 7), None)
    ```
    """
    if mention in text:
        return locate_mentions(text, [mention] * turn)[-1]
    if mention.casefold() not in text.casefold():
        return None
    # Ignoring case in a regular expression keeps the length, which `casefold` may change. It takes more letters for equal
    # than `casefold` does, such as the dotless i and i.
    starts = [found.start() for found in re.finditer(f"(?={re.escape(mention)})", text, re.IGNORECASE)]
    starts = [start for start in starts if stands_at(mention, text, start, start + len(mention))]
    places = [start for start in starts if _is_whole(text, start, start + len(mention))] or starts
    return (places[0], places[0] + len(mention)) if len(places) == 1 else None


def locate_mentions(sentence: str | None, mentions: Sequence[str | None]) -> list[tuple[int, int] | None]:
    """Character offsets of each mention, `None` where it does not stand in the sentence literally.

    The n-th of equal mentions takes the n-th occurrence, or the last if there are fewer. Whole words count first, so
    that `"Ann"` is not found in `"Anna"` when it also stands alone.
    """
    seen: Counter[str] = Counter()
    spans = []
    for mention in mentions:
        found = []
        if sentence and mention:
            found = _occurrences(sentence, mention, True) or _occurrences(sentence, mention, False)
        start = found[min(seen[mention], len(found) - 1)] if found else None
        spans.append((start, start + len(mention)) if start is not None else None)
        seen[mention] += 1
    return spans


def _occurrences(sentence: str, mention: str, whole_words: bool) -> list[int]:
    """
    Returns the positions of the mention in the sentence. A regular expression for each of many mentions would take far
    longer.
    """

    starts = []
    start = sentence.find(mention)
    while start >= 0:
        end = start + len(mention)
        fits = not whole_words or _is_whole(sentence, start, end)
        if fits:
            starts.append(start)
        start = sentence.find(mention, end if fits else start + 1)
    return starts


def _is_whole(text: str, start: int, end: int) -> bool:
    """Returns `True` if no word goes on before `start` or after `end`."""
    return not (start > 0 and _IN_WORD.match(text, start - 1) or _IN_WORD.match(text, end))


def place_mention(
    mention: str,
    text: str,
    start: int | None = None,
    end: int | None = None,
    *,
    turn: int = 1,
    called: Callable[[str], str] = "`{}`".format,
) -> tuple[int, int] | None:
    """
    Checks the offsets of a mention where they are given, and finds them where they are not.

    Args:
        mention (`str`): The mention.
        text (`str`): Its text.
        start (`int`, *optional*): Its first character.
        end (`int`, *optional*): The character after its last. Not given alone.
        turn (`int`, *optional*, defaults to 1): As in [`find_mention`].
        called (`Callable`, *optional*): Gives the caller's name of `"start"` and `"end"` for messages.

    Returns:
        `tuple[int, int]`: `start` and `end`. `None` where neither is given and the mention does not occur.

    Raises:
        `ValueError`: the mention does not stand at the offsets. Upper and lower case may differ.

    Example:

    ```python
    >>> from hf_mel.data.mention_checks import place_mention

    >>> place_mention("jug", "The JUG.", 4)
    (4, 7)
    >>> place_mention("jug", "The JUG.", 0)
    Traceback (most recent call last):
    ...
    ValueError: at `start` 0 stands 'The', not the mention 'jug'; the mention stands at 4
    ```
    """
    if start is None and end is None:
        return find_mention(mention, text, turn)
    if start is None:
        raise ValueError(f"{called('end')} is given, but not {called('start')}")
    alone = end is None
    end = start + len(mention) if end is None else end
    if stands_at(mention, text, start, end):
        return start, end
    if alone and 0 <= start < len(text):
        wrong = f"at {called('start')} {start} stands {text[start:end]!r:.60}, not the mention {mention!r:.60}"
    elif alone:
        wrong = f"{called('start')} {start} is outside the text of {len(text):,} characters"
    else:
        wrong = f"{called('start')} {start} and {called('end')} {end} "
        if 0 <= start < end <= len(text):
            wrong += f"give {text[start:end]!r:.60}, not the mention {mention!r:.60}"
        else:
            wrong += f"are no part of the {len(text):,} characters of the text"
    raise ValueError(wrong + _explained(mention, text, start, end))


def stands_at(mention: str, text: str, start: int, end: int) -> bool:
    """Returns `True` if the characters from `start` to `end` are the mention, but for upper and lower case."""
    piece = text[start:end] if start >= 0 else ""  # a negative offset counts from the end in Python
    return 0 < len(piece) == len(mention) == end - start and piece.casefold() == mention.casefold()


def _explained(mention: str, text: str, start: int, end: int) -> str:
    """Returns the end of a message about offsets that do not fit: the unit that they count, or the right ones."""
    if start >= 0 and end >= 0:
        if text[start : end + 1] == mention:
            return "; `end` is the place after the last character, not of it"
        for unit, encoding, width in (("bytes", "utf-8", 1), ("UTF-16 units, as JavaScript does", "utf-16-le", 2)):
            wanted = mention.encode(encoding, "surrogatepass")
            last = start * width + len(wanted) if end == start + len(mention) else end * width
            if text.encode(encoding, "surrogatepass")[start * width : last] == wanted:
                return f"; these count {unit}, not characters"
        if unicodedata.normalize("NFC", text[start:end]) == unicodedata.normalize("NFC", mention):
            return "; the two differ in Unicode normalization only"
    found = find_mention(mention, text)
    return "" if found is None else f"; the mention stands at {found[0]}"
