"""Parameter groups of the one optimizer."""

from collections import defaultdict
from collections.abc import Collection

from torch import nn

from ..encoding import TOWER_PARTS
from .arguments import MELTrainingArguments


def parameter_groups(step: nn.Module, args: MELTrainingArguments, decayed: Collection[str]) -> list[dict]:
    """
    The trainable parameters of both sides, grouped by learning rate and by whether their weights decay.

    Args:
        step (`nn.Module`):
            The [`TrainingStep`].
        args ([`MELTrainingArguments`]):
            Learning rates and weight decay.
        decayed (`Collection[str]`):
            Names of the parameters that decay.

    Returns:
        `list[dict]`: what a torch optimizer takes; `group` is `discriminator`, `towers` or `generator`.
    """
    tower_rate = args.learning_rate if args.tower_learning_rate is None else args.tower_learning_rate
    rates = {"discriminator": args.learning_rate, "towers": tower_rate, "generator": args.generator_learning_rate}
    parameters: dict[tuple[str, bool], list] = defaultdict(list)
    for name, parameter in step.named_parameters():
        if parameter.requires_grad and _group_of(name) in rates:
            parameters[_group_of(name), name in decayed].append(parameter)
    return [
        {
            "params": group,
            "lr": rates[name],
            "weight_decay": args.weight_decay if decays else 0.0,
            "group": name,
        }
        for (name, decays), group in parameters.items()
    ]


def _group_of(parameter: str) -> str:
    side, part = parameter.split(".")[:2]
    return "towers" if side == "discriminator" and part in TOWER_PARTS else side
