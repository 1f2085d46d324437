"""`semi_hard`: farther than the gold entity, yet inside the margin."""

import torch

from .base import NegativeStrategy, ScoreSource, SelectionContext, sample_columns


class SemiHard(NegativeStrategy):
    """
    Draws uniformly among the candidates with `d(m, e+) < d(m, e) < d(m, e+) + margin` (FaceNet, Schroff et al.
    2015). A mention whose pool has none draws uniformly from its pool.

    Args:
        margin (`float`):
            Width of the band.
        scores (`"fresh"` or `"index"`):
            See [`TopK`].
    """

    name = "semi_hard"

    def __init__(self, num_negatives: int, margin: float, scores: ScoreSource = "index"):
        super().__init__(num_negatives)
        self.margin = margin
        self.scores = scores

    @property
    def uses_index_scores(self) -> bool:
        return self.scores == "index"

    def columns(self, context: SelectionContext) -> torch.Tensor:
        gap = context.gold_scores(self.scores).unsqueeze(-1) - context.pool_scores(self.scores)
        band = (gap > 0) & (gap < self.margin)
        weights = torch.where(band.any(dim=-1, keepdim=True), band, context.pool.mask)
        return sample_columns(weights.float(), context.uniforms("semi_hard", self.num_negatives))
