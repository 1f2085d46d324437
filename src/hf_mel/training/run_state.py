"""Both sides and the state of a run on disk: the discriminator in the folder itself, the generator in `generator/`."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from ..checkpoint import ARGUMENTS_FILE, GENERATOR_FOLDER, SAMPLER_FILE
from ..models.encodings import flatten, unflatten
from .arguments import NUM_NEGATIVES, MELTrainingArguments
from .step import TrainingStep


def save_sides(step: TrainingStep, args: MELTrainingArguments, folder: str | Path) -> None:
    """Writes both models with `save_pretrained`, and the arguments with [`save_arguments`]."""
    step.discriminator.save_pretrained(folder)
    if step.generator is not None:
        step.generator.save_pretrained(Path(folder) / GENERATOR_FOLDER)
    save_arguments(args, folder)


def save_arguments(args: MELTrainingArguments, folder: str | Path) -> None:
    """Writes all `arguments` as JSON, and the `defaults` of the changed ones, since another version may have other defaults."""
    values = _plain({name: _portable(value) for name, value in args.to_dict().items()})
    found = {each.name: each.default_factory() if each.default is MISSING else each.default for each in fields(args)}
    found["num_negatives"] = NUM_NEGATIVES  # `None` stands for it
    defaults = _plain({name: value for name, value in found.items() if name in values})
    changed = {name: default for name, default in defaults.items() if values[name] != default}
    text = json.dumps({"arguments": values, "defaults": changed}, indent=2, sort_keys=True)
    (Path(folder) / ARGUMENTS_FILE).write_text(text + "\n", encoding="utf-8")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them; an enumeration by its value."""
    return json.loads(json.dumps(values, default=lambda value: getattr(value, "value", str(value))))


def _portable(value):
    """A folder of this machine has no place in what may be published: of an absolute path the last part is kept."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def load_sides(step: TrainingStep, folder: str | Path) -> None:
    """Loads the weights of both models in place; refuses a folder without a generator if one is trained."""
    _load_into(step.discriminator, folder)
    if step.generator is not None:
        if not (Path(folder) / GENERATOR_FOLDER).is_dir():
            raise ValueError(f"{folder} holds no generator: it was written by a run without one")
        _load_into(step.generator, Path(folder) / GENERATOR_FOLDER)


def _load_into(model: PreTrainedModel, folder: str | Path) -> None:
    if getattr(model, "has_adapters", False):
        model.load_adapter_weights(folder)
        return
    loaded = type(model).from_pretrained(folder)
    if getattr(loaded, "has_adapters", False):
        raise ValueError(
            f"{folder} has adapters, and the model has none: pass the `peft_config` of the run that saved it"
        )
    model.load_state_dict(loaded.state_dict())


def save_run_state(step: TrainingStep, folder: str | Path) -> None:
    """Writes everything on which the negatives and rewards of the next steps depend."""
    state = step.sampler.state_dict() | {"generator_waits": torch.tensor(step.generator_waits)}
    if isinstance(step.baseline, nn.Module):
        state["baseline"] = step.baseline.state_dict()
    tensors = {name: value.cpu().contiguous() for name, value in flatten(state).items()}
    save_file(tensors, Path(folder) / SAMPLER_FILE)


def load_run_state(step: TrainingStep, folder: str | Path) -> None:
    """Counterpart of [`save_run_state`]."""
    path = Path(folder) / SAMPLER_FILE
    if not path.exists():
        raise ValueError(f"{path} is missing: without it the run would not go on with the negatives it had")
    state = unflatten(load_file(path))
    if isinstance(step.baseline, nn.Module):
        step.baseline.load_state_dict(flatten(state.get("baseline", {})))
    step.sampler.load_state_dict(state)
    step.generator_waits = bool(state["generator_waits"])


def stop_not_finite(loss: float, step: int, mention_ids: list[str], output_dir: str | Path) -> None:
    """Raises `FloatingPointError`, naming the mentions of the batch and the checkpoint from which to go on."""
    checkpoints = sorted(Path(output_dir).glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    last = f"the last checkpoint is {checkpoints[-1]}" if checkpoints else "there is no checkpoint yet"
    raise FloatingPointError(
        f"the loss is {loss} at step {step}; mentions of the batch: {', '.join(mention_ids)}; {last}."
    )
