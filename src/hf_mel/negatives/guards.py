"""Guards against false negatives: candidates that may well be the gold entity are dropped from the pools."""

import numpy as np
import torch


def below_share_of_gold(scores: torch.Tensor, gold_scores: torch.Tensor, share: float) -> torch.Tensor:
    """
    Candidates of shape `(batch_size, pool_size)` whose score is at most `share` of the gold entity's ("positive-aware"
    mining of NV-Retriever, [arXiv 2407.15831](https://huggingface.co/papers/2407.15831)); for a negative gold score, at most
    that score itself.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.negatives import below_share_of_gold

    >>> below_share_of_gold(torch.tensor([[0.77, 0.75, 0.9]]), torch.tensor([0.8]), share=0.95)
    tensor([[False,  True, False]])
    ```
    """
    limit = torch.where(gold_scores > 0, share * gold_scores, gold_scores)
    return scores <= limit.unsqueeze(-1)


class OwnerGuard:
    """
    Drops a candidate that is the gold entity of a training mention very similar to this one, which probably means the same
    (after SaHa, [arXiv 2508.00955](https://huggingface.co/papers/2508.00955)). `gold_rows` of shape `(num_mentions,)` are the
    gold entities of all training mentions.

    Example:

    ```python
    >>> import numpy as np, torch
    >>> from hf_mel.negatives import OwnerGuard

    >>> guard = OwnerGuard(np.array([0, 1, 2]), num_entities=4)
    >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> guard.keeps(np.array([0]), torch.tensor([[1, 2, 3]]), vectors, limit=0.9)
    tensor([[False,  True,  True]])
    ```
    """

    def __init__(self, gold_rows: np.ndarray, num_entities: int):
        self._owners = np.argsort(gold_rows, kind="stable")
        self._starts = np.searchsorted(gold_rows[self._owners], np.arange(num_entities + 1))

    def keeps(self, mentions: np.ndarray, rows: torch.Tensor, vectors: torch.Tensor, limit: float) -> torch.Tensor:
        """
        Candidates `rows` of shape `(batch_size, pool_size)` to keep: no mention whose gold entity they are has, by the
        `vectors` of all training mentions, a cosine above `limit` with the mention of their row.
        """
        flat = rows.cpu().numpy().ravel()
        counts = self._starts[flat + 1] - self._starts[flat]
        # One pair for each owner of each candidate.
        pair = np.repeat(np.arange(len(flat)), counts)
        first = np.cumsum(counts) - counts
        owners = self._owners[self._starts[flat][pair] + np.arange(len(pair)) - first[pair]]
        own = torch.from_numpy(np.asarray(mentions)[pair // rows.shape[1]])
        similar = torch.cosine_similarity(vectors[own].float(), vectors[torch.from_numpy(owners)].float()) > limit
        keeps = torch.ones(len(flat), dtype=torch.bool)
        keeps[torch.from_numpy(pair)[similar]] = False
        return keeps.view(rows.shape).to(rows.device)
