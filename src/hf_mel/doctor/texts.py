"""Normal forms of names and captions, so that what only looks different compares equal."""

import re
import unicodedata


def normal_name(name: str) -> str:
    """A name without what only looks different: case, width, spacing, underscores."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())


def normal_caption(caption: str) -> str:
    """The words of a caption, without case, width, spacing and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", caption).casefold()))
