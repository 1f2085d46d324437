"""A checkpoint: names of the files in its folder; the model and its processor, opened; the device to run on."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig

from .models import LINKING_MODELS, MatchingModel, MELProcessor


# Files and folders of a checkpoint that transformers does not write.
GENERATOR_FOLDER = "generator"
ARGUMENTS_FILE = "training_args.json"
RECIPE_FILE = "recipe.yaml"
SAMPLER_FILE = "negatives.safetensors"
BEST_FOLDER = "best"  # in a pushed checkpoint: the best weights so far, if they are of an earlier step

# Names that the Trainer gives.
STATE_FILE = "trainer_state.json"
LAST_CHECKPOINT = "last-checkpoint"  # folder of the repository, with `hub_strategy="checkpoint"`

RUN_STATE = ("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*.pth", SAMPLER_FILE)
"""Patterns of the files of a checkpoint that only resuming needs."""

WORK_FOLDER = ".cache/hf_mel"
"""Folder for temporary files in the output folder of a run. `.cache` is never published."""


def load_checkpoint(source: str, **hub) -> tuple[MatchingModel, MELProcessor]:
    """
    A model and its processor, from a folder or the Hub.

    Args:
        source (`str`):
            The folder, or the Hub id.
        hub:
            For a Hub id: `revision`, `token`, `cache_dir` and `local_files_only` of `from_pretrained`.

    Raises:
        `FileNotFoundError`: there is no such folder, and no such model on the Hub or in its cache.
        `ValueError`: a model of another kind, or weights that are not those of the model: some are missing, left over, of
            other sizes, or not readable.
    """
    model_type = checkpoint_config(source, **hub).model_type
    if model_type not in LINKING_MODELS:
        raise ValueError(f"{source} holds a model of type {model_type!r}, not of type {' or '.join(LINKING_MODELS)}")
    return AutoModel.from_pretrained(source, **hub), AutoProcessor.from_pretrained(source, **hub)


def checkpoint_config(source: str, **hub) -> PreTrainedConfig:
    """
    The configuration of a checkpoint. Arguments and errors are those of [`load_checkpoint`].

    Args:
        source (`str`): The folder, or the Hub id.
        hub: For a Hub id, as in [`load_checkpoint`].

    Raises:
        `FileNotFoundError`: there is no such folder or model, or the folder holds no model.
    """
    folder = Path(source)
    if folder.is_file():
        raise FileNotFoundError(
            f"{source} is a file, and a model is a folder. `hf-mel init` and `hf-mel train` make one"
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        kind = (
            "an index of entities, not a model"
            if (folder / "manifest.json").is_file()
            else "no model: there is no config.json"
        )
        raise FileNotFoundError(f"{source} is {kind}. `hf-mel init` and `hf-mel train` make a folder with a model")
    try:
        return AutoConfig.from_pretrained(source, **hub)
    except OSError as error:
        if folder.is_dir():
            raise
        reason = " ".join(str(error).splitlines()[:2])  # the first says what it is, the second the cause or the cure
        raise FileNotFoundError(
            f"there is no folder {source!r}, and as the name of a model on the Hub: {reason}"
        ) from error


def pick_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator if accelerator is not None else torch.device("cpu")
