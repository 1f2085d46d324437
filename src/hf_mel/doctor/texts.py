"""Normal form of names, so that what only looks different compares equal."""

import unicodedata


def normal_name(name: str) -> str:
    """A name without what only looks different: case, width, spacing, underscores."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
