"""A checkpoint opened: the model, its processor, and the device to run on."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoProcessor

from .models import MatchingModel, PGMELConfig, PGMELProcessor


LINKERS = (PGMELConfig.model_type,)  # models that link, apart from generators


def load_checkpoint(source: str) -> tuple[MatchingModel, PGMELProcessor]:
    """
    A model and its processor, from a folder or the Hub.

    Raises:
        `FileNotFoundError`: there is no such folder, and no such model on the Hub or in its cache.
        `ValueError`: a model of another kind.
    """
    try:
        model_type = AutoConfig.from_pretrained(source).model_type
    except OSError as error:
        if Path(source).is_dir():
            raise
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"there is no folder {source!r}, and as the name of a model on the Hub: {reason}"
        ) from error
    if model_type not in LINKERS:
        raise ValueError(f"{source} holds a model of type {model_type!r}, not of type {' or '.join(LINKERS)}")
    return AutoModel.from_pretrained(source), AutoProcessor.from_pretrained(source)


def pick_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator if accelerator is not None else torch.device("cpu")
