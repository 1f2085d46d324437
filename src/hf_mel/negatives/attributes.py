"""Attribute sets of entities: similar entities as negatives, and batches of mentions with similar gold entities."""

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer
from torch.utils.data import Sampler
from transformers.utils.logging import tqdm


class AttributeSets:
    """Jaccard index `|a & b| / |a | b|` of the attribute sets of entities."""

    def __init__(self, attributes: Sequence[frozenset[str]]):
        self._incidence = MultiLabelBinarizer(sparse_output=True).fit_transform(attributes).astype(np.float32).tocsr()
        self._transposed = self._incidence.T.tocsr()
        self._sizes = np.asarray(self._incidence.sum(axis=1)).ravel()

    def jaccard(self, rows: np.ndarray) -> np.ndarray:
        """The index of each given entity with every entity, of shape `(len(rows), num_entities)`."""
        shared = (self._incidence[rows] @ self._transposed).toarray()
        return shared / np.maximum(self._sizes[rows][:, None] + self._sizes - shared, 1)


def attribute_neighbours(
    attributes: Sequence[frozenset[str]],
    rows: np.ndarray,
    num_neighbours: int = 100,
    block_size: int = 256,
    progress: bool = False,
) -> np.ndarray:
    """
    Entities whose attribute sets have the largest Jaccard index with each of the given entities (JD-CCL, Nguyen et al.
    2025), largest first, ties by row: of shape `(len(rows), num_neighbours)`, `-1` where fewer share anything.

    Memory grows with `block_size`, the number of entities compared at once; results do not depend on it.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.negatives import attribute_neighbours

    >>> sets = [frozenset("ab"), frozenset("abc"), frozenset("bc"), frozenset("d")]
    >>> attribute_neighbours(sets, np.array([0]), num_neighbours=3)
    array([[ 1,  2, -1]], dtype=int32)
    ```
    """
    sets = AttributeSets(attributes)
    result = np.full((len(rows), num_neighbours), -1, dtype=np.int32)
    count = min(num_neighbours, len(attributes))
    for begin in tqdm(range(0, len(rows), block_size), desc="Attribute neighbours", disable=not progress):
        block = rows[begin : begin + block_size]
        jaccard = sets.jaccard(block)
        jaccard[np.arange(len(block)), block] = 0
        # Ties at the border are settled by the row: a score falls by less than any two Jaccard indices differ.
        ranking = jaccard.astype(np.float64) - np.arange(len(attributes)) * (1e-7 / len(attributes))
        nearest = np.argpartition(-ranking, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(ranking, nearest, axis=1), axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        found = np.take_along_axis(jaccard, nearest, axis=1) > 0
        result[begin : begin + len(block), :count] = np.where(found, nearest, -1)
    return result


class AttributeBatches(Sampler[int]):
    """
    An order of the mentions in which each batch holds mentions with similar gold entities (after JD-CCL, Nguyen et al.,
    NAACL 2025): a random remaining mention, and those whose entities have the largest Jaccard index with its own. Mentions of
    an entity that the batch has already come last, since they are no negatives of each other.

    The order depends on seed and epoch alone. Batches are shuffled; an incomplete one comes at the end.

    Args:
        attributes (`Sequence[frozenset[str]]`): Attribute set of each gold entity.
        golds (`np.ndarray` of shape `(num_mentions,)`): Index of the gold entity of each mention among them.
        batch_size (`int`): Mentions that are contrasted: a batch of all processes.
        seed (`int`, *optional*, defaults to 0): Determines the order, together with the epoch.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.negatives import AttributeBatches

    >>> attributes = [frozenset("ab"), frozenset("xy"), frozenset("bc"), frozenset("yz")]
    >>> order = list(AttributeBatches(attributes, np.arange(4), batch_size=2))
    >>> sorted(sorted(order[begin : begin + 2]) for begin in (0, 2))
    [[0, 2], [1, 3]]
    ```
    """

    def __init__(self, attributes: Sequence[frozenset[str]], golds: np.ndarray, batch_size: int, seed: int = 0):
        self.sets, self.golds = AttributeSets(attributes), np.asarray(golds)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.golds)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self.seed, self.epoch))
        left = random.permutation(len(self.golds))
        batches = []
        while len(left) > self.batch_size:
            order = self._nearest_first(left)
            batches.append(left[order[: self.batch_size]])
            left = left[np.sort(order[self.batch_size :])]
        if len(left) == self.batch_size:
            batches, left = [*batches, left], left[:0]
        for batch in [*(batches[i] for i in random.permutation(len(batches))), left]:
            yield from batch.tolist()

    def _nearest_first(self, left: np.ndarray) -> np.ndarray:
        """Positions in `left`, most similar to its first mention first."""
        golds = self.golds[left]
        again = np.ones(len(left), dtype=bool)
        again[np.unique(golds, return_index=True)[1]] = False
        return np.lexsort((np.arange(len(left)), -self.sets.jaccard(golds[:1])[0][golds], again))
