"""The traces that quoting and wrong decoding leave in text."""

import html
import re
from collections.abc import Iterable
from urllib.parse import unquote

from ..data import KnowledgeBase
from .findings import Findings, Tally
from .mentions import Columns, mention_count, records


_KINDS = (
    "quoting_percent", "quoting_html", "quoting_escapes", "quoting_underscores", "quoting_mojibake",
    "odd_characters", "padded_names",
)  # fmt: skip
_MENTION_FIELDS = ("mention", "text", "entity_name")
_ENTITY_FIELDS = ("name", "aliases", "description", "attributes")
NAME_FIELDS = frozenset({"mention", "entity_name", "name", "aliases"})
_ROWS = 1_000

# What most texts do not hold at all: a cheap look before the exact ones.
_SUSPECT = re.compile("[%&\\\\_ÃÂâÄÅÐÑØÙ\ufffd\ufeff\u200b\u200e\u200f\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_HTML = re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[nrt\"/](?=\W|$))")
_UNDERSCORE = re.compile(r"\w_[\w(]")
_ODD = re.compile("[\ufffd\ufeff\u200b\u200e\u200f\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# The bytes 80 to BF as Windows reads them: what follows the first byte of a character in UTF-8.
_TAIL = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
# One `Ä“` may be a letter before a quotation mark; two in a row are not. `Ã`, `Â` and `â€` are rare enough alone.
_MOJIBAKE = re.compile(f"(?:Ã{_TAIL}|Â[\xa0-\xbf]|â€{_TAIL})|(?:[ÄÅÐÑØÙ]{_TAIL}){{2,}}")


def check_quoting(splits: dict[str, Columns], kb: KnowledgeBase, findings: Findings) -> None:
    """Looks through all texts of mentions and entities; a record counts once for each kind."""
    tallies = {kind: Tally(kind, "records") for kind in _KINDS}
    for split, mention_id, *texts in records(splits, "id", *_MENTION_FIELDS):
        _tally(tallies, "mentions", split, mention_id, zip(_MENTION_FIELDS, texts, strict=True))
    for batch in kb.dataset.select_columns(["id", *_ENTITY_FIELDS]).with_format("arrow").iter(_ROWS):
        for row in batch.to_pylist():
            texts = [(field, row[field]) for field in _ENTITY_FIELDS if field != "aliases"]
            texts += [("aliases", alias) for alias in row["aliases"] or ()]
            _tally(tallies, "entities", None, row["id"], texts)
    findings.close_all(tallies.values(), mention_count(splits) + len(kb))


def _tally(
    tallies: dict[str, Tally], table: str, split: str | None, record: str | None, texts: Iterable[tuple]
) -> None:
    told = set()
    for field, text in texts:
        for kind, excerpt in quoting(text, field).items() if text else ():
            tallies[kind].detail(f"{table}.{field}")
            if kind not in told:
                told.add(kind)
                tallies[kind].hit(table, split, record, f"{field}: {excerpt}")


def quoting(text: str, field: str) -> dict[str, str]:
    """Returns the fault in how a text is written: the kind of finding, with an excerpt and how it should read.

    Underscores and spaces around count only in fields that hold names.
    """
    found = {}
    is_name = field in NAME_FIELDS
    if is_name and text.strip() and text != text.strip():
        found["padded_names"] = f"{text!r}"
    if not _SUSPECT.search(text):
        return found
    if (match := _PERCENT.search(text)) and (read := _unquoted(match[0])) is not None:
        found["quoting_percent"] = _excerpt(text, match, read)
    for match in _HTML.finditer(text):
        if (read := html.unescape(match[0])) != match[0]:
            found["quoting_html"] = _excerpt(text, match, read)
            break
    if match := _ESCAPE.search(text):
        found["quoting_escapes"] = _excerpt(text, match, None)
    if is_name and (match := _UNDERSCORE.search(text)):
        found["quoting_underscores"] = _excerpt(text, match, match[0].replace("_", " "))
    if match := _MOJIBAKE.search(text):
        found["quoting_mojibake"] = _excerpt(text, match, _decoded(match[0]))
    if match := _ODD.search(text):
        found["odd_characters"] = f"{_excerpt(text, match, None)} (U+{ord(match[0]):04X})"
    return found


def _unquoted(codes: str) -> str | None:
    """
    Returns the text of an escape such as `%C3%A9`; `None` if it is no text, because it is then probably no escape
    (`50%de`).
    """
    try:
        read = unquote(codes, errors="strict")
    except UnicodeDecodeError:
        return None
    return read if read.isprintable() or read.isspace() else None


def _decoded(garbled: str) -> str | None:
    try:
        return garbled.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return None


def _excerpt(text: str, match: re.Match, read: str | None) -> str:
    begin, end = max(0, match.start() - 24), match.end() + 24
    shown = ("…" if begin else "") + text[begin:end] + ("…" if end < len(text) else "")
    return shown if read is None else f"{shown} ({match[0]} for {read!r})"
