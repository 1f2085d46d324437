"""The weights of a checkpoint that holds a part of a model: read, and loaded without a gap."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import SAFE_WEIGHTS_NAME, cached_file


_SHOWN = 4  # names in a message


def read_weights(source: str | Path, **hub) -> dict[str, torch.Tensor]:
    """
    Reads `model.safetensors`.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        hub: `token`, `revision` and the like.

    Raises:
        `OSError`: There is no such file.
        `ValueError`: It cannot be read.
    """
    path = cached_file(str(source), SAFE_WEIGHTS_NAME, **hub)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"the weights in {source} cannot be read ({error}): the file is not whole.") from error


def load_strictly(model: nn.Module, state: dict[str, torch.Tensor], names: set[str], source: str | Path) -> None:
    """
    Load these weights of a model in place, and leave the others as they are.

    Raises:
        `ValueError`: `state` lacks one of `names`, has another one, or one of another size.
    """
    own = model.state_dict()
    problems = {
        "lacks": sorted(names - state.keys()),
        "has weights that the model does not have:": sorted(state.keys() - names),
        "has weights of other sizes:": sorted(
            name for name in names & state.keys() if state[name].shape != own[name].shape
        ),
    }
    found = [f"{what} {_some(which)}" for what, which in problems.items() if which]
    if found:
        raise ValueError(f"{source} {'; it '.join(found)}. Save the model again, or download it again.")
    model.load_state_dict(state, strict=False)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
