"""The text tower that is part of the package, by its name."""

from pathlib import Path


STATIC_WORDS = "static-words"
"""Name of a text tower that needs no download: vectors of words, distilled from all-MiniLM-L6-v2 (see its README.md)."""

_FOLDER = Path(__file__).parents[1] / "static_words"


def tower_place(source: str | Path) -> str | Path:
    """
    The folder of the package's own tower for its name; every other source is returned as it is.

    Example:

    ```python
    >>> from hf_mel.models.static_words import tower_place

    >>> tower_place("static-words").is_dir(), tower_place("bert-base-uncased")
    (True, 'bert-base-uncased')
    ```
    """
    return _FOLDER if source == STATIC_WORDS else source
