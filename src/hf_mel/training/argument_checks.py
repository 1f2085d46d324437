"""Arguments of `transformers.TrainingArguments` that cannot be used here, and the metric of the best model."""

import copy
import os
from collections.abc import Callable
from functools import reduce
from operator import itemgetter
from typing import Any, NamedTuple

from transformers import TrainingArguments

from ..evaluation.metrics import higher_is_better, ranking_metrics


class Refused(NamedTuple):
    """
    Why an argument is refused.

    Args:
        reason (`str`): The reason, and what to use instead.
        values (`tuple`, *optional*): The values that are refused. Defaults to every value that is set.
    """

    reason: str
    values: tuple = ()


_NEEDS_MODULES = ("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise")
_NEEDS_MODULES += (
    "galore_adamw_8bit_layerwise",
    "galore_adafactor_layerwise",
    "apollo_adamw",
    "apollo_adamw_layerwise",
)
_NEEDS_MODULES += ("lomo", "adalomo")
_HAS_MODES = ("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd")

REFUSED = {
    # Batches
    "accelerator_config.dispatch_batches": Refused(
        "entities of a batch are not rows of its mentions, so the main process cannot cut it up for the others",
        (True,),
    ),
    "accelerator_config.even_batches": Refused("the contrast over all processes needs batches of one size", (False,)),
    "accelerator_config.split_batches": Refused("`per_device_train_batch_size` is the batch of one process", (True,)),
    "auto_find_batch_size": Refused(
        "the loss contrasts the mentions of a batch, and would depend on the free memory; use `mini_batch_size` for large "
        "batches in little memory"
    ),
    "label_names": Refused("the gold entities are in the column `entity_id`"),
    "length_column_name": Refused("mentions are not grouped by length, see `train_sampling_strategy`"),
    "remove_unused_columns": Refused("the data collator needs all columns of the mentions; leave it `False`", (True,)),
    "train_sampling_strategy": Refused(
        "the length of a mention is known when its batch is read; use `random`, `sequential` or `batch_sampler`",
        ("group_by_length", "batch_rebalance"),
    ),
    # Loss
    "average_tokens_across_devices": Refused("losses are means over mentions; no tokens are counted", (False,)),
    "label_smoothing_factor": Refused("the losses compare scores of entities; there are no classes to smooth"),
    "neftune_noise_alpha": Refused(
        "the noise is made for the input embeddings of one language model, not for two towers"
    ),
    # Precision, memory and compilation
    "fp16": Refused(
        "its gradient scaler has one scale for both sides, and one overflow of the generator would skip the step of the "
        "discriminator; use `bf16=True` or full precision"
    ),
    "bf16_full_eval": Refused("an evaluation has the precision of the training; use `bf16=True`"),
    "fp16_full_eval": Refused("an evaluation has the precision of the training; use `bf16=True`"),
    "torch_compile": Refused(
        "a training step draws negatives and opens pictures in Python, so it would be compiled again in every step"
    ),
    "torch_compile_backend": Refused("see `torch_compile`"),
    "torch_compile_mode": Refused("see `torch_compile`"),
    "use_liger_kernel": Refused("Liger has no kernels for these models"),
    "liger_kernel_config": Refused("see `use_liger_kernel`"),
    "use_cache": Refused("the towers encode and generate nothing, so there are no keys and values to keep"),
    # Optimizer
    "optim": Refused(
        "it needs more of the model than parameter groups (GaLore, APOLLO, LOMO), or a mode for evaluations "
        "(schedule-free); use another optimizer",
        _NEEDS_MODULES + _HAS_MODES,
    ),
    "optim_target_modules": Refused("only GaLore and APOLLO read it, see `optim`"),
    # Distribution
    "ddp_find_unused_parameters": Refused("the side whose turn it is not has no gradient; leave it `True`", (False,)),
    "ddp_static_graph": Refused("the two sides take turns, so the graph changes from step to step"),
    "deepspeed": Refused("both sides share one optimizer, which DeepSpeed cannot shard; use `torchrun` without it"),
    "fsdp": Refused("both sides are saved and clipped apart, which needs whole parameters; use `torchrun` without it"),
    "fsdp_config": Refused("see `fsdp`"),
    "parallelism_config": Refused("a model is held whole by each process; use `torchrun` for several GPUs"),
    # Evaluation and logging
    "batch_eval_metrics": Refused("`compute_metrics` gets the ranks of all mentions at once"),
    "eval_accumulation_steps": Refused("an evaluation keeps one rank of each mention, and no outputs of the model"),
    "eval_do_concat_batches": Refused("`compute_metrics` gets the ranks of all mentions at once", (False,)),
    "eval_use_gather_object": Refused("ranks are gathered as tensors"),
    "include_for_metrics": Refused("an evaluation has ranks and gold entities, neither inputs nor losses"),
    "debug": Refused(
        "the detector cannot read the masks of these models; a loss that is not finite stops the training and names the "
        "mentions of its batch",
        ("underflow_overflow",),
    ),
    "include_num_input_tokens_seen": Refused("mentions are counted, not tokens"),
    "prediction_loss_only": Refused("an evaluation computes no loss"),
}
"""Arguments of `transformers.TrainingArguments` that are refused. All others work as documented there."""

_LAUNCHED = {
    "ACCELERATE_USE_DEEPSPEED": "deepspeed",
    "ACCELERATE_USE_FSDP": "fsdp",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "parallelism_config",
    "ACCELERATE_DYNAMO_BACKEND": "torch_compile",
}
"""Environment variables with which `accelerate launch` asks for the same."""


def refuse_arguments(args: TrainingArguments) -> None:
    """
    Raises:
        `ValueError`: an argument, or a setting of `accelerate launch`, is one of [`REFUSED`]. The message has the reason.
    """
    for name, (reason, values) in REFUSED.items():
        value = reduce(lambda found, part: getattr(found, part, None), name.split("."), args)
        if _is_refused(value, values) if values else value and value != getattr(TrainingArguments, name, None):
            raise ValueError(f"`{name}={getattr(value, 'value', value)!r}` cannot be used: {reason}.")
    for variable, name in _LAUNCHED.items():
        if os.environ.get(variable, "").lower() not in ("", "0", "false", "no"):
            raise ValueError(f"`accelerate launch` set {variable}, which cannot be used: {REFUSED[name].reason}.")
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        raise ValueError(f"`accelerate launch --mixed_precision {precision}` cannot be used: use `bf16` or `no`.")


def _is_refused(value: Any, values: tuple) -> bool:
    return any(each in values for each in value) if isinstance(value, list) else value in values


def refused_table() -> str:
    """[`REFUSED`] as a Markdown table, for the documentation."""
    lines = ["| Argument | Refused values | Reason |", "|---|---|---|"]
    for name, (reason, values) in REFUSED.items():
        shown = ", ".join(f"`{value}`" for value in values) or "any"
        lines.append(f"| `{name}` | {shown} | {reason[0].upper()}{reason[1:]}. |")
    return "\n".join(lines) + "\n"


# ---- The metric of the best model ----

COMPUTED = tuple(name for name in ranking_metrics([1]) if higher_is_better(name) is not None)
"""Metrics of an evaluation by the Trainer which have a direction."""


def direction_of(metric: str, greater_is_better: bool | None) -> bool:
    """
    Whether the best model has the greatest value of a metric.

    Args:
        metric (`str`):
            `metric_for_best_model`, with or without `eval_` and the name of an evaluation set.
        greater_is_better (`bool`, *optional*):
            What the user chose; a metric of the user's needs it.

    Raises:
        `ValueError`: a metric without a direction, or a choice against the direction of the metric.
    """
    name = metric.removeprefix("eval_")
    exact = higher_is_better(name)
    if exact is not None and greater_is_better not in (None, exact):
        better = "higher" if exact else "lower"
        raise ValueError(
            f"`greater_is_better={greater_is_better}` contradicts `metric_for_best_model={metric!r}`, which is better "
            f"when it is {better}: leave `greater_is_better` out, or `None`."
        )
    if exact is None and greater_is_better is not None and name not in ("num_mentions", "num_nil"):
        return greater_is_better
    known = [higher_is_better(name[place:]) for place in range(len(name)) if place == 0 or name[place - 1] == "_"]
    found = next((direction for direction in known if direction is not None), None)
    if found is None:
        raise ValueError(
            f"`metric_for_best_model={metric!r}` has no direction. Choose one of {', '.join(COMPUTED)} (with the name of "
            "the evaluation set in front, if there are several), or, for a metric of your `compute_metrics`, set "
            "`greater_is_better`."
        )
    return found


def for_evaluation_sets(
    args: TrainingArguments, eval_dataset: Any, compute_metrics: Callable | None
) -> TrainingArguments:
    """
    The arguments, whose best model is chosen by the first of several evaluation sets unless they name one.

    Raises:
        `ValueError`: no evaluation computes `metric_for_best_model`.
    """
    if not eval_dataset:
        return args
    name = args.metric_for_best_model.removeprefix("eval_")
    sets = list(eval_dataset) if isinstance(eval_dataset, dict) else []
    metrics = [name.removeprefix(f"{key}_") for key in sets if name.startswith(f"{key}_")]
    if not metrics:
        metrics = [name]
        if sets:
            args = copy.copy(args)  # the user's own arguments stay as they are
            args.metric_for_best_model = f"{sets[0]}_{name}"
    if compute_metrics is None and not set(metrics) & set(COMPUTED):
        of_sets = f" of one of the sets {', '.join(sets)}" if sets else ""
        raise ValueError(
            f"`metric_for_best_model={name!r}` is not computed by an evaluation: choose one of {', '.join(COMPUTED)}"
            f"{of_sets}, or pass `compute_metrics`."
        )
    for metric in set(metrics) & set(COMPUTED):
        direction_of(metric, args.greater_is_better)
    return args


def scheduler_options(args: TrainingArguments) -> dict | None:
    """`lr_scheduler_kwargs`, with the direction of the metric for schedules that follow it."""
    if args.lr_scheduler_type not in ("reduce_lr_on_plateau", "greedy"):
        return args.lr_scheduler_kwargs
    options, mode = args.lr_scheduler_kwargs or {}, "max" if args.greater_is_better else "min"
    if options.get("mode", mode) != mode:
        raise ValueError(
            f"`mode` in `lr_scheduler_kwargs` must be {mode!r} for the metric {args.metric_for_best_model!r}."
        )
    return options | {"mode": mode}


def objective_of(args: TrainingArguments, objective: Callable | None, direction: Any) -> tuple[Callable, Any]:
    """Objective and direction of a hyperparameter search: by default `metric_for_best_model`, in its direction."""
    if objective is not None:
        return objective, direction or "minimize"
    name = f"eval_{args.metric_for_best_model.removeprefix('eval_')}"
    return itemgetter(name), direction or ("maximize" if args.greater_is_better else "minimize")
