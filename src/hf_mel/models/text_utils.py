"""Functions of strings that the processors use: cutting, separators, templates, checks of lists."""

import bisect
from collections.abc import Callable

from PIL import Image

from .graphemes import cut_places


_SEPARATORS = ("|", ",", ";", ":", "-", ".")


def window_around(text: str, start: int, end: int, fits: Callable[[str], bool]) -> str:
    """
    The longest part of `text` around `text[start:end]` that fits, cut where [`cut_places`] are: between words, or between
    graphemes in scripts without spaces.

    Args:
        text (`str`): What is too long.
        start (`int`): First character of the span that has to stay.
        end (`int`): Character after the span.
        fits (`Callable`): Whether a part is short enough.

    Returns:
        `str`: The window, which is the bare span if nothing more fits.

    Example:

    ```python
    >>> from hf_mel.models.text_utils import window_around

    >>> window_around("one two three four five", 8, 13, lambda part: len(part) <= 14)
    'two three four'
    ```
    """

    places = cut_places(text)
    lefts = [place for place in places if place < start] + [start]
    rights = [end] + [place for place in places if place > end]

    def window(radius: int) -> str:
        left = lefts[bisect.bisect_left(lefts, start - radius)]
        right = rights[bisect.bisect_right(rights, end + radius) - 1]
        return text[left:right].strip()

    low, high = 0, max(start, len(text) - end)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(window(middle)):
            low = middle
        else:
            high = middle - 1
    return window(low)


def as_list(values) -> list:
    return [values] if isinstance(values, str) else list(values)


def same_length(name: str, reference: list, **others) -> list[list]:
    """Each of `others` as a list as long as `reference`; `None` becomes a list of `None`."""
    lists = []
    for other, values in others.items():
        if values is None:
            values = [None] * len(reference)
        elif isinstance(values, (str, int, Image.Image)):
            values = [values]
        if len(values) != len(reference):
            raise ValueError(f"`{other}` has {len(values)} items, but `{name}` has {len(reference)}.")
        lists.append(list(values))
    return lists


def refuse_empty(name: str, texts: list[str]) -> None:
    empty = [position for position, text in enumerate(texts) if not text or not text.strip()]
    if empty:
        raise ValueError(f"`{name}` is empty at position {', '.join(map(str, empty))}.")


def check_template(name: str, template: str, head: str, body: str) -> None:
    """The head comes first, because truncation is on the right."""
    positions = [template.find("{" + field + "}") for field in (head, "separator", body)]
    if min(positions) < 0 or positions[0] > positions[2]:
        raise ValueError(f"`{name}` must hold {{{head}}}, {{separator}} and then {{{body}}}, got {template!r}.")


def _knows(tokenizer, text: str) -> bool:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return len(ids) > 0 and (text == tokenizer.sep_token or tokenizer.unk_token_id not in ids)


def find_separator(tokenizer, separator: str | None) -> str:
    if separator is not None:
        if not _knows(tokenizer, separator):
            raise ValueError(f"The tokenizer does not know the `separator` {separator!r}; choose another one.")
        return separator
    if tokenizer.sep_token is not None:
        return tokenizer.sep_token
    for candidate in _SEPARATORS:
        if _knows(tokenizer, candidate):
            return candidate
    raise ValueError(f"The tokenizer knows none of {' '.join(_SEPARATORS)}: give a `separator`.")
