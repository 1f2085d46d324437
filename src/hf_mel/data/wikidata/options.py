"""Choices of the reader of Wikidata, checked without importing anything that takes long."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass


MUL = "mul"
"""Language code of labels and aliases that hold in every language ("default for all languages")."""

DESCRIPTION = "description"
"""Name among the properties that puts an entity's description into its attributes."""

_QID = re.compile(r"Q[1-9]\d{0,17}")
_PID = re.compile(r"P[1-9]\d{0,17}")
_ATTRIBUTE = re.compile(rf"{_PID.pattern}|{DESCRIPTION}")
_LANGUAGE = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class WikidataOptions:
    """Choice of the entities that are kept, and of their parts.

    Args:
        languages (`tuple[str]`, *optional*, defaults to `("en",)`): codes in the order in which names and descriptions
            are looked up. `mul` is looked up last, whether or not it is given.
        properties (`tuple[str]`, *optional*): properties whose values become `attributes`, in this order; `"description"`
            among them stands for the description.
        types (`tuple[str]`, *optional*): keep entities that are a direct instance (P31) of one of these; all by default.
        min_sitelinks (`int`, *optional*, defaults to 0): keep entities with at least so many sitelinks.

    Raises:
        `ValueError`: no language, a code, QID or property that is none, or a negative number.

    Example:

    ```python
    >>> from hf_mel.data.wikidata import WikidataOptions

    >>> WikidataOptions(languages=("de", "en")).order
    ('de', 'en', 'mul')
    ```
    """

    languages: Sequence[str] = ("en",)
    properties: Sequence[str] = ()
    types: Sequence[str] = ()
    min_sitelinks: int = 0

    def __post_init__(self):
        for name in ("languages", "properties", "types"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name}={getattr(self, name)!r}: pass a list of strings")
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        if not self.languages:
            raise ValueError("`languages` is empty: name at least one, such as en")
        for name, pattern, example in (
            ("languages", _LANGUAGE, "de or pt-br"),
            ("properties", _ATTRIBUTE, "P106, or description"),
            ("types", _QID, "Q5"),
        ):
            for word in getattr(self, name):
                if not pattern.fullmatch(word):
                    raise ValueError(f"{name}={word!r} is not of the form {example}")
        if self.min_sitelinks < 0:
            raise ValueError(f"min_sitelinks={self.min_sitelinks}: it must not be negative")

    @property
    def order(self) -> tuple[str, ...]:
        """The languages with `mul` at the end."""
        return (*(language for language in self.languages if language != MUL), MUL)

    def to_dict(self) -> dict:
        """The choices for a report."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def is_qid(text) -> bool:
    """Returns `True` for the id of an item, such as `"Q42"`."""
    return isinstance(text, str) and _QID.fullmatch(text) is not None


def is_pid(text) -> bool:
    """Returns `True` for the id of a property, such as `"P31"`."""
    return isinstance(text, str) and _PID.fullmatch(text) is not None


def check_endpoint(endpoint: str) -> None:
    """Raises a `ValueError` if an endpoint is not a URL of `http` or `https`."""
    if not re.match(r"https?://[^/\s]+", endpoint):
        raise ValueError(f"`endpoint` {endpoint!r} is no URL; write one such as https://www.wikidata.org/w/api.php")
