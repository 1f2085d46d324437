"""Arguments of `transformers.TrainingArguments` and of `transformers.Trainer` that cannot be used here, and why."""

import os
from functools import reduce
from typing import Any, NamedTuple

from transformers import TrainingArguments


class Refused(NamedTuple):
    """The reason, with what to use instead, and the refused values: by default every value that is set."""

    reason: str
    values: tuple = ()


_NEEDS_MODULES = (
    "galore_adamw galore_adamw_8bit galore_adafactor galore_adamw_layerwise galore_adamw_8bit_layerwise "
    "galore_adafactor_layerwise apollo_adamw apollo_adamw_layerwise lomo adalomo"
).split()
_HAS_MODES = "schedule_free_radam schedule_free_adamw schedule_free_sgd".split()

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
        (*_NEEDS_MODULES, *_HAS_MODES),
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
    """Refuses an argument, or a setting of `accelerate launch`, that is one of [`REFUSED`], with the reason."""
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


# ---- Arguments of the Trainer ----

REFUSED_BY_TRAINER = {
    "data_collator": "the Trainer's own collator reads the mentions and draws their negatives",
    "compute_loss_func": "the loss is that of the arguments, see `MELTrainingArguments`",
    "preprocess_logits_for_metrics": "an evaluation ranks entities and has no logits",
    "generator": "with `model_init` each training begins with a new generator",
}


def check_trainer_arguments(
    args: TrainingArguments, args_class: type, refused: dict[str, Any], needed: dict[str, Any]
) -> None:
    """Refuses arguments of another class, given ones of [`REFUSED_BY_TRAINER`], missing ones, and several GPUs."""
    if not isinstance(args, args_class):
        raise ValueError(
            f"`args` must be `MELTrainingArguments` or `PGMELTrainingArguments`, got {type(args).__name__}."
        )
    for name, value in refused.items():
        if value is not None:
            raise ValueError(f"`{name}` cannot be used: {REFUSED_BY_TRAINER[name]}.")
    for name, value in needed.items():
        if value is None:
            raise ValueError(f"`{name}` is missing.")
    if args.n_gpu > 1:
        raise ValueError("one process cannot train on several GPUs: start one for each with `torchrun`.")
