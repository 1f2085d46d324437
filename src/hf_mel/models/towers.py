"""Towers: which class a configuration stands for, how a checkpoint's towers are loaded, what their pooled feature is."""

import logging as std_logging
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from torch import nn
from torch.nn import functional as F
from transformers import MODEL_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from .modeling_bag import BagOfTokensModel


logger = logging.get_logger(__name__)

# Text halves that exist as classes but that `AutoModel` does not know by their configuration.
_TEXT_HALVES = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
_PROJECTIONS = {"text": "text_projection", "vision": "visual_projection"}
_NAFLEX = "siglip2_vision_model"


def tower_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """
    The model class of a tower configuration.

    Raises:
        `ValueError`: transformers has no bare model for it.
    """
    if config.model_type == BagOfTokensModel.config_class.model_type:
        return BagOfTokensModel  # by its name: a checkpoint's own code has a configuration class of its own
    if config.model_type in _TEXT_HALVES:
        return getattr(transformers, _TEXT_HALVES[config.model_type])
    if type(config) in MODEL_MAPPING:
        found = MODEL_MAPPING[type(config)]
        return found[0] if isinstance(found, (list, tuple)) else found
    raise ValueError(f"No tower is known for a configuration of type {config.model_type!r}.")


def build_tower(config: PreTrainedConfig) -> PreTrainedModel:
    """A tower with random weights in the current default dtype (the one in `config` may be that of a checkpoint)."""
    return tower_class(config)._from_config(config, dtype=torch.get_default_dtype())


def keep_attention(tower: PreTrainedModel | None) -> None:
    """
    Putting a tower's configuration into another one resets its attention to None, and without one transformers builds no
    attention mask: padding would be attended to, in silence.
    """
    if tower is not None and tower.config._attn_implementation is None:
        tower.config._attn_implementation = tower.get_correct_attn_implementation(None)


def run_text_tower(
    tower: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, states: bool = False
):
    """The tower's outputs; a bag of tokens makes states of its tokens only if they are asked for."""
    bag = tower.config.model_type == BagOfTokensModel.config_class.model_type
    return tower(
        input_ids=input_ids, attention_mask=attention_mask, **({"token_states": True} if bag and states else {})
    )


# ---- States ----


def text_states(
    outputs, attention_mask: torch.Tensor | None, max_tokens: int, keep_padding: bool = False
) -> dict[str, torch.Tensor]:
    """
    States of the tokens, in as many places for every text: so they can be stored.

    Returns:
        `dict`: `token_features` of shape `(batch_size, max_tokens, size)`, zero on padding (with `keep_padding` what the
        tower gives for it); `token_mask` of shape `(batch_size, max_tokens)`.

    Raises:
        `ValueError`: a text has more tokens.
    """
    hidden = outputs.last_hidden_state
    if hidden.shape[1] > max_tokens:
        raise ValueError(
            f"a text has {hidden.shape[1]} tokens, but `config.max_text_tokens` is {max_tokens}: give the processor "
            f"`max_length={max_tokens}`, or the configuration more."
        )
    mask = attention_mask.bool() if attention_mask is not None else hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
    padding = max_tokens - hidden.shape[1]
    states = hidden if keep_padding else torch.where(mask[..., None], hidden, 0.0)
    return {
        "token_features": F.pad(states, (0, 0, 0, padding)),
        "token_mask": F.pad(mask, (0, padding)),
    }


def image_states(outputs, num_patches: int) -> torch.Tensor:
    """
    States of the patches, the class token included where there is one: `(batch_size, num_patches, size)`.

    Raises:
        `ValueError`: the tower gives another number of them.
    """
    hidden = outputs.last_hidden_state
    states = (
        hidden.flatten(2).mT if hidden.dim() == 4 else hidden
    )  # convolutional towers: (batch_size, size, height, width)
    if states.shape[1] != num_patches:
        raise ValueError(
            f"the vision tower gives {states.shape[1]} states for a picture, but `config.num_patches` is {num_patches}: set "
            f"`num_patches={states.shape[1]}`, or give pictures of the size that the tower was made for."
        )
    return states


# ---- Pooling ----


def pool_text(outputs, attention_mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """
    One feature a text.

    Args:
        outputs: Output of a text tower.
        attention_mask (`torch.Tensor` of shape `(batch_size, sequence_length)`, *optional*): 1 on tokens, 0 on padding.
        pooling (`str`): `"pooler"`, `"mean"` or `"cls"`.

    Returns:
        `torch.Tensor` of shape `(batch_size, size)`.
    """
    hidden = outputs.last_hidden_state
    if pooling == "pooler":
        pooled = getattr(outputs, "pooler_output", None)
        if pooled is None:
            raise ValueError('The text tower has no pooled output: set `pooling="mean"` or `pooling="cls"`.')
        return pooled
    if attention_mask is None:
        attention_mask = hidden.new_ones(hidden.shape[:2], dtype=torch.long)
    if pooling == "cls":
        first = attention_mask.long().argmax(dim=-1)  # not position 0: the padding may be on the left
        return hidden[torch.arange(len(hidden), device=hidden.device), first]
    mask = attention_mask[..., None].to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def pool_image(outputs) -> torch.Tensor:
    """The vision tower's pooled output, or the mean over patches of a tower that has none: `(batch_size, size)`."""
    pooled = getattr(outputs, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)  # convolutional towers pool to (batch_size, channels, 1, 1)
    hidden = outputs.last_hidden_state
    return hidden.mean(dim=(2, 3)) if hidden.dim() == 4 else hidden.mean(dim=1)


def vision_inputs(config: PreTrainedConfig, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
    """
    What a vision tower takes. SigLIP2's NaFlex tower takes rows of patches of any aspect ratio: a square image is the
    case with equal sides and nothing masked, and all images of a batch are square here.
    """
    if config.model_type != _NAFLEX:
        return {"pixel_values": pixel_values}
    size = config.patch_size
    batch, channels, height, width = pixel_values.shape
    rows, columns = height // size, width // size
    patches = pixel_values.reshape(batch, channels, rows, size, columns, size).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": patches.reshape(batch, rows * columns, -1),
        "pixel_attention_mask": torch.ones(batch, rows * columns, dtype=torch.long, device=pixel_values.device),
        "spatial_shapes": torch.tensor([[rows, columns]] * batch, device=pixel_values.device),
    }


# ---- Loading ----


def is_repository(source: str | Path) -> bool:
    """Whether this names a repository on the Hub, and no folder of this machine."""
    if not isinstance(source, str) or Path(source).exists():
        return False
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return not source.startswith((".", "~", "$"))


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


def _load(source: str | Path, model_class, **kwargs) -> PreTrainedModel:
    with _without_load_report():
        model, info = model_class.from_pretrained(source, output_loading_info=True, **kwargs)
    if info["missing_keys"]:
        logger.warning(
            f"{source} lacks {len(info['missing_keys'])} weights of {type(model).__name__}, which are random now: "
            f"{', '.join(sorted(info['missing_keys'])[:4])}. If it is the pooler, choose another `pooling`."
        )
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
    # The configuration decides which class to load; `dtype` and `attn_implementation` are for the model alone.
    hub = {name: value for name, value in kwargs.items() if name not in ("dtype", "attn_implementation")}
    config = AutoConfig.from_pretrained(source, **hub)
    if {"text_config", "vision_config"} <= set(config.sub_configs):
        model = _load(source, tower_class(config), config=config, **kwargs)
        return {kind: _half(model, kind, source) for kind in kinds}
    tower = _load(source, tower_class(config), config=config, **kwargs)
    kind = "vision" if tower.main_input_name == "pixel_values" else "text"
    if kind != kinds[0]:
        raise ValueError(f"{source} ({type(tower).__name__}) is a {kind} model, but a {kinds[0]} tower is wanted.")
    return {kind: (tower, None)}
