"""Candidate pools `C(m)`: a mixture of near, lexically similar, attribute-sharing and uniform entities."""

from collections.abc import Mapping

import numpy as np
import torch

from .candidates import Candidates, row_uniforms


SOURCES = ("dense", "lexical", "attribute", "uniform")


class PoolBuilder:
    """
    Builds the pool of a mention as a function of (seed, epoch, mention) and of the neighbour lists: the same whatever
    the batch, the worker or the process.

    Args:
        gold_rows (`np.ndarray` of shape `(num_mentions,)`):
            Entity row of the gold entity of each mention.
        identity (`np.ndarray` of shape `(num_entities,)`):
            Entities with the same number are the same entity: neither is a negative of the other.
        size (`int`):
            Candidates in a pool.
        shares (`Mapping[str, float]`):
            Share of each source (`"dense"`, `"lexical"`, `"attribute"`, `"uniform"`); they sum to 1.
        seed (`int`):
            Seed of all draws.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel import PoolBuilder

    >>> builder = PoolBuilder(np.array([0, 1]), identity=np.arange(5), size=3, shares={"uniform": 1.0}, seed=0)
    >>> pool = builder.build(np.array([0, 1]), epoch=0)
    >>> pool.rows.shape, bool((pool.rows[0][pool.mask[0]] == 0).any())
    (torch.Size([2, 3]), False)
    ```
    """

    def __init__(self, gold_rows: np.ndarray, identity: np.ndarray, size: int, shares: Mapping[str, float], seed: int):
        self.gold_rows = np.asarray(gold_rows, dtype=np.int64)
        self.identity = np.asarray(identity, dtype=np.int64)
        self.size, self.seed, self.counts = size, seed, share_counts(shares, size)
        self.lists: dict[str, np.ndarray] = {}

    def needs(self, source: str) -> bool:
        """True if the pool takes candidates from this source."""
        return self.counts.get(source, 0) > 0

    def set_source(self, name: str, lists: np.ndarray) -> None:
        """Sets the lists of a source: entity rows of shape `(num_mentions, k)`, nearest first, `-1` where there are fewer."""
        if name not in SOURCES[:-1]:
            raise ValueError(f"unknown source of candidates {name!r}: one of {', '.join(SOURCES[:-1])}")
        self.lists[name] = lists

    def build(self, mentions: np.ndarray, epoch: int) -> Candidates:
        """Pools of these mentions (indices in the training set), another one in each epoch."""
        parts = [self._draw(name, count, mentions, epoch) for name, count in self.counts.items() if count]
        rows = np.concatenate(parts, axis=1)
        # A list which is too short leaves gaps: uniform candidates fill them.
        filling = self.uniform_rows(rows.shape[1], mentions, epoch, stream="fill")
        rows = np.where(rows < 0, filling, rows)
        return self.masked(rows, mentions, epoch)

    def masked(self, rows: np.ndarray, mentions: np.ndarray, epoch: int) -> Candidates:
        """Pools of given rows, with the mask that every pool has."""
        mask = self.identity[rows] != self.identity[self.gold_rows[mentions]][:, None]
        mask = torch.from_numpy(mask & ~repeated(rows))
        return Candidates(np.asarray(mentions), torch.from_numpy(rows), mask, self.seed, epoch)

    def _draw(self, name: str, count: int, mentions: np.ndarray, epoch: int) -> np.ndarray:
        if name == "uniform":
            return self.uniform_rows(count, mentions, epoch, stream="uniform")
        if name not in self.lists:
            raise ValueError(
                f"the pool takes {count} of {self.size} candidates from {name!r}, whose lists were not set"
            )
        lists = np.asarray(self.lists[name][mentions], dtype=np.int64)
        if lists.shape[1] < count:
            lists = np.pad(lists, ((0, 0), (0, count - lists.shape[1])), constant_values=-1)
        keys = row_uniforms(self.seed, epoch, mentions, f"pool/{name}", lists.shape[1])
        keys[lists < 0] = 2.0  # gaps are taken last
        chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
        # In the order of the lists: which of the chosen comes first must not depend on how a partition is done.
        return np.take_along_axis(lists, np.sort(chosen, axis=1), axis=1)

    def uniform_rows(self, count: int, mentions: np.ndarray, epoch: int, stream: str) -> np.ndarray:
        """Uniform entity rows of shape `(batch_size, count)`; another `stream` gives others."""
        uniforms = row_uniforms(self.seed, epoch, mentions, f"pool/{stream}", count)
        return (uniforms * len(self.identity)).astype(np.int64)


def share_counts(shares: Mapping[str, float], size: int) -> dict[str, int]:
    """Number of candidates of each source among `size`, rounded by the largest remainder."""
    unknown = sorted(set(shares) - set(SOURCES))
    if unknown:
        raise ValueError(f"unknown source of candidates {unknown[0]!r}: one of {', '.join(SOURCES)}")
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"the shares of a pool must be at least 0 and sum to 1, got {dict(shares)}")
    exact = {name: shares[name] * size for name in SOURCES if name in shares}
    counts = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])  # stable: earlier sources first
    for name in by_remainder[: size - sum(counts.values())]:
        counts[name] += 1
    return counts


def repeated(rows: np.ndarray) -> np.ndarray:
    """Mask of the candidates that occur further left in their row, of shape `(batch_size, pool_size)`."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    result = np.empty_like(again)
    np.put_along_axis(result, order, again, axis=1)
    return result
