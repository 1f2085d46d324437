"""Lexical neighbours: entities whose name or alias shares words or character n-grams with a mention."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers.utils.logging import tqdm

from .normal_form import fold_letters, text_words


class LexicalIndex:
    """
    An index of names and aliases by similarity: cosine of TF-IDF over words (a shared surname) plus that over character
    trigrams within words (a variant spelling). An entity counts with its best name. Names are compared without case, width and
    accents ([`fold_letters`]); in scripts without spaces between words, [`text_words`] are single Chinese characters and pairs of
    other letters.

    Args:
        names (`Sequence[str]`): Name of each entity.
        aliases (`Sequence[Sequence[str]]`, *optional*): Further names of each entity.

    Example:

    ```python
    >>> from hf_mel.names import LexicalIndex

    >>> index = LexicalIndex(["Robin Williams", "Robin Hood", "Serena Williams"])
    >>> rows, scores = index.search(["Williams"], k=3)
    >>> rows
    array([[ 0,  2, -1]], dtype=int32)
    ```
    """

    def __init__(self, names: Sequence[str], aliases: Sequence[Sequence[str]] | None = None):
        strings, owners = list(names), np.arange(len(names))
        if aliases is not None:
            extra = [(alias, row) for row, own in enumerate(aliases) for alias in own]
            strings += [alias for alias, _ in extra]
            owners = np.concatenate([owners, np.array([row for _, row in extra], dtype=owners.dtype)])
        self._owners = owners
        options = {"preprocessor": fold_letters, "sublinear_tf": True, "dtype": np.float32}
        words = TfidfVectorizer(tokenizer=text_words, token_pattern=None, **options)
        trigrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), **options)
        # Names may consist of signs alone, in which there is no word to count.
        self._kinds = [words, trigrams] if any(map(text_words, strings)) else [trigrams]
        parts = [kind.fit_transform(strings) for kind in self._kinds]
        self._index = sparse.hstack(parts, format="csr").T.tocsr()

    def search(
        self,
        mentions: Sequence[str],
        k: int,
        allowed: np.ndarray | None = None,
        block_size: int = 1024,
        progress: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        The entities whose names resemble each mention most.

        Args:
            mentions (`Sequence[str]`):
                Mention strings; equal ones are looked up once.
            k (`int`):
                Entities listed for each mention.
            allowed (`np.ndarray` of shape `(num_entities,)` and type `bool`, *optional*):
                The entities that may be listed.
            block_size (`int`, *optional*, defaults to 1024):
                Mentions compared at once: memory grows with it, results do not depend on it.

        Returns:
            `tuple[np.ndarray, np.ndarray]`, both of shape `(len(mentions), k)`: entity rows (`int32`), most similar first and
            ties by row, `-1` where fewer share anything; similarities in [0, 2] (`float32`), `-inf` there.
        """
        unique, inverse = np.unique(np.asarray(mentions, dtype=object).astype(str), return_inverse=True)
        rows = np.full((len(unique), k), -1, dtype=np.int32)
        similarities = np.full((len(unique), k), -np.inf, dtype=np.float32)
        blocks = range(0, len(unique), block_size)
        for begin in tqdm(blocks, desc="Lexical neighbours", disable=not progress):
            block = unique[begin : begin + block_size]
            scores = sparse.hstack([kind.transform(block) for kind in self._kinds], format="csr") @ self._index
            for offset in range(len(block)):
                entries = slice(scores.indptr[offset], scores.indptr[offset + 1])
                owners, data = self._owners[scores.indices[entries]], scores.data[entries]
                if allowed is not None:
                    owners, data = owners[allowed[owners]], data[allowed[owners]]
                best, values = _best_owners(owners, data, k)
                rows[begin + offset, : len(best)], similarities[begin + offset, : len(best)] = best, values
        return rows[inverse], similarities[inverse]


def _best_owners(owners: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The owners with the highest scores, each once, ties by row; and these scores."""
    order = np.lexsort((owners, -scores))
    ordered = owners[order]
    _, first = np.unique(ordered, return_index=True)
    first = np.sort(first)[:count]
    return ordered[first], scores[order][first]
