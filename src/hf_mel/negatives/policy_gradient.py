"""`pg`: a generator, trained by policy gradient, draws the negatives."""

import torch

from .base import NegativeStrategy, Selection, SelectionContext, sample_columns, sample_without_replacement


class PolicyGradient(NegativeStrategy):
    """
    Samples from the generator's distribution `p(e | m)` over the pool. The generator's loss is the business of the training
    step, which sees the rewards and weighs them with the weights of the samples.

    Args:
        with_replacement (`bool`, *optional*, defaults to `True`):
            Independent draws; otherwise different negatives, see [`sample_without_replacement`].
    """

    name = "pg"
    uses_generator = True

    def __init__(self, num_negatives: int, with_replacement: bool = True):
        super().__init__(num_negatives)
        self.with_replacement = with_replacement

    def select(self, context: SelectionContext) -> Selection:
        log_probs = context.log_probs.detach()
        if self.with_replacement:
            columns = sample_columns(log_probs.exp(), context.uniforms("sample", self.num_negatives))
            weights = torch.full_like(log_probs[:, : self.num_negatives], 1 / self.num_negatives)
        else:
            uniforms = context.uniforms("sample", log_probs.shape[1])
            columns, weights = sample_without_replacement(log_probs, uniforms, self.num_negatives)
        return self.picked(context, columns)._replace(weights=weights)
