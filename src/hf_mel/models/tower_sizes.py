"""Sizes of the features of a tower, measured by one run of its class without weights."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

from .towers import check_tower, pool_image, state_rows, tower_class, vision_inputs


_BATCH = 2  # more than one row, so that a tower which joins the rows of a batch is noticed
_TOKENS = 4
_DEFAULT_SIDE = 224
_NOT_ON_META = "meta"  # part of every message that says that an operation has no result without data
_measured: dict[tuple[str, str], "TowerSizes"] = {}


@dataclass(frozen=True)
class TowerSizes:
    """
    Sizes of the features of a tower.

    Args:
        pooled (`int`, *optional*): Size of the pooled feature. `None`: a text tower without a pooled output.
        state (`int`): Size of the state of a token or a patch.
        num_states (`int`): Number of states of a picture of the size that the configuration names, or of 224 pixels.
    """

    pooled: int | None
    state: int
    num_states: int


def tower_sizes(config: PreTrainedConfig, kind: str) -> TowerSizes:
    """
    Sizes of a tower, by its configuration. They are measured, because each family has its own name for them (or none),
    and because a head or the last layer may change them. No weights are made for it; the result is kept.

    Args:
        config ([`~transformers.PreTrainedConfig`]): Configuration of the tower.
        kind (`str`): `"text"` or `"vision"`.

    Raises:
        `ValueError`: a model that cannot be a tower of this kind; the message says why.
    """
    key = kind, json.dumps(config.to_dict(), sort_keys=True, default=str)
    if key not in _measured:
        check_tower(config, kind)
        _measured[key] = _measure(config, kind)
    return _measured[key]


def picture_shape(config: PreTrainedConfig) -> tuple[int, int, int] | None:
    """Channels, height and width of the pictures of a vision tower, if its configuration names a size."""
    timm = getattr(config, "pretrained_cfg", None)
    if timm is not None and "input_size" in timm:
        return tuple(timm["input_size"])
    side = getattr(config, "image_size", None)
    if side is None and hasattr(config, "num_patches"):  # rows of patches of any aspect
        side = int(config.num_patches**0.5) * config.patch_size
    if side is None:
        return None
    height, width = (side, side) if isinstance(side, int) else side
    return getattr(config, "num_channels", None) or 3, height, width


def _tried_shape(config: PreTrainedConfig) -> tuple[int, int, int]:
    return picture_shape(config) or (getattr(config, "num_channels", None) or 3, _DEFAULT_SIDE, _DEFAULT_SIDE)


def _measure(config: PreTrainedConfig, kind: str) -> TowerSizes:
    try:
        return _run(config, kind, "meta")
    except RuntimeError as error:
        if _NOT_ON_META not in str(error):
            raise _unusable(config, kind, error) from error
    except (AssertionError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise _unusable(config, kind, error) from error
    try:  # an operation that needs numbers: random weights then, for this one run
        return _run(config, kind, "cpu")
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise _unusable(config, kind, error) from error


def _unusable(config: PreTrainedConfig, kind: str, error: Exception) -> ValueError:
    given = f"a picture of shape {_tried_shape(config)}" if kind == "vision" else "the tokens of a text"
    reason = " ".join(str(error).split())
    return ValueError(
        f"a model of type {config.model_type!r} cannot be the {kind} tower: given {given} and nothing else, it raises "
        f"{type(error).__name__}: {reason}"
    )


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def _run(config: PreTrainedConfig, kind: str, device: str) -> TowerSizes:
    config = copy.deepcopy(config)  # building a model writes into its configuration
    config._attn_implementation = None  # one that is made for an accelerator would not run
    # A model is loaded with its own type of numbers, on a device of its own, and counts on the random numbers after this.
    with torch.random.fork_rng(devices=[]), torch.device(device), _default_dtype(torch.float32):
        tower = tower_class(config)._from_config(config, dtype=torch.float32).eval()
        if kind == "text":
            outputs = tower(input_ids=torch.zeros(_BATCH, _TOKENS, dtype=torch.long))
            pooled = getattr(outputs, "pooler_output", None)
            return TowerSizes(None if pooled is None else pooled.shape[-1], *_rows(outputs.last_hidden_state))
        outputs = tower(**vision_inputs(config, torch.zeros(_BATCH, *_tried_shape(config))))
        return TowerSizes(pool_image(outputs).shape[-1], *_rows(state_rows(outputs)))


def _rows(states: torch.Tensor) -> tuple[int, int]:
    if len(states) != _BATCH or states.dim() != 3:
        raise ValueError(f"its states have the shape {tuple(states.shape)} for {_BATCH} rows")
    return states.shape[2], states.shape[1]
