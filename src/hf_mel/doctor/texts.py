"""Normal forms of names and captions, so that what only looks different compares equal."""

import unicodedata

from ..names import text_words


def normal_name(name: str) -> str:
    """A name without what only looks different: case, width, spacing, underscores."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def normal_caption(caption: str) -> str:
    """The words of a caption ([`text_words`]), without case, width, spacing and punctuation."""
    return " ".join(text_words(unicodedata.normalize("NFKC", caption).casefold()))
