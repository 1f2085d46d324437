"""Leakage between splits, and the leakage that splitting by mention at random would cause."""

from collections import Counter
from itertools import combinations
from math import prod

from ..data.captions import normal_caption
from .findings import Findings, Tally
from .mentions import Columns, records


def check_leakage(splits: dict[str, Columns], findings: Findings) -> list[dict]:
    """Compares every pair of splits.

    Args:
        splits (`dict[str, dict]`): text columns by split, in the order in which splits are used.
        findings ([`Findings`]): takes `caption_leakage` and `entity_overlap`.

    Returns:
        `list[dict]`: one a pair: counts and shares of the later split's distinct captions and of its mentions that
        stand in the earlier one too, exactly and normalised; the same for gold entities; and the shares that are
        expected where mentions are dealt out one by one.
    """
    captions = {split: Counter(filter(None, columns["text"])) for split, columns in splits.items()}
    normal_of = {caption: normal_caption(caption) for counter in captions.values() for caption in counter}
    normal = {split: _regrouped(counter, normal_of) for split, counter in captions.items()}
    golds = {split: Counter(filter(None, columns["entity_id"])) for split, columns in splits.items()}
    per_caption = Counter(sum(captions.values(), Counter()).values())
    pairs = []
    for earlier, later in combinations(splits, 2):
        if not captions[earlier] or not captions[later]:
            continue
        expected = expected_leakage(per_caption, sum(captions[earlier].values()), sum(captions[later].values()))
        pairs.append(
            {
                "earlier": earlier,
                "later": later,
                "captions": _overlap(captions[earlier], captions[later]),
                "captions_normalised": _overlap(normal[earlier], normal[later]),
                "expected_if_dealt_by_mention": expected,
                "entities": _overlap(golds[earlier], golds[later]),
            }
        )
    _report(splits, pairs, normal_of, findings)
    return pairs


def expected_leakage(per_caption: dict[int, int], earlier: int, later: int) -> dict:
    """The caption leakage that comes about by itself when mentions, not captions, are dealt out to the splits.

    Of `N` mentions, `earlier` and `later` are drawn for two splits without regard to captions. A caption with `m`
    mentions misses a split of `n` with probability `(N-n)/N * (N-n-1)/(N-1) * ...` (`m` factors), which gives the
    expected numbers in closed form; nothing is simulated.

    Args:
        per_caption (`dict[int, int]`): how many captions have 1, 2, ... mentions, over all splits.
        earlier (`int`): mentions in the earlier split.
        later (`int`): mentions in the later split.

    Returns:
        `dict`: `captions_share`, the expected number of shared captions over that of distinct captions in the later
        split, and `mentions_share`, the expected share of the later split's mentions whose caption is in the earlier.

    Example:

    ```python
    >>> from hf_mel.doctor.leakage import expected_leakage

    >>> expected_leakage({2: 1}, earlier=1, later=1)  # one caption of two mentions, torn apart for certain
    {'captions_share': 1.0, 'mentions_share': 1.0}
    >>> expected_leakage({1: 100}, earlier=70, later=30)
    {'captions_share': 0.0, 'mentions_share': 0.0}
    ```
    """
    total = sum(size * number for size, number in per_caption.items())

    def missed(drawn: int, size: int, out_of: int) -> float:
        """Probability that none of `size` given mentions is among `drawn` of `out_of`."""
        return prod((out_of - drawn - i) / (out_of - i) for i in range(size)) if out_of - drawn >= size else 0.0

    shared = in_later = mentions = 0.0
    for size, number in sorted(per_caption.items()):
        not_later = missed(later, size, total)
        in_later += number * (1 - not_later)
        if size == 1:
            continue  # a caption with one mention is in one split; the sums below would say so but for rounding
        shared += number * (1 - missed(earlier, size, total) - not_later + missed(earlier + later, size, total))
        # A given mention lies in the later split; at least one of the others in the earlier.
        mentions += number * size / total * (1 - missed(earlier, size - 1, total - 1))
    return {
        "captions_share": max(0.0, shared / in_later) if in_later else 0.0,
        "mentions_share": max(0.0, mentions),
    }


def _regrouped(captions: Counter, normal_of: dict[str, str]) -> Counter:
    regrouped: Counter = Counter()
    for caption, mentions in captions.items():
        regrouped[normal_of[caption]] += mentions
    regrouped.pop("", None)  # captions of punctuation alone would all be one
    return regrouped


def _overlap(earlier: Counter, later: Counter) -> dict:
    shared = earlier.keys() & later.keys()
    mentions, shared_mentions = sum(later.values()), sum(later[key] for key in shared)
    return {
        "distinct": len(later),
        "shared": len(shared),
        "share": len(shared) / len(later) if later else None,
        "mentions": mentions,
        "shared_mentions": shared_mentions,
        "mentions_share": shared_mentions / mentions if mentions else None,
    }


def _report(splits: dict[str, Columns], pairs: list[dict], normal_of: dict, findings: Findings) -> None:
    captions, entities = Tally("caption_leakage", "captions"), Tally("entity_overlap", "entities")
    filled = [split for split in splits if any(splits[split]["text"])]
    golds_of_last: dict = {}
    if pairs:
        _tally_captions(splits, captions, normal_of)
        earlier = {gold for split, gold in records(splits, "entity_id") if split != filled[-1]}
        golds_of_last = dict.fromkeys(filter(None, splits[filled[-1]]["entity_id"]))
        for gold in golds_of_last:
            if gold in earlier:
                entities.hit("entities", filled[-1], gold, "gold in an earlier split too")
    for pair in pairs:
        name = f"{pair['later']}_in_{pair['earlier']}"
        captions.details[name] = pair["captions"]["shared"]
        captions.details[f"{name}_normalised"] = pair["captions_normalised"]["shared"]
        entities.details[name] = pair["entities"]["shared"]
    captions.details |= _droppable(splits, normal_of)
    of_later = {normal_of[text] for split in filled[1:] for text in splits[split]["text"] if text}
    findings.close(captions, len(of_later))
    findings.close(entities, len(golds_of_last))


def _droppable(splits: dict[str, Columns], normal_of: dict[str, str]) -> dict[str, int]:
    """Mentions and captions that `drop_leaked` takes out of train: their caption is in another split, too."""
    keys = {split: [normal_of[text] or text for text in columns["text"] if text] for split, columns in splits.items()}
    others = {key for split in keys if split != "train" for key in keys[split]}
    leaked = [key for key in keys.get("train", ()) if key in others]
    return {"train_captions_to_drop": len(set(leaked)), "train_mentions_to_drop": len(leaked)}


def _tally_captions(splits: dict[str, Columns], tally: Tally, normal_of: dict[str, str]) -> None:
    """Distinct captions (normalised) which stand in a split and in an earlier one."""
    home: dict[str, str] = {}
    told: set[str] = set()
    for split, mention_id, sentence in records(splits, "id", "text"):
        key = normal_of.get(sentence, "")
        if key and home.setdefault(key, split) != split and key not in told:
            told.add(key)
            tally.hit("mentions", split, mention_id, f"also in {home[key]}: {sentence}")


def explained(pair: dict) -> str:
    """One sentence on what the leakage of a pair of splits comes from."""
    found, expected = pair["captions"]["share"], pair["expected_if_dealt_by_mention"]["captions_share"]
    dealt = f"{100 * expected:.1f} % are expected when mentions are dealt out one by one"
    if expected < 0.005:
        return "Hardly any caption has several mentions, so dealing out mentions would leak next to nothing."
    if found >= expected / 2:
        return f"{dealt}: mentions of one caption were spread over the splits."
    return f"{dealt}: this split keeps the mentions of a caption together."
