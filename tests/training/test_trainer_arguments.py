"""Every argument of `transformers.TrainingArguments` works, or is refused by name with the reason."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.training_args import OptimizerNames

from hf_mel import MELTrainingArguments, PGMELTrainingArguments
from hf_mel.training.refused import REFUSED

from .common import assert_equal, changed, make_trainer, tiny_data, weights


FIELDS = {field.name for field in dataclasses.fields(TrainingArguments)}
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "training.md"

# Each group is one training of two steps. What an argument does, where it does something that can be seen, is tested below.
WORKS = {
    "schedule": {
        "num_train_epochs": 1.0, "max_steps": 2, "learning_rate": 1e-3, "lr_scheduler_type": "polynomial",
        "lr_scheduler_kwargs": {"power": 2.0}, "warmup_steps": 0.5, "weight_decay": 0.01, "adam_beta1": 0.8,
        "adam_beta2": 0.9, "adam_epsilon": 1e-7, "gradient_accumulation_steps": 2, "max_grad_norm": 0.5,
        "per_device_train_batch_size": 4, "seed": 3, "data_seed": 4, "optim": "sgd", "optim_args": "momentum=0.9",
        "output_dir": None, "use_cpu": True, "bf16": True, "tf32": False, "torch_empty_cache_steps": 1,
        "skip_memory_metrics": False,
    },
    "evaluation": {
        "eval_strategy": "steps", "eval_steps": 1, "eval_delay": 1, "eval_on_start": True,
        "per_device_eval_batch_size": 7, "save_strategy": "best", "save_steps": 1, "save_total_limit": 1,
        "save_only_model": True, "save_on_each_node": True, "load_best_model_at_end": True,
        "metric_for_best_model": "hits@5", "greater_is_better": True, "do_train": True, "do_eval": True,
        "do_predict": True, "logging_strategy": "steps", "logging_steps": 1, "logging_first_step": True,
        "logging_nan_inf_filter": True, "log_level": "error", "log_level_replica": "error",
        "log_on_each_node": False, "disable_tqdm": True, "report_to": "none", "run_name": "mine",
    },
    "data": {
        "dataloader_num_workers": 1, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 1,
        "dataloader_multiprocessing_context": "fork", "dataloader_in_order": False, "dataloader_pin_memory": False,
        "dataloader_drop_last": True, "train_sampling_strategy": "sequential", "remove_unused_columns": False,
        "accelerator_config": {"non_blocking": True, "use_seedable_sampler": False},
        "activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": False},
    },
    "neutral": {
        "ignore_data_skip": True, "restore_callback_states_from_checkpoint": True, "enable_jit_checkpoint": True,
        "resume_from_checkpoint": "nothing-reads-it", "local_rank": -1, "ddp_find_unused_parameters": None,
        "ddp_bucket_cap_mb": 5, "ddp_broadcast_buffers": False, "ddp_timeout": 60, "debug": "",
        "full_determinism": True, "project": "mine", "trackio_space_id": "mine", "trackio_bucket_id": "mine",
        "trackio_static_space_id": "mine", "hub_model_id": "org/mine", "hub_strategy": "end", "hub_token": "secret",
        "hub_private_repo": True, "hub_always_push": True, "hub_revision": "branch",
    },
    "old names": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
}  # fmt: skip
ELSEWHERE = {
    "push_to_hub": "test_publishing.py, and tests/hub",
    "ddp_backend": "accelerate looks for the other processes as soon as it is set",
}
TRIED = {
    **{name: True for name in REFUSED},
    "accelerator_config.dispatch_batches": {"dispatch_batches": True},
    "accelerator_config.even_batches": {"even_batches": False},
    "accelerator_config.split_batches": {"split_batches": True},
    "average_tokens_across_devices": False,
    "ddp_find_unused_parameters": False,
    "debug": "underflow_overflow",
    "deepspeed": "ds.json",
    "eval_accumulation_steps": 2,
    "eval_do_concat_batches": False,
    "fsdp_config": {"version": 2},
    "include_for_metrics": ["loss"],
    "include_num_input_tokens_seen": "all",
    "label_names": ["labels"],
    "label_smoothing_factor": 0.1,
    "length_column_name": "size",
    "liger_kernel_config": {"rope": True},
    "neftune_noise_alpha": 5.0,
    "optim": "galore_adamw",
    "optim_target_modules": "all-linear",
    "parallelism_config": object(),
    "torch_compile_backend": "eager",
    "torch_compile_mode": "default",
    "train_sampling_strategy": "group_by_length",
}


def arguments(**options) -> MELTrainingArguments:
    return MELTrainingArguments(output_dir="unused", use_cpu=True, report_to="none", **options)


def test_every_argument_is_in_one_of_the_tables():
    works = {name for group in WORKS.values() for name in group} | ELSEWHERE.keys()
    refused = {name.split(".")[0] for name in REFUSED}
    unknown = FIELDS - works - refused
    assert not unknown, (
        f"new arguments of transformers: {sorted(unknown)}. Try each in a training: add it to WORKS in this file if it works "
        "as documented, else to REFUSED in training/refused.py with the reason"
    )
    partly = {name for name, refusal in REFUSED.items() if refusal.values}  # other values work
    assert not works & refused - {name.split(".")[0] for name in partly}


@pytest.fixture
def global_state():
    """`full_determinism` and the log levels are settings of the process."""
    from transformers.utils import logging

    before, level = dict(os.environ), logging.get_verbosity()
    yield
    torch.use_deterministic_algorithms(False)
    logging.set_verbosity(level)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing")
@pytest.mark.parametrize("group", WORKS)
def test_arguments_that_work(group, tmp_path, monkeypatch, global_state):
    monkeypatch.chdir(tmp_path)  # the default of `output_dir` is a relative path
    options = {"max_steps": 2} | {name: value for name, value in WORKS[group].items() if name in FIELDS}
    trainer = make_trainer(vision=False, **({"output_dir": tmp_path} | options))
    before = weights(trainer)
    trainer.train()
    assert trainer.state.global_step == 2
    assert changed(before, weights(trainer)) == {"discriminator", "generator"}
    saved = [type(trainer.args)(**trainer.args.to_dict()).to_dict() for _ in range(2)]
    assert saved[0] == saved[1]


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_are_refused(name, monkeypatch):
    argument = name.split(".")[0]
    if argument not in FIELDS:
        pytest.skip(f"this version of transformers has no `{argument}`")
    with pytest.raises(ValueError) as error:
        arguments(**{argument: TRIED[name]})
    assert str(error.value).startswith(f"`{name}=") and REFUSED[name].reason in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("ACCELERATE_USE_FSDP", "true", "whole parameters"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "DeepSpeed cannot shard"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "compiled again"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", "bf16"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "bf16"),
    ],
)
def test_settings_of_accelerate_launch_are_refused_as_the_arguments_are(variable, value, name, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"accelerate launch.*{name}"):
        arguments()
    monkeypatch.setenv(variable, "no")
    arguments()


def refused_table() -> str:
    """`REFUSED` as a Markdown table."""
    lines = ["| Argument | Refused values | Reason |", "|---|---|---|"]
    for name, (reason, values) in REFUSED.items():
        shown = ", ".join(f"`{value}`" for value in values) or "any"
        lines.append(f"| `{name}` | {shown} | {reason[0].upper()}{reason[1:]}. |")
    return "\n".join(lines) + "\n"


def test_the_documentation_has_the_table_of_refused_arguments():
    assert refused_table() in DOCUMENTATION.read_text(encoding="utf-8")


def test_the_table_names_values_that_are_refused():
    lines = {line.split("`")[1]: line for line in refused_table().splitlines()[2:]}
    assert lines.keys() == REFUSED.keys()
    assert "| `False` |" in lines["average_tokens_across_devices"] and "| any |" in lines["neftune_noise_alpha"]
    assert "`lomo`" in lines["optim"] and "`adamw_torch`" not in lines["optim"]


# ---- What arguments do ----


def first_batches(trainer, count: int = 2) -> list[list[int]]:
    loader = iter(trainer.get_train_dataloader())
    return [next(loader)["mentions"].tolist() for _ in range(count)]


@pytest.mark.parametrize("batch_sampler", ["random", "attribute"])
def test_the_data_seed_changes_the_order_alone(batch_sampler, tmp_path):
    orders = []
    for seed, data_seed in ((0, None), (0, 7), (5, 7), (0, 8)):
        options = {"vision": False, "negatives": "in_batch", "batch_sampler": batch_sampler}
        orders.append(first_batches(make_trainer(tmp_path, seed=seed, data_seed=data_seed, **options)))
    assert orders[1] == orders[2]
    assert orders[0] != orders[1] != orders[3]


def test_sequential_is_the_order_of_the_data_set(tmp_path):
    options = {"vision": False, "negatives": "in_batch", "train_sampling_strategy": "sequential"}
    assert first_batches(make_trainer(tmp_path, **options)) == [list(range(8)), list(range(8, 16))]
    with pytest.raises(ValueError, match="`batch_sampler` and `train_sampling_strategy`"):
        arguments(batch_sampler="attribute", train_sampling_strategy="sequential")


def test_workers_that_persist_change_nothing(tmp_path):
    results = []
    for number, options in enumerate(
        ({}, {"dataloader_num_workers": 1}, {"dataloader_num_workers": 1, "dataloader_persistent_workers": True})
    ):
        options |= {"vision": False, "max_steps": 7, "dataloader_drop_last": True, "refresh_steps": None}
        trainer = make_trainer(tmp_path / str(number), **options)
        trainer.train()
        assert trainer.state.epoch == 1.75  # of 33 mentions 32 in an epoch
        results.append(weights(trainer))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2])


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused", "adafactor", "rmsprop", "adagrad"])
def test_optimizers(optim, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, optim=optim)
    before = weights(trainer)
    trainer.train()
    assert changed(before, weights(trainer)) == {"discriminator", "generator"}
    assert type(trainer.optimizer.optimizer).__name__.lower() == optim.split("_")[0]


def test_every_optimizer_is_refused_by_name_or_is_made_from_parameter_groups(tmp_path, monkeypatch):
    """Those of packages that are not installed fail by themselves."""
    refused = {name for name in OptimizerNames if name.value in REFUSED["optim"].values}
    assert {name.value for name in refused} == set(REFUSED["optim"].values)
    trainer = make_trainer(tmp_path, vision=False)
    for name in set(OptimizerNames) - refused:
        trainer.args.optim, trainer.optimizer = name, None
        try:
            optimizer = trainer.create_optimizer()
        except (ImportError, ValueError, RuntimeError, AssertionError) as error:
            assert "install" in str(error).lower() or "import" in str(error).lower() or "npu" in name.value, name
        else:
            assert {group["group"] for group in optimizer.param_groups} >= {"discriminator", "generator"}, name


def test_the_largest_norm_of_a_side_is_that_of_the_arguments_unless_it_has_its_own(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_grad_norm=2.0, generator_max_grad_norm=0.5)
    for parameter in trainer.step.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = trainer.step.clip_gradients()
    after = {
        name: torch.stack([p.grad.norm() for p in side.parameters()]).norm()
        for name, side in (("discriminator", trainer.model), ("generator", trainer.generator))
    }
    torch.testing.assert_close(after, {"discriminator": torch.tensor(2.0), "generator": torch.tensor(0.5)})
    assert min(before.values()) > 2
    args = arguments(max_grad_norm=2.0, generator_max_grad_norm=0.5)
    with pytest.raises(ValueError, match="generator_max_grad_norm"):
        dataclasses.replace(args, max_grad_norm=0.0)
    assert dataclasses.replace(args, max_grad_norm=0.0, generator_max_grad_norm=None).max_grad_norm == 0.0


# ---- Parsing ----


def test_the_command_line_parser_of_transformers_reads_the_arguments():
    line = (
        "--output_dir x --use_cpu --negatives topk --num_negatives 5 --negatives_kwargs {\"scores\":\"fresh\"} "
        "--reward hinge --reward_kwargs {\"margin\":0.5} --generator_type both --refresh_steps 3 --scale_advantage false "
        "--accelerator_config {\"non_blocking\":true} --lr_scheduler_kwargs {\"power\":2.0} --bf16 --optim sgd"
    )  # fmt: skip
    (args,) = HfArgumentParser((PGMELTrainingArguments,)).parse_args_into_dataclasses(line.split())
    assert (args.negatives, args.num_negatives, args.negatives_kwargs) == ("topk", 5, {"scores": "fresh"})
    assert (args.reward, args.reward_kwargs, args.scale_advantage) == ("hinge", {"margin": 0.5}, False)
    assert (args.generator_type, args.refresh_steps, args.contrast_weight) == ("both", 3, 0.3)
    assert args.accelerator_config.non_blocking and args.lr_scheduler_kwargs == {"power": 2.0}
    with pytest.raises(ValueError, match="`fp16=True`"):
        HfArgumentParser((PGMELTrainingArguments,)).parse_args_into_dataclasses(["--output_dir", "x", "--fp16"])


@pytest.mark.parametrize("kind", [MELTrainingArguments, PGMELTrainingArguments])
def test_arguments_are_made_again_from_their_dictionary(kind):
    args = kind("x", use_cpu=True, max_grad_norm=2.0, reward_kwargs={}, metric_for_best_model="mr")
    assert kind(**args.to_dict()).to_dict() == args.to_dict()
    (parsed,) = HfArgumentParser((kind,)).parse_dict(args.to_dict())
    assert parsed.to_dict() == args.to_dict()
    assert dataclasses.replace(args).to_dict() == args.to_dict()


def test_arguments_of_transformers_are_refused_by_the_trainer(tmp_path):
    from hf_mel import MELTrainer

    data = tiny_data()
    with pytest.raises(ValueError, match="`args` must be `MELTrainingArguments`.*got TrainingArguments"):
        MELTrainer(None, TrainingArguments(tmp_path, use_cpu=True), train_dataset=data.mentions["train"])
