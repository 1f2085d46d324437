"""`in_batch`: no negatives of its own; the other mentions' gold entities in the contrastive loss are all there is."""

import torch

from .base import NegativeStrategy, SelectionContext


class InBatch(NegativeStrategy):
    """Picks nothing. Needs `contrast_weight > 0`, or there would be no loss."""

    name = "in_batch"
    pool_shares = {"uniform": 1.0}

    def columns(self, context: SelectionContext) -> torch.Tensor:
        return context.pool.rows[:, :0]
