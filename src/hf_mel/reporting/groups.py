"""Hits of groups of mentions, as a table."""

from collections.abc import Sequence

from ..evaluation import Group


def group_table(groups: Sequence[Group], heading: str) -> list[list[str]]:
    """Groups in rows, with headings."""
    rows = [[heading, "mentions", "hits@1", "95 % interval", "hits@5", "MRR"]]
    for group in groups:
        low, high = 100 * group.interval.low, 100 * group.interval.high
        shares = [f"{100 * group.metrics[name]:.1f} %" for name in ("hits@1", "hits@5")]
        rows.append(
            [group.name, f"{group.count:,}", shares[0], f"{low:.1f} to {high:.1f} %", shares[1], f"{100 * group.metrics['mrr']:.1f} %"]
        )  # fmt: skip
    return rows
