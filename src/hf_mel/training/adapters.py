"""Adapters for the model of a training."""

from typing import TYPE_CHECKING

import torch

from ..models import MatchingModel


if TYPE_CHECKING:
    from peft import LoraConfig


def with_adapters(model: MatchingModel | None, peft_config: "LoraConfig | None", seed: int) -> MatchingModel | None:
    """
    The model, to whose towers adapters were added if there is a `peft_config`; their random weights depend on the seed alone.

    Raises:
        `ImportError`: PEFT is not installed.
        `ValueError`: the adapters cannot be added; see [`~MatchingModel.add_adapter`].
    """
    if model is not None and peft_config is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.add_adapter(peft_config)
    return model
