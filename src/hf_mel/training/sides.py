"""The two sides of a training: the model with its adapters, the generator, and the parameter groups of their optimizer."""

import os
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import TrainingArguments

from ..data import KnowledgeBase
from ..encoding import SideInputs
from ..evaluation.models import Linkable
from ..models import MatchingModel, PGMELGenerator, PGMELGeneratorConfig
from ..models.tower_features import TOWER_PARTS
from ..names import name_index_of
from .arguments import MELTrainingArguments
from .processes import Processes
from .sampling import NegativeSampler
from .step import TrainingStep


if TYPE_CHECKING:
    from peft import LoraConfig


def build_step(
    model: MatchingModel,
    generator: PGMELGenerator | None,
    args: MELTrainingArguments,
    mentions: Linkable,
    knowledge_base: KnowledgeBase,
    processes: Processes,
    read_entities: Callable[[], SideInputs],
) -> TrainingStep:
    """The [`TrainingStep`] of a model, with a new generator where the strategy needs one and none is given."""
    names = name_index_of(model, knowledge_base)
    sampler = NegativeSampler(args, mentions.dataset["mention"][:], mentions.gold_rows, knowledge_base, names)
    is_new = generator is None
    if is_new and sampler.strategy.reads == "policy":
        generator = new_generator(model, args)
    if generator is not None:
        _check_generator(model, generator, args, is_new)
    if args.mini_batch_size is not None:
        _check_mini_batches(model)
    step = TrainingStep(model, generator, sampler, processes, read_entities, args)
    step.generator_waits = is_new and generator is not None and args.generator_init == "discriminator"
    return step


# ---- Generator ----


def new_generator(model: MatchingModel, args: MELTrainingArguments) -> PGMELGenerator:
    """A generator for the model, whose random weights depend on the seed alone."""
    options = {"policy_temperature": args.policy_temperature, "generator_type": args.generator_type}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return PGMELGenerator(PGMELGeneratorConfig.from_model_config(model.config, **options))


def _check_generator(
    model: MatchingModel, generator: PGMELGenerator, args: MELTrainingArguments, is_new: bool
) -> None:
    """Refuses a generator that cannot begin as the model's heads, or that cannot read its index."""
    if is_new and args.generator_init == "discriminator":
        heads = getattr(model, "heads", None)
        heads = heads.of("mention") if args.generator_type == "query" and hasattr(heads, "of") else heads
        if _shapes(getattr(generator, "head", None) or generator.heads) != _shapes(heads):
            raise ValueError(
                "the generator cannot begin as a copy of the discriminator's heads, which are of another kind: set "
                "`generator_init='random'`."
            )
    elif args.generator_type == "query":
        size = getattr(model.config, "projection_size", None)
        if model.vector_name is None or size != generator.config.projection_size:
            raise ValueError(
                "a query-side generator is compared with the vectors of the model's index, which have another size: set "
                "`generator_type='both'`."
            )


def _shapes(module: nn.Module | None) -> dict[str, torch.Size]:
    return {} if module is None else {name: value.shape for name, value in module.state_dict().items()}


# ---- Discriminator ----


def _check_mini_batches(model: MatchingModel) -> None:
    """Refuses a model whose rows depend on the other rows that are encoded with them."""
    trained = [each for each in model.modules() if any(p.requires_grad for p in each.parameters(recurse=False))]
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in trained):
        raise ValueError(
            "`mini_batch_size` cannot be used with a trained tower that has batch normalisation: its statistics would be "
            "those of a mini-batch. Freeze the tower, or leave `mini_batch_size` out."
        )
    if model.rows_interact:
        raise ValueError(
            f"`mini_batch_size` cannot be used with {type(model).__name__} as configured: in training its mentions are "
            "encoded together with the others of the batch."
        )


def with_adapters(
    model: MatchingModel | None, peft_config: "LoraConfig | None", args: TrainingArguments
) -> MatchingModel | None:
    """
    The model, with adapters in its towers if there is a `peft_config`; their random weights depend on the seed alone.
    Refuses to push adapters that nobody could load from the Hub.
    """
    if model is not None and peft_config is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            model.add_adapter(peft_config)
    if args.push_to_hub and getattr(model, "has_adapters", False):
        base = model.config.adapters["base"] or {}
        names = [base.get("checkpoint"), *(base.get("towers", {}).get(name) for name in ("text", "vision"))]
        for name in names:
            if isinstance(name, str) and os.path.isabs(name):
                raise ValueError(
                    f"`push_to_hub`: the adapters need the towers in {name}, a folder of this machine. Push that model first, "
                    "and load it by its name on the Hub; or set `push_to_hub=False`, and push `model.merge_and_unload()`."
                )
    return model


# ---- Optimizer ----


def make_optimizer(
    step: nn.Module, args: MELTrainingArguments, decayed: Collection[str], optimizer_cls: type, options: dict[str, Any]
) -> torch.optim.Optimizer:
    """
    One optimizer of both sides, with parameter groups by learning rate and by weight decay.

    Args:
        decayed (`Collection[str]`): Names of the parameters with weight decay.
        options (`dict[str, Any]`):
            Options of the optimizer. `lr` and `weight_decay` replace those of the arguments, except for the learning rates of
            the generator and of the weights of the names. The latter do not decay.

    Raises:
        `ValueError`: `optimizer_cls` is no class of optimizers.
    """
    if not (isinstance(optimizer_cls, type) and issubclass(optimizer_cls, torch.optim.Optimizer)):
        raise ValueError(
            f"`optimizer_cls_and_kwargs` must hold a subclass of `torch.optim.Optimizer`, got {optimizer_cls!r}: the Trainer "
            "passes the parameter groups of both sides, not a model."
        )
    rate, decay = options.get("lr", args.learning_rate), options.get("weight_decay", args.weight_decay)
    tower_rate = rate if args.tower_learning_rate is None else args.tower_learning_rate
    rates = {"discriminator": rate, "towers": tower_rate, "generator": args.generator_learning_rate}
    rates["names"] = args.name_learning_rate
    parameters: dict[tuple[str, bool], list] = defaultdict(list)
    for name, parameter in step.named_parameters():
        side, part = name.split(".")[:2]
        group = side
        if side == "discriminator":
            group = "towers" if part in TOWER_PARTS else "names" if part == "pair_weights" else side
        if parameter.requires_grad and group in rates:
            parameters[group, name in decayed and group != "names"].append(parameter)
    groups = [
        {"params": params, "lr": rates[group], "weight_decay": decay if decays else 0.0, "group": group}
        for (group, decays), params in parameters.items()
    ]
    return optimizer_cls(groups, **options)


def check_optimizer(step: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """Refuses a given optimizer that leaves out all parameters of one side."""
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
