"""Parameter groups of the one optimizer."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from ..encoding import TOWER_PARTS
from .arguments import MELTrainingArguments


def parameter_groups(
    step: nn.Module, args: MELTrainingArguments, decayed: Collection[str], options: Mapping[str, Any]
) -> list[dict]:
    """
    The trainable parameters of both sides, grouped by learning rate and by whether their weights decay.

    Args:
        step (`nn.Module`):
            The [`TrainingStep`].
        args ([`MELTrainingArguments`]):
            Learning rates and weight decay.
        decayed (`Collection[str]`):
            Names of the parameters that decay.
        options (`Mapping[str, Any]`):
            Options of the optimizer: their `lr` and `weight_decay`, if any, count before those of the arguments. The generator
            has its own learning rate.

    Returns:
        `list[dict]`: what a torch optimizer takes; `group` is `discriminator`, `towers` or `generator`.
    """
    rate, decay = options.get("lr", args.learning_rate), options.get("weight_decay", args.weight_decay)
    tower_rate = rate if args.tower_learning_rate is None else args.tower_learning_rate
    rates = {"discriminator": rate, "towers": tower_rate, "generator": args.generator_learning_rate}
    parameters: dict[tuple[str, bool], list] = defaultdict(list)
    for name, parameter in step.named_parameters():
        if parameter.requires_grad and _group_of(name) in rates:
            parameters[_group_of(name), name in decayed].append(parameter)
    return [
        {
            "params": group,
            "lr": rates[name],
            "weight_decay": decay if decays else 0.0,
            "group": name,
        }
        for (name, decays), group in parameters.items()
    ]


def make_optimizer(
    step: nn.Module, args: MELTrainingArguments, decayed: Collection[str], optimizer_cls: type, options: dict[str, Any]
) -> torch.optim.Optimizer:
    """
    The optimizer of both sides, over their [`parameter_groups`].

    Raises:
        `ValueError`: `optimizer_cls` is no class of optimizers.
    """
    if not (isinstance(optimizer_cls, type) and issubclass(optimizer_cls, torch.optim.Optimizer)):
        raise ValueError(
            f"`optimizer_cls_and_kwargs` must hold a subclass of `torch.optim.Optimizer`, got {optimizer_cls!r}: the Trainer "
            "passes the parameter groups of both sides, not a model."
        )
    return optimizer_cls(parameter_groups(step, args, decayed, options), **options)


def check_optimizer(step: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """
    Raises:
        `ValueError`: a given optimizer leaves out all parameters of one side.
    """
    if optimizer is None:
        return
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, side in step.named_children():
        parameters = [parameter for parameter in side.parameters() if parameter.requires_grad]
        if parameters and not any(id(parameter) in held for parameter in parameters):
            raise ValueError(
                f"`optimizers`: the optimizer holds no parameter of the {name}, which would not be trained. Make it over the "
                f"parameters of `model` and `generator`, or use `optimizer_cls_and_kwargs`."
            )


def _group_of(parameter: str) -> str:
    side, part = parameter.split(".")[:2]
    return "towers" if side == "discriminator" and part in TOWER_PARTS else side
