"""Stored rows written again: without removed ones, or in another precision."""

from pathlib import Path

import numpy as np

from .manifest import Shard
from .precision import reduce_tensors
from .store import Store, write_shard


def rewrite(
    store: Store, rows: np.ndarray, folder: Path, first: int, shard_rows: int, precision: str | None = None
) -> list[Shard]:
    """
    Writes stored rows as new shards; nothing is encoded again.

    Args:
        store ([`Store`]): Where they are.
        rows (`np.ndarray`): Which, ascending.
        folder (`Path`): The folder of the index to write into.
        first (`int`): Number of the first new shard.
        shard_rows (`int`): Rows of a shard.
        precision (`str`, *optional*): In what; by default vectors stay bit for bit what they are.
    """
    shards = []
    for number, begin in enumerate(range(0, len(rows), shard_rows)):
        part = rows[begin : begin + shard_rows]
        tensors = store.stored(part) if precision is None else reduce_tensors(store.take(part), precision)
        shards.append(write_shard(folder, first + number, tensors, store.table(part)))
    return shards
