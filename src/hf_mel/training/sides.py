"""The two sides of a training, and whether everything that a Trainer was given fits together."""

from collections.abc import Callable

import torch
from torch import nn

from ..data import KnowledgeBase
from ..encoding import SideInputs
from ..evaluation.models import Linkable
from ..models import MatchingModel, PGMELGenerator, PGMELGeneratorConfig
from .arguments import MELTrainingArguments
from .processes import Processes
from .sampling import NegativeSampler
from .step import TrainingStep


def build_step(
    model: MatchingModel,
    generator: PGMELGenerator | None,
    args: MELTrainingArguments,
    mentions: Linkable,
    knowledge_base: KnowledgeBase,
    processes: Processes,
    read_entities: Callable[[], SideInputs],
) -> TrainingStep:
    """The [`TrainingStep`] of a model; with a generator of its own, where the strategy needs one and none is given."""
    sampler = NegativeSampler(args, mentions.dataset["mention"][:], mentions.gold_rows, knowledge_base)
    is_new = generator is None
    if is_new and sampler.strategy.reads == "policy":
        generator = new_generator(model, args)
    check_sides(model, generator, args, is_new)
    return TrainingStep(model, generator, sampler, processes, read_entities, args)


def new_generator(model: MatchingModel, args: MELTrainingArguments) -> PGMELGenerator:
    """A generator for the model, whose random weights depend on the seed alone."""
    options = {"policy_temperature": args.policy_temperature, "generator_type": args.generator_type}
    if args.generator_projection_size is not None:
        options["projection_size"] = args.generator_projection_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return PGMELGenerator(PGMELGeneratorConfig.from_model_config(model.config, **options))


def check_sides(
    model: MatchingModel, generator: PGMELGenerator | None, args: MELTrainingArguments, is_new: bool
) -> None:
    """
    Raises:
        `ValueError`: a generator that cannot begin as the model's heads, or that cannot read its index; or a model that cannot
            be encoded in mini-batches.
    """
    if generator is not None and is_new and args.generator_init == "discriminator":
        if _shapes(getattr(generator, "head", None) or generator.heads) != _shapes(_own_heads(model, args)):
            raise ValueError(
                "the generator cannot begin as a copy of the discriminator's heads, which are of another kind or size: set "
                "`generator_init='random'`, or leave `generator_projection_size` at the discriminator's size."
            )
    elif generator is not None and args.generator_type == "query":
        size = getattr(model.config, "projection_size", None)
        if model.vector_name is None or size != generator.config.projection_size:
            raise ValueError(
                "a query-side generator is compared with the vectors of the model's index, which have another size: set "
                "`generator_type='both'`."
            )
    if args.mini_batch_size is not None:
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in _trained(model)):
            raise ValueError(
                "`mini_batch_size` cannot be used with a trained tower that has batch normalisation: its statistics would be "
                "those of a mini-batch. Freeze the tower, or leave `mini_batch_size` out."
            )
        if model.rows_interact:
            raise ValueError(
                f"`mini_batch_size` cannot be used with {type(model).__name__} as configured: in training its mentions are "
                "encoded together with the others of the batch."
            )


def _own_heads(model: MatchingModel, args: MELTrainingArguments) -> nn.Module | None:
    heads = getattr(model, "heads", None)
    return heads.of("mention") if args.generator_type == "query" and hasattr(heads, "of") else heads


def _trained(model: MatchingModel) -> list[nn.Module]:
    return [module for module in model.modules() if any(p.requires_grad for p in module.parameters(recurse=False))]


def _shapes(module: nn.Module | None) -> dict[str, torch.Size]:
    return {} if module is None else {name: value.shape for name, value in module.state_dict().items()}


# ---- Arguments of the Trainer ----

REFUSED = {
    "data_collator": "the Trainer's own collator reads the mentions and draws their negatives",
    "compute_loss_func": "the loss is that of the arguments, see `MELTrainingArguments`",
    "preprocess_logits_for_metrics": "an evaluation ranks entities and has no logits",
    "generator": "with `model_init` each training begins with a new generator",
}
"""Arguments of `transformers.Trainer` that have no meaning here, and why."""


def refuse_given(**arguments) -> None:
    """
    Raises:
        `ValueError`: one of [`REFUSED`] was given; the message names it and the reason.
    """
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"`{name}` cannot be used: {REFUSED[name]}.")


def check_given(args: MELTrainingArguments, **needed) -> None:
    """
    Raises:
        `ValueError`: arguments of another class, one of `needed` is missing, or the process has several GPUs.
    """
    if not isinstance(args, MELTrainingArguments):
        raise ValueError(
            f"`args` must be `MELTrainingArguments` or `PGMELTrainingArguments`, got {type(args).__name__}."
        )
    for name, value in needed.items():
        if value is None:
            raise ValueError(f"`{name}` is missing.")
    if args.n_gpu > 1:
        raise ValueError("one process cannot train on several GPUs: start one for each with `torchrun`.")
