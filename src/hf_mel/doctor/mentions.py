"""Checks of the mentions: ids, gold, texts, offsets."""

from collections.abc import Iterator

from datasets import DatasetDict

from ..data import MENTION_FEATURES, SPLITS, KnowledgeBase
from ..data.layouts.left_out import ENTITIES
from ..data.mention_checks import stands_at
from ..models.graphemes import is_unspaced
from .findings import Findings, Tally
from .texts import normal_name


_TEXT_COLUMNS = ("id", "mention", "text", "start", "end", "entity_id", "entity_name", "image_status")

Columns = dict[str, list]
"""The text columns of one split; pictures stay where they are."""


def text_columns(mentions: DatasetDict) -> dict[str, Columns]:
    """The text columns of each split: train, validation and test first, others after them.

    Raises:
        `ValueError`: a column is missing.
    """
    order = [name for name in SPLITS if name in mentions] + [name for name in mentions if name not in SPLITS]
    for split in order:
        missing = [name for name in MENTION_FEATURES if name not in mentions[split].column_names]
        if missing:
            raise ValueError(
                f"split {split!r} has no column {', '.join(missing)}: build the data with `hf-mel data build`, or "
                f"name your columns as in MENTION_FEATURES"
            )
    return {split: {name: mentions[split][name][:] for name in _TEXT_COLUMNS} for split in order}


def check_mentions_of(splits: dict[str, Columns], kb: KnowledgeBase, findings: Findings) -> None:
    """All checks that look at one mention, or at several for the same id or place."""
    empty = Tally("empty_splits", "splits")
    for split, columns in splits.items():
        if not columns["id"]:
            empty.hit("mentions", split, None, "no mention")
    findings.close(empty, len(splits))
    _check_ids(splits, findings)
    _check_gold(splits, kb, findings)
    _check_texts(splits, findings)
    _check_repetition(splits, findings)


def check_left_out(report: dict, splits: dict[str, Columns], entities: int, findings: Findings) -> None:
    """Records that the reader of the files left out, from its report."""
    counts = {split: found.get("left_out", 0) for split, found in (report.get("splits") or {}).items()}
    counts |= report.get("other_records_left_out") or {}
    tally = Tally("records_left_out", "records")
    tally.count = sum(counts.values())
    tally.details = {split: number for split, number in counts.items() if number}
    for entry in report.get("records_left_out") or []:
        of_entity = entry["split"] == ENTITIES
        table, split = ("entities", None) if of_entity else ("mentions", entry["split"])
        tally.show(table, split, entry["record"], entry["reason"])
    findings.close(tally, tally.count + mention_count(splits) + (entities if counts.get(ENTITIES) else 0))


def records(splits: dict[str, Columns], *names: str) -> Iterator[tuple]:
    """Split and the asked columns of every mention."""
    for split, columns in splits.items():
        for row in zip(*(columns[name] for name in names), strict=True):
            yield split, *row


def mention_count(splits: dict[str, Columns]) -> int:
    return sum(len(columns["id"]) for columns in splits.values())


def _check_ids(splits: dict[str, Columns], findings: Findings) -> None:
    tally = Tally("duplicate_mention_ids")
    place: dict[str, str] = {}
    for split, mention_id, mention in records(splits, "id", "mention"):
        if not (mention_id or "").strip():
            tally.hit("mentions", split, mention_id, f"no id, mention {mention!r}")
            tally.detail("without_id")
        elif mention_id in place:
            tally.hit("mentions", split, mention_id, f"{mention!r}; the id is already used in {place[mention_id]}")
            tally.detail("in_the_same_split" if place[mention_id] == split else "in_another_split")
        else:
            place[mention_id] = split
    findings.close(tally, mention_count(splits))


def _check_gold(splits: dict[str, Columns], kb: KnowledgeBase, findings: Findings) -> None:
    unknown, nil, differs = Tally("unknown_gold"), Tally("nil"), Tally("gold_name_differs")
    absent: set[str] = set()
    spellings: dict[str, set[str]] = {}
    all_names, all_aliases = kb.names(), kb.aliases()
    for split, mention_id, mention, gold, name in records(splits, "id", "mention", "entity_id", "entity_name"):
        if gold is None:
            nil.hit("mentions", split, mention_id, mention)
            nil.detail(split)
        elif gold not in kb:
            unknown.hit("mentions", split, mention_id, f"{mention!r} -> {gold!r}" + (f" ({name})" if name else ""))
            unknown.detail(split)
            absent.add(gold)
        elif name:
            if gold not in spellings:
                row = kb.row(gold)
                spellings[gold] = {normal_name(known) for known in (all_names[row], *all_aliases[row])}
            if normal_name(name) not in spellings[gold]:
                differs.hit("mentions", split, mention_id, f"{gold} is {name!r} here, {kb.names([kb.row(gold)])[0]!r}")
    if absent:
        unknown.details["distinct_ids"] = len(absent)
    total = mention_count(splits)
    findings.close_all((unknown, nil), total)
    findings.close(differs, total - nil.count - unknown.count)


def _check_texts(splits: dict[str, Columns], findings: Findings) -> None:
    no_mention, no_sentence, one_word = (
        Tally("empty_mentions"), Tally("empty_texts"), Tally("one_word_texts"),
    )  # fmt: skip
    not_in, wrong, absent = Tally("mentions_not_in_text"), Tally("offset_mismatches"), Tally("offsets_absent")
    for split, mention_id, mention, sentence, start, end in records(splits, "id", "mention", "text", "start", "end"):
        where = ("mentions", split, mention_id)
        if not (mention or "").strip():
            no_mention.hit(*where, sentence or "")
        if not (sentence or "").strip():
            no_sentence.hit(*where, mention or "")
        elif len(sentence.split()) == 1 and (not is_unspaced(sentence) or sentence.strip() == (mention or "").strip()):
            one_word.hit(*where, sentence)
        if not (mention or "").strip() or not (sentence or "").strip():
            continue
        placed = _matches(sentence, start, end, mention)
        stands = placed or mention in sentence
        if not stands:
            not_in.hit(*where, f"{mention!r} in {sentence!r}")
            not_in.detail(split)
            if mention.casefold() in sentence.casefold():
                not_in.detail("found_without_case")
        if start is None and end is None:
            if stands:
                absent.hit(*where, mention)
        elif not placed:
            wrong.hit(*where, f"{mention!r}, but {_slice(sentence, start, end)}")
            wrong.detail(split)
    findings.close_all((no_mention, no_sentence, one_word, not_in, wrong, absent), mention_count(splits))


def _matches(sentence: str, start: int | None, end: int | None, mention: str) -> bool:
    return start is not None and end is not None and stands_at(mention, sentence, start, end)


def _slice(sentence: str, start: int | None, end: int | None) -> str:
    if start is None or end is None:
        return f"only one of start={start} and end={end} is given"
    if not 0 <= start < end <= len(sentence):
        return f"{start}:{end} is outside the sentence of {len(sentence)} characters"
    return f"{start}:{end} is {sentence[start:end]!r}"


def _check_repetition(splits: dict[str, Columns], findings: Findings) -> None:
    repeated, contradictory = Tally("repeated_mentions"), Tally("contradictory_mentions")
    first: dict[tuple, tuple[str, str, str | None]] = {}
    for split, mention_id, *key, gold in records(splits, "id", "mention", "text", "start", "end", "entity_id"):
        if not key[0] or not key[1]:
            continue  # told elsewhere
        earlier = first.setdefault(tuple(key), (split, mention_id, gold))
        if earlier == (split, mention_id, gold):
            continue
        place = f"{earlier[1]!r} of {earlier[0]}"
        if earlier[2] == gold:
            repeated.hit("mentions", split, mention_id, f"{key[0]!r}, as {place}")
            repeated.detail("in_the_same_split" if earlier[0] == split else "in_another_split")
        else:
            contradictory.hit("mentions", split, mention_id, f"{key[0]!r} is {gold}, but {earlier[2]} in {place}")
    findings.close_all((repeated, contradictory), mention_count(splits))
