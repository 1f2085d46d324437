"""From lines of JSON to entities whose values are not yet labelled: what one process does with a batch of lines."""

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .findings import Findings
from .labels import label_key
from .options import DESCRIPTION, MUL, WikidataOptions, is_pid, is_qid
from .values import NoText, best_values, clean, entity_ids


INSTANCE_OF, PICTURE = "P31", "P18"

# Kinds of findings that are not about a record which is left out.
BAD_LINES, FOLLOWED = "bad_lines", "redirects_followed"


@dataclass
class Batch:
    """Entities of a batch of lines.

    Args:
        read (`int`): records of the batch, those that are left out included.
        blob (`bytes`): the kept records, compressed; see [`unpacked`].
        kept (`dict[int, str]`): their ids by the number of the record in the batch.
        labels (`list[tuple[int, int, str]]`): of every labelled item and property: key, number of the record, label.
        findings ([`Findings`]): bad lines, redirects, and records that were left out, by reason.
    """

    read: int = 0
    blob: bytes = b""
    kept: dict[int, str] = field(default_factory=dict)
    labels: list[tuple[int, int, str]] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


class _LeftOut(Exception):
    """An entity that is not kept: the reason and its name."""


class _Malformed(Exception):
    """A record with a part that is not written as Wikidata writes it; the part is named."""


@contextmanager
def _reading(part: str) -> Iterator[None]:
    """Names the part of a record that cannot be read, instead of what Python says about it."""
    try:
        yield
    except NoText as error:
        raise _Malformed(f"`{part}`: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _Malformed(f"`{part}` is not written as in a dump of Wikidata") from error


def _no_records(error: Exception) -> str:
    """Reason why a line holds no records."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} (character {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    return "is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]


def read_batch(first: int, lines: list[bytes], options: WikidataOptions) -> Batch:
    """Parses lines and keeps the entities that pass the filters.

    Args:
        first (`int`): the number of the first line, from 1.
        lines (`list[bytes]`): lines of a dump, of JSON lines, or answers of an endpoint.
        options ([`WikidataOptions`]): languages, properties and filters.
    """
    batch, kept = Batch(), []
    for number, line in enumerate(lines, start=first):
        try:
            records = records_of(line)
        except (ValueError, RecursionError) as error:
            batch.findings.add(BAD_LINES, f"line {number}: {_no_records(error)}")
            continue
        for key, record in records:
            try:
                kept.append(_entity(key, record, options, batch))
                batch.kept[batch.read] = kept[-1]["id"]
            except _LeftOut as left:
                batch.findings.add(*left.args)
            except _Malformed as fault:
                name = record.get("id") if isinstance(record, dict) else None
                batch.findings.add("malformed", f"{name or key or 'a record'} in line {number}: {fault}")
            batch.read += 1
    batch.blob = zlib.compress(json.dumps(kept).encode("ascii"), 1)
    return batch


def unpacked(blob: bytes) -> list[dict]:
    """The records of a batch: `row`, `id`, `name`, `language`, `aliases`, `description`, `types`, `sitelinks`, `picture`,
    `statements` and `left_out`."""
    return json.loads(zlib.decompress(blob))


def records_of(line: bytes) -> list[tuple[str | None, dict]]:
    """Records of a line, with the key under which an answer lists them.

    A line is an entity of a dump (a comma at its end), a bracket that opens or closes the array, or an object with
    `entities`, as `Special:EntityData` and `wbgetentities` have it.

    Raises:
        `ValueError`: the line is not JSON, or neither an object nor an array of them.
    """
    text = line.strip().removeprefix(b"\xef\xbb\xbf").removeprefix(b"[").rstrip().rstrip(b",").rstrip()
    if text.endswith(b"]"):
        text = text[:-1].rstrip().rstrip(b",")
    if not text:
        return []
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data") or b"," not in text:
            raise
        content = json.loads(b"[" + text + b"]")  # a whole array in one line
    if isinstance(content, dict) and "entities" in content and "id" not in content:
        return list(content["entities"].items()) if isinstance(content["entities"], dict) else []
    contents = content if isinstance(content, list) else [content]
    for each in contents:
        if not isinstance(each, dict):
            raise ValueError(f"a JSON object is expected, not {str(each)[:40]!r}")
    return [(None, each) for each in contents]


def _entity(key: str | None, record: dict, options: WikidataOptions, batch: Batch) -> dict:
    """The kept parts of an entity, or raises `_LeftOut`. Notes its label, also if it is left out."""
    if not isinstance(record, dict):
        raise _Malformed(f"is {str(record)[:40]!r}, not an object")
    entity_id = _item_id(key, record, options, batch)
    redirects = record.get("redirects")
    asked = redirects.get("from", key) if isinstance(redirects, dict) else key
    if asked is not None and asked != entity_id:
        batch.findings.add(FOLLOWED, f"{asked} -> {entity_id}")
    if not record.get("labels"):
        raise _LeftOut("no_label", entity_id)
    labels = _texts(record, "labels", options)
    language = _first(labels, options)
    if language is None:
        raise _LeftOut("language", entity_id)
    name = labels[language]
    batch.labels.append((label_key(entity_id), batch.read, name))
    claims, left_out = record.get("claims") or {}, Counter()
    types = [each for each in entity_ids(_values(claims, INSTANCE_OF, left_out)) if is_qid(each)]
    if options.types and not set(types) & set(options.types):
        raise _LeftOut("type", entity_id)
    with _reading("sitelinks"):
        sitelinks = len(record.get("sitelinks") or {})
    if sitelinks < options.min_sitelinks:
        raise _LeftOut("sitelinks", entity_id)
    descriptions = _texts(record, "descriptions", options)
    description = descriptions.get(_first(descriptions, options))
    pictures = [value for value in _values(claims, PICTURE, left_out) if isinstance(value, str)]
    statements = []
    for each in options.properties:
        counted = Counter() if each in (INSTANCE_OF, PICTURE) else left_out  # those two are counted above
        statements.append([each, _values(claims, each, counted)])
    if DESCRIPTION in options.properties and description is not None:
        statements[options.properties.index(DESCRIPTION)][1] = [description.rstrip(".")]
    return {
        "row": batch.read,
        "id": entity_id,
        "name": name,
        "language": language,
        "aliases": _aliases(record, labels, name, options),
        "description": description,
        "types": types,
        "sitelinks": sitelinks,
        "picture": pictures[0] if pictures else None,
        "statements": [[each, values] for each, values in statements if values],
        "left_out": {kind: count for kind, count in left_out.items() if count},
    }


def _item_id(key: str | None, record: dict, options: WikidataOptions, batch: Batch) -> str:
    """The id of an item. Everything else is left out; the label of a property is noted."""
    if "missing" in record:
        raise _LeftOut("missing", str(record.get("id", key)))
    if "redirect" in record:
        raise _LeftOut("redirect", f"{record.get('entity', key)} -> {record['redirect']}")
    entity_id = record.get("id")
    if not isinstance(entity_id, str):
        raise _LeftOut("not_an_entity", ", ".join(list(record)[:5]) or "an empty object")
    if is_pid(entity_id):
        labels = _texts(record, "labels", options)
        language = _first(labels, options)
        if language is not None:
            batch.labels.append((label_key(entity_id), batch.read, labels[language]))
        raise _LeftOut("property", entity_id)
    if not is_qid(entity_id):
        raise _LeftOut("lexeme" if record.get("type") == "lexeme" else "other_kind", entity_id[:40])
    return entity_id


def _texts(record: dict, part: str, options: WikidataOptions) -> dict[str, str]:
    """Labels or descriptions by chosen language. An empty part is `[]` in many dumps."""
    with _reading(part):
        given = dict(record.get(part) or {})
        texts = {language: clean(given[language]["value"]) for language in options.order if language in given}
    return {language: text for language, text in texts.items() if text}


def _values(claims: dict, property_id: str, left_out: Counter) -> list[dict | str]:
    """[`best_values`]; a property that cannot be read is named."""
    with _reading(f"claims.{property_id}"):
        return best_values(claims, property_id, left_out)


def _first(texts: dict[str, str], options: WikidataOptions) -> str | None:
    return next((language for language in options.order if language in texts), None)


def _aliases(record: dict, labels: dict[str, str], name: str, options: WikidataOptions) -> list[str]:
    """Labels and aliases in the chosen languages, then those of `mul`; no text twice, and not the name."""
    found = [labels[language] for language in options.order if language in labels and language != MUL]
    with _reading("aliases"):
        given = dict(record.get("aliases") or {})
        for language in options.order:
            if language == MUL and MUL in labels:
                found.append(labels[MUL])
            found += [clean(alias["value"]) for alias in given.get(language) or []]
    return [alias for alias in dict.fromkeys(found) if alias and alias != name]
