"""Random draws that are the same on every machine: each comes from a SHA-256 of what it is for."""

import hashlib
from collections.abc import Sequence


SEED = "emojimel-2"


class Draw:
    """A stream of draws with a name of its own, such as `Draw("1F600", "split")`.

    Adding a mention or an entity leaves the draws of all others as they were, and no library's generator, which may
    change with its version, takes part.
    """

    def __init__(self, *key: str | int, seed: str = SEED):
        self.key = key
        self._prefix = "\x1f".join(str(part) for part in (seed, *key)).encode()
        self._count = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        digest = hashlib.sha256(self._prefix + b"\x1f%d" % self._count).digest()
        self._count += 1
        return low + (high - low) * (int.from_bytes(digest[:7], "big") / 2**56)

    def below(self, limit: int) -> int:
        return int(self.uniform() * limit)

    def choice(self, items: Sequence):
        return items[self.below(len(items))]

    def weighted(self, weights: dict[str, float]) -> str:
        """A key of `weights`, as often as its weight says."""
        point = self.uniform(0.0, sum(weights.values()))
        for name, weight in weights.items():
            point -= weight
            if point < 0:
                return name
        return name

    def shuffled(self, items: Sequence) -> list:
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items

    def sample(self, items: Sequence, number: int) -> list:
        return self.shuffled(items)[:number]
