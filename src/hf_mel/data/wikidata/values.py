"""Statements of an entity: which of them count, and their values as text."""

import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote

from ..mention_checks import text_fault


COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath/"

_TIME = re.compile(r"([+-]?)0*(\d+)(?:-|$)")
_UNIT = re.compile(r"/entity/(Q\d+)$")


def best_values(claims: dict, property_id: str, left_out: Counter) -> list[dict | str]:
    """Values of the statements with the best rank: the preferred ones if there are any, else the normal ones.

    Args:
        claims (`dict`): statements by property.
        property_id (`str`): such as `"P106"`.
        left_out (`Counter`): counts what is left out: `deprecated` and `outranked` statements, the snaks `novalue` and
            `somevalue`, and values of an `unknown_type`.

    Returns:
        `list`: a `str`, or a `dict` that refers to the label of an entity: `{"id"}` or `{"text", "unit"}`.
    """
    statements = claims.get(property_id) or []
    current = [each for each in statements if each.get("rank") != "deprecated"]
    left_out["deprecated"] += len(statements) - len(current)
    preferred = [each for each in current if each.get("rank") == "preferred"]
    if preferred:
        left_out["outranked"] += len(current) - len(preferred)
        current = preferred
    values = []
    for statement in current:
        snak = statement["mainsnak"]
        if snak["snaktype"] != "value":
            left_out[snak["snaktype"]] += 1
            continue
        value = _value(snak["datavalue"])
        if value is None:
            left_out["unknown_type"] += 1
        elif value not in values:
            values.append(value)
    return values


def entity_ids(values: list[dict | str]) -> list[str]:
    """Ids among values, without those of units."""
    return [value["id"] for value in values if isinstance(value, dict) and "id" in value]


def references(value: dict | str) -> str | None:
    """The id whose label a value needs, if any."""
    return None if isinstance(value, str) else value.get("id") or value["unit"]


def as_text(value: dict | str, label_of: Callable[[str], str]) -> str:
    """A value as text, with labels for ids."""
    if isinstance(value, str):
        return value
    return label_of(value["id"]) if "id" in value else f"{value['text']} {label_of(value['unit'])}"


def picture_url(file_name: str) -> str:
    """Place of a picture on Wikimedia Commons.

    Example:

    ```python
    >>> from hf_mel.data.wikidata.values import picture_url

    >>> picture_url("Ada Lovelace & friends.jpg")
    'https://commons.wikimedia.org/wiki/Special:FilePath/Ada_Lovelace_%26_friends.jpg'
    ```
    """
    return COMMONS + quote(file_name.replace(" ", "_"), safe="")


def year(time: str) -> str | None:
    """The year of a time value; `None` if there is none.

    Example:

    ```python
    >>> from hf_mel.data.wikidata.values import year

    >>> year("+1815-12-10T00:00:00Z"), year("-0044-03-15T00:00:00Z")
    ('1815', '44 BC')
    ```
    """
    match = _TIME.match(time)
    return f"{match[2]}{' BC' if match[1] == '-' else ''}" if match else None


class NoText(ValueError):
    """A text that holds what is no text."""


def clean(text: str) -> str:
    """Text in one line.

    Raises:
        `NoText`: it holds what is no text, see [`text_fault`].
    """
    fault = text_fault(text)
    if fault is not None:
        raise NoText(f"a text {fault}")
    return " ".join(text.split())


def _value(datavalue: dict) -> dict | str | None:
    kind, value = datavalue["type"], datavalue["value"]
    if kind == "wikibase-entityid":
        return {"id": clean(value["id"]) if "id" in value else _id_of(value)}
    if kind == "string":
        return clean(value) or None
    if kind == "monolingualtext":
        return clean(value["text"]) or None
    if kind == "time":
        return year(value["time"])
    if kind == "quantity":
        amount, unit = value["amount"].removeprefix("+"), _UNIT.search(value.get("unit") or "")
        return {"text": amount, "unit": unit[1]} if unit else amount
    if kind == "globecoordinate":
        return f"{round(float(value['latitude']), 4)} {round(float(value['longitude']), 4)}"
    return None


def _id_of(value: dict) -> str:
    """The id in dumps of before 2017, which have its number only."""
    return f"{'P' if value['entity-type'] == 'property' else 'Q'}{int(value['numeric-id'])}"
