"""Holds mentions against a knowledge base before anything is trained on them."""

import logging

from datasets import Dataset, DatasetDict

from .knowledge_base import KnowledgeBase
from .mention_checks import stands_at
from .problems import Problems, listed
from .schema import MENTION_FEATURES


logger = logging.getLogger(__name__)


def check_mentions(mentions: DatasetDict | Dataset, kb: KnowledgeBase) -> dict:
    """Refuses mentions that cannot be trained or evaluated on, and counts what is odd but legitimate.

    Args:
        mentions (`datasets.DatasetDict` or `datasets.Dataset`): tables with the columns of `MENTION_FEATURES`.
        kb ([`KnowledgeBase`]): the entities.

    Returns:
        `dict`: `splits` (for each: `mentions`, `nil`, `not_in_text` and `offset_mismatch`), and where there are
        a train and a test split, `test_sentences`, `test_sentences_in_train`, `test_entities` and
        `test_entities_unseen` (all of them distinct).

    Raises:
        `ValueError`: a missing column, a split without mentions, a mention id used twice, an empty mention or
            sentence, a gold id that is not in the knowledge base; all problems are listed, with split and mention.

    Example:

    ```python
    >>> from hf_mel.data import check_mentions, make_miniature

    >>> data = make_miniature(num_entities=10, num_train=50, num_validation=5, num_test=5)
    >>> check_mentions(data.mentions, data.entities)["splits"]["train"]
    {'mentions': 50, 'nil': 1, 'not_in_text': 0, 'offset_mismatch': 0}
    ```
    """
    splits = mentions if isinstance(mentions, dict) else {"mentions": mentions}
    problems = Problems("mentions", "Correct them, or leave them out before this step and say how many.")
    for split, table in splits.items():
        missing = [name for name in MENTION_FEATURES if name not in table.column_names]
        if missing:
            problems.add(f"split {split!r}", f"column{'s' if len(missing) > 1 else ''} {listed(missing)} missing")
    problems.raise_if_any()
    place: dict[str, str] = {}
    counts = {split: _check_split(split, table, kb, place, problems) for split, table in splits.items()}
    problems.raise_if_any()
    for split, count in counts.items():
        if count["not_in_text"]:
            logger.warning(
                "split %r: %d of %d mentions do not stand in their sentence literally",
                split, count["not_in_text"], count["mentions"],
            )  # fmt: skip
    return {"splits": counts, **_overlap(splits)}


def _check_split(split: str, table: Dataset, kb: KnowledgeBase, place: dict[str, str], problems: Problems) -> dict:
    if not len(table):
        problems.add(f"split {split!r}", "has no mention")
    columns = {name: table[name][:] for name in ("id", "mention", "text", "start", "end", "entity_id")}
    counts = {"mentions": len(table), "nil": 0, "not_in_text": 0, "offset_mismatch": 0}
    for mention_id, mention, sentence, start, end, gold in zip(*columns.values(), strict=True):
        where = f"split {split!r}, mention {mention_id!r}"
        if not mention_id:
            problems.add(where, "`id` is empty")
        elif mention_id in place:
            problems.add(where, f"`id` is already used in split {place[mention_id]!r}")
        place.setdefault(mention_id, split)
        if not (mention or "").strip() or not (sentence or "").strip():
            problems.add(where, "`mention` or `text` is empty")
            continue
        if gold is None:
            counts["nil"] += 1
        elif gold not in kb:
            problems.add(where, f"gold `entity_id` {gold!r} is not in the knowledge base of {len(kb):,} entities")
        fits = start is not None and end is not None and stands_at(mention, sentence, start, end)
        counts["not_in_text"] += not fits and mention not in sentence
        counts["offset_mismatch"] += start is not None and not fits
    return counts


def _overlap(splits: dict[str, Dataset]) -> dict:
    """Measures how much of the test split was seen in training: sentences that leak, entities that are known."""
    if "train" not in splits or "test" not in splits:
        return {}
    sentences = {split: set(splits[split]["text"][:]) for split in ("train", "test")}
    entities = {split: set(splits[split]["entity_id"][:]) - {None} for split in ("train", "test")}
    return {
        "test_sentences": len(sentences["test"]),
        "test_sentences_in_train": len(sentences["test"] & sentences["train"]),
        "test_entities": len(entities["test"]),
        "test_entities_unseen": len(entities["test"] - entities["train"]),
    }
