"""Difficulty of the mentions by their string alone: ambiguity, and recall of lexical candidates."""

from collections import Counter, defaultdict

import numpy as np
from datasets.utils import are_progress_bars_disabled

from ..data import KnowledgeBase
from ..data.captions import normal_caption
from ..names import LexicalIndex, text_words
from .findings import Findings, Tally
from .mentions import Columns, records
from .texts import normal_name


BUCKETS = ("0", "1", "2-5", "6-20", ">20")
CANDIDATES = (10, 100)
INDEX = (
    "cosine of TF-IDF vectors of words plus that of character trigrams within words, without case and accents, between the "
    "mention and the names and aliases of all entities; an entity counts with its best name"
)


def measure_ambiguity(splits: dict[str, Columns], kb: KnowledgeBase) -> dict:
    """Measures how many entities a mention may name by its string alone.

    Returns:
        `dict`: `same_name` and `within_name`: mentions by the number of entities that have the mention as their name or
        an alias, and of those that have all its words within one (as a surname is); keys of `BUCKETS`. `gold_same_name`
        and `gold_within_name`: linked mentions whose gold entity is one of these, of `linked`. `most_ambiguous`: strings
        with their number of entities within whose names they are. Case, width, spacing and `_` do not count.
    """
    names = EntityNames(kb)
    buckets = {"same_name": Counter(dict.fromkeys(BUCKETS, 0)), "within_name": Counter(dict.fromkeys(BUCKETS, 0))}
    gold_found = Counter(dict.fromkeys(buckets, 0))
    found: dict[str, dict[str, set[int]]] = {}
    linked = 0
    for _, mention, gold in records(splits, "mention", "entity_id"):
        key = normal_name(mention or "")
        if key not in found:
            found[key] = {"same_name": names.equal(key), "within_name": names.within(key)}
        row = kb.row(gold) if gold is not None and gold in kb else None
        linked += row is not None
        for kind, rows in found[key].items():
            buckets[kind][bucket(len(rows))] += 1
            gold_found[kind] += row in rows
    most = sorted(((-len(rows["within_name"]), key) for key, rows in found.items() if len(rows["within_name"]) > 1))
    return {
        **{kind: dict(counts) for kind, counts in buckets.items()},
        **{f"gold_{kind}": number for kind, number in gold_found.items()},
        "linked": linked,
        "most_ambiguous": [{"mention": key, "entities": -number} for number, key in most[:10]],
    }


class EntityNames:
    """Entities by their names and aliases, and by the words of these."""

    def __init__(self, kb: KnowledgeBase):
        self._rows: dict[str, set[int]] = defaultdict(set)
        self._by_word: dict[str, set[str]] = defaultdict(set)
        for row, (name, aliases) in enumerate(zip(kb.names(), kb.aliases(), strict=True)):
            for each in (name, *aliases):
                self._rows[normal_name(each)].add(row)
        for name in self._rows:
            for word in normal_caption(name).split():
                self._by_word[word].add(name)

    def equal(self, key: str) -> set[int]:
        return self._rows.get(key, set())

    def within(self, key: str) -> set[int]:
        """Rows of names that hold all words of the key, whatever their order."""
        words = set(normal_caption(key).split())
        if not words:
            return self.equal(key)
        rarest, *others = sorted((self._by_word.get(word, set()) for word in words), key=len)
        names = rarest.intersection(*others)
        return set().union(*(self._rows[name] for name in names)) | self.equal(key)


def bucket(number: int) -> str:
    """The one of `BUCKETS` in which a number of entities lies."""
    if number < 2:
        return str(number)
    return "2-5" if number <= 5 else "6-20" if number <= 20 else ">20"


def measure_candidates(splits: dict[str, Columns], kb: KnowledgeBase, findings: Findings) -> dict | None:
    """Recall of the gold entity among the nearest names.

    Returns:
        `dict` or `None`: `index` (what is compared), and for each split and `all` the number of linked mentions and
        their `recall@10` and `recall@100`. NIL and mentions whose gold id is unknown have no gold to recall. `None`
        where no name holds a letter, so that there is nothing to compare.
    """
    linked = [
        (split, mention_id, mention or "", gold)
        for split, mention_id, mention, gold in records(splits, "id", "mention", "entity_id")
        if gold is not None and gold in kb
    ]
    if not linked or not any(map(text_words, kb.names())):
        return None
    mentions = [mention for _, _, mention, _ in linked]
    index = LexicalIndex(kb.names(), kb.aliases())
    found, _ = index.search(mentions, max(CANDIDATES), progress=not are_progress_bars_disabled())
    hits = found == kb.rows([gold for *_, gold in linked])[:, None]
    home = np.array([split for split, *_ in linked])
    recall = {}
    for split in ("all", *splits):
        rows = hits if split == "all" else hits[home == split]
        if len(rows):
            recall[split] = {"linked": len(rows)}
            recall[split].update({f"recall@{k}": float(rows[:, :k].any(axis=1).mean()) for k in CANDIDATES})
    tally = Tally("gold_beyond_candidates")
    for row in np.flatnonzero(~hits.any(axis=1)):
        split, mention_id, mention, gold = linked[row]
        tally.hit("mentions", split, mention_id, f"{mention!r} -> {gold} ({kb.names([kb.row(gold)])[0]!r})")
    findings.close(tally, len(linked))
    return {"index": INDEX, "entities": len(kb), "recall": recall}
