"""Features of a pair of a mention and an entity, and their learned weights in the score."""

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init


PAIR_FEATURES = {
    "name_exact": 0.05,
    "alias_exact": 0.05,
    "mention_share": 0.1,
    "name_share": 0.05,
    "mention_contained": 0.05,
    "acronym": 0.1,
}
"""
The features of names in their order, each in [0, 1], with the weight at which training begins for a score that is a cosine:
whether the mention is the entity's name, or one of its aliases; the share of the mention's tokens that a name has, and of a
name's tokens that the mention has; whether a name has all tokens of the mention; whether one is the other's acronym.
"""
# The `softmax_temperature` of a score that is a cosine.
_COSINE_TEMPERATURE = 0.05


class PairWeights(nn.Module):
    """
    Weights of [`PAIR_FEATURES`], learned and never negative, so that an entity without features can be passed over in a
    search. They begin at a prior, in units of the model's `softmax_temperature`: a model whose scores spread more widely
    begins with larger weights.

    Args:
        config ([`~transformers.PreTrainedConfig`]): Configuration of the model.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.scale = config.softmax_temperature / _COSINE_TEMPERATURE
        self.weight = nn.Parameter(self._prior())

    def _prior(self) -> torch.Tensor:
        return torch.tensor([value * self.scale for value in PAIR_FEATURES.values()])

    def reset(self) -> None:
        """Set the weights to their prior."""
        init.copy_(self.weight, self._prior())

    @property
    def is_prior(self) -> bool:
        """True if the weights are the prior."""
        return torch.equal(self.weight, self._prior().to(self.weight))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """
        Weighted sum of features.

        Args:
            features (`torch.FloatTensor` of shape `(*, num_features)`): In the order of [`PAIR_FEATURES`].

        Returns:
            `torch.FloatTensor` of shape `(*)`.
        """
        return weighted_sum(features, _NotNegative.apply(self.weight))

    @property
    def values(self) -> torch.Tensor:
        """The weights as they count, without gradient."""
        return self.weight.detach().clamp(min=0)


def weighted_sum(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum of features `(*, num_features)` times their weights `(num_features,)`, the same to the last bit in any shape."""
    added = features[..., 0] * weights[0]
    for number in range(1, len(weights)):  # one after the other, since a reduction may round in another order
        added = added + features[..., number] * weights[number]
    return added


class _NotNegative(torch.autograd.Function):
    """0 in place of a negative number; a gradient that would bring it back to positive ones passes."""

    @staticmethod
    def forward(ctx, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return weight.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        (weight,) = ctx.saved_tensors
        return torch.where((weight > 0) | (gradient < 0), gradient, 0.0)


@torch.no_grad()
def init_pair_weights(module: nn.Module) -> None:
    """Set the weights of a [`PairWeights`] to their prior; leaves any other module."""
    if isinstance(module, PairWeights):
        module.reset()
