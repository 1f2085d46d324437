"""Batches in which the mentions' entities share attributes, so that the negatives of an in-batch contrast are hard ones."""

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer
from torch.utils.data import Sampler

from ..data import KnowledgeBase
from .arguments import MELTrainingArguments


class AttributeBatches(Sampler[int]):
    """
    An order of the mentions, whose consecutive batches hold mentions with similar gold entities: each batch begins with a
    mention that is left, at random, and takes those whose entities' attribute sets have the largest Jaccard index with
    its own (after JD-CCL, Nguyen et al., NAACL 2025). Mentions of an entity that the batch has already come last: they are
    no negatives of each other. Where nothing is shared the order is random.

    The order depends on seed and epoch alone: not on workers or processes, nor on what was drawn before. Batches are
    shuffled; what fills no whole batch comes at the end. Costs a product with a sparse matrix and a sort a batch.

    Args:
        attributes (`Sequence[frozenset[str]]`):
            Attribute set of each gold entity.
        golds (`np.ndarray` of shape `(num_mentions,)`):
            Which of them is the gold entity of each mention.
        batch_size (`int`):
            Mentions over which the contrast goes: a batch of all processes.
        seed (`int`, *optional*, defaults to 0):
            Determines the order, with the epoch.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.training.attribute_batches import AttributeBatches

    >>> attributes = [frozenset("ab"), frozenset("xy"), frozenset("bc"), frozenset("yz")]
    >>> order = list(AttributeBatches(attributes, np.arange(4), batch_size=2))
    >>> sorted(sorted(order[begin : begin + 2]) for begin in (0, 2))
    [[0, 2], [1, 3]]
    ```
    """

    def __init__(self, attributes: Sequence[frozenset[str]], golds: np.ndarray, batch_size: int, seed: int = 0):
        self.golds = np.asarray(golds)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._incidence = MultiLabelBinarizer(sparse_output=True).fit_transform(attributes).astype(np.float32).tocsr()
        self._sizes = np.asarray(self._incidence.sum(axis=1)).ravel()

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
        whole = [*batches, left] if len(left) == self.batch_size else batches
        rest = [] if len(left) == self.batch_size else [left]
        for batch in [*(whole[i] for i in random.permutation(len(whole))), *rest]:
            yield from batch.tolist()

    def _nearest_first(self, left: np.ndarray) -> np.ndarray:
        """Positions in `left`, which begins with the mention that the others are compared with."""
        golds = self.golds[left]
        shared = (self._incidence @ self._incidence[golds[0]].T).toarray().ravel()
        jaccard = shared / np.maximum(self._sizes + self._sizes[golds[0]] - shared, 1)
        again = np.ones(len(left), dtype=bool)
        again[np.unique(golds, return_index=True)[1]] = False
        return np.lexsort((np.arange(len(left)), -jaccard[golds], again))


def attribute_batches(
    args: MELTrainingArguments, gold_rows: np.ndarray, knowledge_base: KnowledgeBase
) -> AttributeBatches | None:
    """
    [`AttributeBatches`] of a training; `None` if `batch_sampler` asks for no such batches.

    Args:
        args ([`MELTrainingArguments`]):
            Sampler, batch sizes, number of processes, seed.
        gold_rows (`np.ndarray` of shape `(num_mentions,)`):
            Entity row of each mention's gold entity.
        knowledge_base ([`KnowledgeBase`]):
            The entities.
    """
    if args.batch_sampler != "attribute":
        return None
    # Rows that are the same entity count as one.
    _, rows, golds = np.unique(knowledge_base.identity[gold_rows], return_index=True, return_inverse=True)
    attributes = knowledge_base.attribute_sets(gold_rows[rows])
    batch_size = args.train_batch_size * args.world_size
    seed = args.seed if args.data_seed is None else args.data_seed
    return AttributeBatches(attributes, golds, batch_size, seed)
