"""Lexical neighbours: entities whose name or alias shares words or character n-grams with a mention."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers.utils.logging import tqdm


def lexical_neighbours(
    mentions: Sequence[str],
    names: Sequence[str],
    aliases: Sequence[Sequence[str]] | None = None,
    num_neighbours: int = 100,
    block_size: int = 1024,
    progress: bool = False,
) -> np.ndarray:
    """
    Entities whose names resemble each mention, most similar first: cosine of TF-IDF over words (a shared surname) plus
    that over character trigrams within words (a variant spelling). An entity counts with its best name.

    Args:
        mentions (`Sequence[str]`):
            Mention strings; equal ones are looked up once.
        names (`Sequence[str]`):
            Name of each entity.
        aliases (`Sequence[Sequence[str]]`, *optional*):
            Further names of each entity.
        num_neighbours (`int`, *optional*, defaults to 100):
            Entities listed for each mention.
        block_size (`int`, *optional*, defaults to 1024):
            Mentions compared at once: memory grows with it, results do not depend on it.

    Returns:
        `np.ndarray` of shape `(len(mentions), num_neighbours)` and type `int32`: entity rows, `-1` where fewer
        entities share anything.

    Example:

    ```python
    >>> from hf_mel.negatives import lexical_neighbours

    >>> lexical_neighbours(["Williams"], ["Robin Williams", "Robin Hood", "Serena Williams"], num_neighbours=3)
    array([[ 0,  2, -1]], dtype=int32)
    ```
    """
    strings, owners = list(names), np.arange(len(names))
    if aliases is not None:
        extra = [(alias, row) for row, own in enumerate(aliases) for alias in own]
        strings += [alias for alias, _ in extra]
        owners = np.concatenate([owners, np.array([row for _, row in extra], dtype=owners.dtype)])
    words = TfidfVectorizer(analyzer="word", token_pattern=r"\w+", sublinear_tf=True, dtype=np.float32)
    trigrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True, dtype=np.float32)
    index = sparse.hstack([words.fit_transform(strings), trigrams.fit_transform(strings)], format="csr").T.tocsr()

    unique, inverse = np.unique(np.asarray(mentions, dtype=object).astype(str), return_inverse=True)
    result = np.full((len(unique), num_neighbours), -1, dtype=np.int32)
    blocks = range(0, len(unique), block_size)
    for begin in tqdm(blocks, desc="Lexical neighbours", disable=not progress):
        block = unique[begin : begin + block_size]
        scores = sparse.hstack([words.transform(block), trigrams.transform(block)], format="csr") @ index
        for offset in range(len(block)):
            entries = slice(scores.indptr[offset], scores.indptr[offset + 1])
            nearest = _best_owners(owners[scores.indices[entries]], scores.data[entries], num_neighbours)
            result[begin + offset, : len(nearest)] = nearest
    return result[inverse]


def _best_owners(owners: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """The owners with the highest scores, each once, ties by row."""
    order = np.lexsort((owners, -scores))
    ordered = owners[order]
    _, first = np.unique(ordered, return_index=True)
    return ordered[np.sort(first)[:count]]
