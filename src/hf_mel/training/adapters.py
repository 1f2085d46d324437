"""Adapters for the model of a training."""

import os
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

from ..models import MatchingModel


if TYPE_CHECKING:
    from peft import LoraConfig


def with_adapters(
    model: MatchingModel | None, peft_config: "LoraConfig | None", args: TrainingArguments
) -> MatchingModel | None:
    """
    The model, to whose towers adapters were added if there is a `peft_config`; their random weights depend on the seed alone.

    Raises:
        `ImportError`: PEFT is not installed.
        `ValueError`: the adapters cannot be added (see [`~MatchingModel.add_adapter`]), or nobody could load them from the Hub.
    """
    if model is None:
        return None
    if peft_config is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            model.add_adapter(peft_config)
    if args.push_to_hub and getattr(model, "has_adapters", False):
        local = _local_folder(model.config.adapters["base"])
        if local is not None:
            raise ValueError(
                f"`push_to_hub`: the adapters need the towers in {local}, a folder of this machine. Push that model first, and "
                "load it by its name on the Hub; or set `push_to_hub=False`, and push `model.merge_and_unload()`."
            )
    return model


def _local_folder(base: dict | None) -> str | None:
    """A folder of this machine that holds towers."""
    base = base or {}
    names = [base.get("checkpoint"), *(base.get("towers", {}).get(name) for name in ("text", "vision"))]
    return next((name for name in names if isinstance(name, str) and os.path.isabs(name)), None)
