"""Leaves out parts of a release: mentions without usable text, captions that leak, and all pictures."""

import logging
import unicodedata

from ..captions import caption_key
from ..problems import Problems, listed
from .base import RawBenchmark


logger = logging.getLogger(__name__)

NAMED = 100
"""Number of left out records that a report names; the counts have no limit."""

_NEEDED = ("mention", "text")
_INVISIBLE = ("Cc", "Cf")  # control and format characters, such as the zero-width space


def leave_out_unusable(raw: RawBenchmark, subject: str, strict: bool = False) -> None:
    """Removes the rows whose `mention` or `text` is no text, such as two line breaks, from the result of a reader.

    The other mentions of the same caption stay and keep their ids. The report gets `records_left_out`, a list of the
    first 100 with `split`, `record` and `reason`, and each split the count `left_out`.

    Args:
        raw ([`RawBenchmark`]): the result of a reader, changed in place.
        subject (`str`): what the rows were read from, for messages.
        strict (`bool`, *optional*, defaults to `False`): raise instead.

    Raises:
        `ValueError`: with `strict`, lists all of them; without, no row of a split is usable.
    """
    found: list[dict] = []
    for split, rows in raw.mentions.items():
        reasons = [_reason(row) for row in rows]
        unusable = [(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason is not None]
        found += [{"split": split, "record": row["id"], "reason": reason} for row, reason in unusable]
        raw.split_counts.setdefault(split, {})["left_out"] = len(unusable)
        if unusable and len(unusable) == len(rows):
            row, reason = unusable[0]
            raise ValueError(
                f"{subject}: all {len(rows):,} mentions of split {split!r} are without usable text, such as mention "
                f"{row['id']!r}: {reason}. These files are not what they are taken for: name their layout, or fetch them again"
            )
        raw.mentions[split] = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    raw.counts["records_left_out"] = found[:NAMED]
    if not found:
        return
    if strict:
        problems = Problems(
            subject, "Correct these records, or read without `strict` (--strict): they are left out then."
        )
        for entry in found:
            problems.add(place(entry), entry["reason"])
        problems.raise_if_any()
    named = listed((f"{place(entry)}: {entry['reason']}" for entry in found), 5)
    some = "1 mention" if len(found) == 1 else f"{len(found):,} mentions"
    logger.warning("%s: left out %s without usable text: %s", subject, some, named)


def drop_leaked_captions(raw: RawBenchmark) -> None:
    """Removes the rows of train whose caption is in another split, too, from the result of a reader.

    Captions are compared by their words, without case, spacing and punctuation. The report gets `leaked_captions`, and the
    split train gets `leaked`, the number of its mentions that were dropped.
    """
    others = {caption_key(row["text"]) for split, rows in raw.mentions.items() if split != "train" for row in rows}
    kept, leaked = [], []
    for row in raw.mentions.get("train", ()):
        (leaked if caption_key(row["text"]) in others else kept).append(row)
    if "train" in raw.mentions:
        raw.mentions["train"] = kept
        raw.split_counts.setdefault("train", {})["leaked"] = len(leaked)
    raw.counts["leaked_captions"] = len({caption_key(row["text"]) for row in leaked})


def leave_out_pictures(raw: RawBenchmark) -> None:
    """Removes all pictures from the result of a reader, which is changed in place. The report gets `no_pictures`."""
    for rows in raw.mentions.values():
        for row in rows:
            row["image"] = None
    entities = raw.entities
    raw.entities = lambda: ({**row, "image": None} for row in entities())
    raw.counts["no_pictures"] = True


def place(entry: dict) -> str:
    """Place of a left out record, for a message."""
    return f"split {entry['split']!r}, mention {entry['record']!r}"


def _reason(row: dict) -> str | None:
    """Returns the reason for which a row cannot be used; `None` if it can."""
    for name in _NEEDED:
        value = row[name]
        if value is None:
            return f"`{name}` is null or no string"
        if all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in value):
            return f"`{name}` is {value!r:.60}, which is no text"
    return None
