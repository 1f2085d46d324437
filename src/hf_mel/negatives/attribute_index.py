"""Attribute neighbours: entities with a small Jaccard distance between attribute sets."""

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer
from transformers.utils.logging import tqdm


def attribute_neighbours(
    attributes: Sequence[frozenset[str]],
    rows: np.ndarray,
    num_neighbours: int = 100,
    block_size: int = 256,
    progress: bool = False,
) -> np.ndarray:
    """
    Entities whose attribute sets have the largest Jaccard index `|a & b| / |a | b|` with each of the given entities
    (JD-CCL, Nguyen et al. 2025), largest first, ties by row. The entity itself and entities which share nothing are
    not listed.

    Args:
        attributes (`Sequence[frozenset[str]]`):
            Attribute set of each entity.
        rows (`np.ndarray` of shape `(num_queries,)`):
            Entities whose neighbours are wanted.
        num_neighbours (`int`, *optional*, defaults to 100):
            Entities listed for each.
        block_size (`int`, *optional*, defaults to 256):
            Entities compared at once: memory grows with it, results do not depend on it.

    Returns:
        `np.ndarray` of shape `(num_queries, num_neighbours)` and type `int32`, `-1` where there are fewer.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.negatives import attribute_neighbours

    >>> sets = [frozenset("ab"), frozenset("abc"), frozenset("bc"), frozenset("d")]
    >>> attribute_neighbours(sets, np.array([0]), num_neighbours=3)
    array([[ 1,  2, -1]], dtype=int32)
    ```
    """
    incidence = MultiLabelBinarizer(sparse_output=True).fit_transform(attributes).astype(np.float32).tocsr()
    sizes = np.asarray(incidence.sum(axis=1)).ravel()
    transposed = incidence.T.tocsr()
    result = np.full((len(rows), num_neighbours), -1, dtype=np.int32)
    count = min(num_neighbours, len(attributes))
    for begin in tqdm(range(0, len(rows), block_size), desc="Attribute neighbours", disable=not progress):
        block = rows[begin : begin + block_size]
        shared = (incidence[block] @ transposed).toarray()
        jaccard = shared / np.maximum(sizes[block][:, None] + sizes - shared, 1)
        jaccard[np.arange(len(block)), block] = 0
        # Ties at the border are settled by the row: a score falls by less than any two Jaccard indices differ.
        ranking = jaccard.astype(np.float64) - np.arange(len(attributes)) * (1e-7 / len(attributes))
        nearest = np.argpartition(-ranking, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(ranking, nearest, axis=1), axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        found = np.take_along_axis(jaccard, nearest, axis=1) > 0
        result[begin : begin + len(block), :count] = np.where(found, nearest, -1)
    return result
