"""Check of the candidates that come with the mentions: whether their order gives the gold entity away."""

import math
from collections import Counter

from ..data import MELData
from .findings import Findings, Tally
from .mentions import Columns


COLUMN = "candidates"
SHARE = 0.99
"""Share of the lists from which on a position of the gold entity is a finding."""

_CHANCE = 0.001


def check_candidates(data: MELData, splits: dict[str, Columns], findings: Findings) -> None:
    """Looks for a position at which the gold entity is in (nearly) every list of candidates of a split.

    Positions are counted from the beginning and from the end. Lists of one candidate, and lists without the gold entity, tell
    nothing. A split with so few lists that chance could put the gold entity there is passed over.

    Args:
        data ([`MELData`]): mentions, with a column `candidates` of ids or without; a reader that sorts the candidates says in
            its report how many had the gold entity first.
        splits (`dict[str, dict]`): the text columns of the mentions.
        findings ([`Findings`]): takes `gold_position_in_candidates`.
    """
    tally, total = Tally("gold_position_in_candidates"), 0
    for split, columns in splits.items():
        lists = _lists(data, split)
        if lists is None:
            continue
        rows = [
            (mention_id, gold, found)
            for mention_id, gold, found in zip(columns["id"], columns["entity_id"], lists, strict=True)
            if gold is not None and found and len(found) > 1 and gold in found
        ]
        total += len(rows)
        place = _common_place(rows)
        if place is None:
            continue
        name, hits = place
        tally.count += len(hits)
        tally.detail(f"{split}: {name}", len(hits))
        for mention_id, gold, found in hits[:3]:
            tally.show("mentions", split, mention_id, f"{gold} is the {name} of {len(found)} candidates")
    released = data.report.get("gold_first_in_released_candidates")
    if released:
        tally.count += released
        total += released
        tally.detail("in the released files: first", released)
        tally.show("files", None, None, "the gold entity is the first candidate; here the candidates are sorted by id")
    findings.close(tally, total)


def _lists(data: MELData, split: str) -> list | None:
    """The candidates of each mention; `None` where there is no such column of lists of ids."""
    if COLUMN not in data.mentions[split].column_names:
        return None
    lists = data.mentions[split][COLUMN][:]
    return lists if all(found is None or isinstance(found, list) for found in lists) else None


def _common_place(rows: list[tuple]) -> tuple[str, list[tuple]] | None:
    """Name of the position that nearly all rows share, and the rows; `None` if there is none, or chance may explain it."""
    positions: Counter[int] = Counter()
    for _, gold, found in rows:
        places = {place for place, candidate in enumerate(found) if candidate == gold}
        positions.update(places | {place - len(found) for place in places})
    if not rows:
        return None
    position, number = max(positions.items(), key=lambda each: (each[1], each[0] >= 0))
    # If candidates were in random order, all lists would agree in a given position with this probability.
    chance = math.prod(1 / len(found) for *_, found in rows[:100]) * max(len(found) for *_, found in rows)
    if number < SHARE * len(rows) or chance > _CHANCE:
        return None
    hits = [row for row in rows if -len(row[2]) <= position < len(row[2]) and row[2][position] == row[1]]
    return _name(position), hits


def _name(position: int) -> str:
    names = {0: "first", -1: "last"}
    return names.get(position) or (f"number {position + 1}" if position > 0 else f"number {-position} from the end")
