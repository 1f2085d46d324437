"""`pg`: a generator, trained by policy gradient, draws the negatives."""

import torch

from .base import NegativeStrategy, SelectionContext, sample_columns


class PolicyGradient(NegativeStrategy):
    """
    Samples with replacement from the generator's distribution `p(e | m)` over the pool. The generator's loss is the
    business of the training step, which sees the rewards.
    """

    name = "pg"
    uses_generator = True

    def columns(self, context: SelectionContext) -> torch.Tensor:
        probabilities = context.log_probs.detach().exp()
        return sample_columns(probabilities, context.uniforms("sample", self.num_negatives))
