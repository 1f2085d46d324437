"""Loading of pretrained towers from folders and from the Hub."""

import logging as std_logging
import re
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from .configuration_base import MatchingConfig
from .hub_arguments import hub_arguments
from .tower_sizes import tower_sizes
from .towers import tower_class


logger = logging.get_logger(__name__)

_OF_A_POOLER = re.compile(r"(^|\.)(pooler|head)\.")
_PROJECTIONS = {"text": "text_projection", "vision": "visual_projection"}


@contextmanager
def _without_load_report():
    """Drop the table of unused weights: that a checkpoint has a head besides its tower is no news here."""

    def keep(record: std_logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    target = std_logging.getLogger("transformers.modeling_utils")
    target.addFilter(keep)
    try:
        yield
    finally:
        target.removeFilter(keep)


def load_tower(source: str | Path, model_class, parts: tuple[str, ...] = ("",), **kwargs) -> PreTrainedModel:
    """
    `model_class.from_pretrained`, in silence about weights of the checkpoint that the tower does not need.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        model_class: A model class, or `AutoModel`.
        parts (`tuple[str, ...]`, *optional*): Beginnings of the names of the weights that are needed; by default all.
        kwargs: For `from_pretrained`.

    Raises:
        `ValueError`: the checkpoint lacks weights of the tower other than those of its pooler, which is only logged.
    """
    with _without_load_report():
        model, info = model_class.from_pretrained(source, output_loading_info=True, **kwargs)
    missing = sorted(name for name in info["missing_keys"] if name.startswith(parts))
    if missing:
        lacks = f"{source} lacks {len(missing)} weights of {type(model).__name__}, which "
        if not all(_OF_A_POOLER.search(name) for name in missing):
            raise ValueError(
                f"{lacks}would be random: {', '.join(missing[:4])}. Save or download the checkpoint again."
            )
        logger.warning(f"{lacks}are random now: {', '.join(missing[:4])}. It is the pooler: choose another `pooling`.")
    return model


def _half(model: PreTrainedModel, kind: str, source) -> tuple[PreTrainedModel, nn.Linear | None]:
    tower = getattr(model, f"{kind}_model", None)
    if tower is None:
        raise ValueError(f"{source} ({type(model).__name__}) has no {kind} tower of its own.")
    projection = getattr(model, _PROJECTIONS[kind], None)
    if projection is not None and (not isinstance(projection, nn.Linear) or projection.bias is not None):
        raise ValueError(f"{source}: its `{_PROJECTIONS[kind]}` is not a linear map without bias.")
    return tower, projection


def load_halves(source: str | Path, kinds: tuple[str, ...], **kwargs) -> dict[str, tuple]:
    """
    Load the towers of one checkpoint.

    Args:
        source (`str` or `Path`): Folder or Hub id.
        kinds (`tuple[str, ...]`): Of `"text"` and `"vision"`, the wanted ones, the indispensable one first.
        kwargs: For `from_pretrained`.

    Returns:
        `dict`: For each kind that was found, the tower and its projection (`None` where it has none).
    """
    # What concerns the model alone; the rest may name fields of its configuration, which decides which class to load.
    model_kwargs = {name: kwargs.pop(name) for name in ("dtype", "attn_implementation") if name in kwargs}
    config, unused = AutoConfig.from_pretrained(source, return_unused_kwargs=True, **kwargs)
    kwargs = hub_arguments(kwargs) | unused | model_kwargs
    if isinstance(config, MatchingConfig):
        raise ValueError(f"{source} is a linking model and no tower: load it with `from_pretrained`.")
    if {"text_config", "vision_config"} <= set(config.sub_configs):
        parts = tuple(part for kind in kinds for part in (f"{kind}_model.", _PROJECTIONS[kind]))
        model = load_tower(source, tower_class(config), parts, config=config, **kwargs)
        return {kind: _half(model, kind, source) for kind in kinds}
    try:
        tower_sizes(config, kinds[0])  # before the weights are loaded
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return {kinds[0]: (load_tower(source, tower_class(config), config=config, **kwargs), None)}
