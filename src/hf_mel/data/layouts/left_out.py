"""Leaves out parts of a release: records that cannot be used, captions that leak, and all pictures."""

import logging
import unicodedata
from collections import Counter

from ..captions import caption_key
from ..mention_checks import text_fault
from ..problems import Problems, counted, listed
from .base import RawBenchmark


logger = logging.getLogger(__name__)

NAMED = 100
"""Number of left out records that a report names; the counts have no limit."""

ENTITIES = "entities"
"""`split` of a left out record of the knowledge base."""

NO_SPLIT = "no split"
"""`split` of a left out record whose split is not known."""

_NEEDED = ("mention", "text")
_INVISIBLE = ("Cc", "Cf")  # control and format characters, such as the zero-width space


def leave_out_unusable(raw: RawBenchmark, subject: str, strict: bool = False) -> None:
    """Removes the rows whose `mention` or `text` is no text, such as two line breaks, from the result of a reader.

    The other mentions of the same caption stay and keep their ids. The report gets `records_left_out`, a list of the
    first 100 with `split`, `record` and `reason`; each split gets the count `left_out`. The records that the reader itself
    left out are among them; those of no split, such as entities, are counted in `other_records_left_out`.

    Args:
        raw ([`RawBenchmark`]): the result of a reader, changed in place.
        subject (`str`): what the rows were read from, for messages.
        strict (`bool`, *optional*, defaults to `False`): raise instead.

    Raises:
        `ValueError`: with `strict`, lists all of them; without, no row of a split is usable.
    """
    found = [entry for entry in raw.left_out if entry["split"] not in raw.mentions]
    if found:
        raw.counts["other_records_left_out"] = dict(Counter(entry["split"] for entry in found))
    for split, rows in raw.mentions.items():
        reasons = [_reason(row) for row in rows]
        unusable = [entry for entry in raw.left_out if entry["split"] == split]
        unusable += [
            {"split": split, "record": row["id"], "reason": reason}
            for row, reason in zip(rows, reasons, strict=True)
            if reason is not None
        ]
        found += unusable
        raw.split_counts.setdefault(split, {})["left_out"] = len(unusable)
        raw.mentions[split] = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
        if unusable and not raw.mentions[split]:
            raise ValueError(
                f"{subject}: none of the {len(unusable):,} mentions of split {split!r} can be used, such as "
                f"{place(unusable[0], False)}: {unusable[0]['reason']}. These files are not what they are taken for: name "
                "their layout, or fetch them again"
            )
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
    logger.warning("%s: left out %s that cannot be used: %s", subject, counted(len(found), "record"), named)


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


def place(entry: dict, with_split: bool = True) -> str:
    """Place of a left out record, for a message."""
    if entry["split"] in (ENTITIES, NO_SPLIT):
        return f"{'entity' if entry['split'] == ENTITIES else 'record'} {entry['record']!r}"
    return f"split {entry['split']!r}, " * with_split + f"mention {entry['record']!r}"


def _reason(row: dict) -> str | None:
    """Returns the reason for which a row cannot be used; `None` if it can."""
    for name in _NEEDED:
        value = row[name]
        if value is None:
            return f"`{name}` is null or no string"
        if all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in value):
            return f"`{name}` is {value!r:.60}, which is no text"
        if (fault := text_fault(value)) is not None:
            return f"`{name}` {fault}"
    return None
