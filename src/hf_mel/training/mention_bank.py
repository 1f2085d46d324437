"""Mentions of the training set that are stored in a model whose scores look them up."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..encoding import SideInputs, evaluation_mode, to_device, tower_features
from ..models import MatchingModel, TowerFeatures


def fill_mention_bank(
    model: MatchingModel, mention_inputs: Callable[[], SideInputs], seed: int, batch_size: int = 256
) -> None:
    """
    Offer the mentions to [`~MatchingModel.fill_bank`] in an order that depends on the seed alone. A model asks for as many
    as it stores, most for none. The same in each process, without any exchange between them.

    Args:
        model ([`MatchingModel`]):
            The model; left in the mode in which it was.
        mention_inputs (`Callable`):
            Makes the [`MentionInputs`] of the training set, or its [`FeatureCache`]; not called if the model asks for none.
        seed (`int`):
            Determines which mentions come first.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions for which the towers run at once.
    """

    def batches() -> Iterator[TowerFeatures]:
        inputs = mention_inputs()
        rows = np.random.default_rng(seed).permutation(len(inputs))
        for begin in range(0, len(rows), batch_size):
            part = inputs(rows[begin : begin + batch_size])
            yield tower_features(model, to_device(part, model.device))

    with evaluation_mode(model), torch.no_grad():
        model.fill_bank(batches())
