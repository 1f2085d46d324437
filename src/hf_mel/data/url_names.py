"""URLs in place of files: recognised, and shown without secrets."""

import re


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(text) -> bool:
    """Returns `True` if a text names a place on the web, or elsewhere by a scheme, in place of a file."""
    return isinstance(text, str) and _URL.match(text) is not None


def shown_url(url: str) -> str:
    """A URL without user, password and query, which may be secret."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/?#]*@", "", url))[0]
