"""`topk`: the hardest of the pool."""

import torch

from .base import NegativeStrategy, ScoreSource, SelectionContext, choose_columns, top_columns


class TopK(NegativeStrategy):
    """
    The highest scores of the pool.

    Args:
        scores (`"fresh"` or `"index"`):
            Scores of the discriminator of this step, which encodes the whole pool for them, or of its last index
            refresh, which cost nothing.
        choose_from (`int`, *optional*):
            Chooses uniformly among that many of the hardest. Defaults to `num_negatives`: all of them are taken.
    """

    name = "topk"

    def __init__(self, num_negatives: int, scores: ScoreSource = "index", choose_from: int | None = None):
        super().__init__(num_negatives)
        self.scores = scores
        self.choose_from = num_negatives if choose_from is None else choose_from
        if self.choose_from < num_negatives:
            raise ValueError(f"cannot choose {num_negatives} negatives from the {self.choose_from} hardest")

    @property
    def uses_index_scores(self) -> bool:
        return self.scores == "index"

    def columns(self, context: SelectionContext) -> torch.Tensor:
        hardest = top_columns(context.pool_scores(self.scores), self.choose_from)
        if self.choose_from == self.num_negatives:
            return hardest
        mask = context.pool.mask.gather(1, hardest)
        chosen = choose_columns(mask, context.uniforms("choose", self.choose_from), self.num_negatives)
        return hardest.gather(1, chosen)
