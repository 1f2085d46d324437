"""Towers: the class of a configuration, its inputs, the states and the pooled feature of its outputs."""

import inspect
from pathlib import Path

import torch
import transformers
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from torch.nn import functional as F
from transformers import MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

from .modeling_bag import BagOfTokensModel


# Text halves that exist as classes but that `AutoModel` does not know by their configuration.
_TEXT_HALVES = {"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"}
_NAFLEX = "siglip2_vision_model"
_MASKED = "vit_mae"
_READS = {"text": "input_ids", "vision": "pixel_values"}


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


def check_tower(config: PreTrainedConfig, kind: str) -> None:
    """
    Raise `ValueError`, with the reason, if a model cannot be a tower: one encoder, which reads texts alone or pictures alone.

    Args:
        config ([`~transformers.PreTrainedConfig`]): Configuration of the model.
        kind (`str`): `"text"` or `"vision"`, what the tower is wanted for.
    """
    model_class = tower_class(config)
    reason = None
    if f"{kind}_config" in config.sub_configs:
        reason = f"it is made of several models; name the model of its `{kind}_config` instead"
    elif model_class.main_input_name != _READS[kind]:
        reason = f"it reads `{model_class.main_input_name}`, not `{_READS[kind]}`"
    elif kind == "vision":
        reason = _not_a_vision_tower(model_class, config)
    if reason is not None:
        raise ValueError(f"a model of type {config.model_type!r} cannot be the {kind} tower: {reason}.")


def _not_a_vision_tower(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> str | None:
    """Reason why a model that reads pictures is no encoder of one picture, if there is one."""
    if hasattr(config, "num_queries"):
        return "it detects objects, and its states are queries, not parts of the picture"
    if hasattr(config, "num_frames"):
        return "it reads videos"
    if config.model_type == _MASKED and config.mask_ratio:
        return "it hides patches at random; load it with `vision_kwargs={'mask_ratio': 0.0}`"
    needed = [
        name
        for name, parameter in inspect.signature(model_class.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and name not in ("self", "pixel_values")
    ]
    if needed and config.model_type != _NAFLEX:
        return f"it also needs {', '.join(f'`{name}`' for name in needed)}"
    return None


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


LENGTH_GROUP = 32
"""Texts of similar length that a trained text tower reads together on a CPU."""


def similar_lengths(attention_mask: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """
    Rows of similar length, the longest first, each group with the columns that it needs: the others are padding for all of
    it, and cost as much as tokens do.

    Args:
        attention_mask (`torch.Tensor` of shape `(batch_size, num_tokens)`): 0 where there is padding.

    Returns:
        `list[tuple[torch.LongTensor, int]]`: rows, and a number of columns.
    """
    places = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
    widths = torch.where(attention_mask != 0, places, 0).amax(dim=1)
    groups = widths.argsort(descending=True, stable=True).split(LENGTH_GROUP)
    return [(rows, max(int(widths[rows[0]]), 1)) for rows in groups]


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


def state_rows(outputs) -> torch.Tensor:
    """
    States of the patches, the class token included where there is one, of shape `(batch_size, num_patches, size)`. A tower
    that gives a map of the picture, `(batch_size, size, height, width)` or with the size last, has a state for each place.
    """
    states = _patch_map(outputs)
    return states.flatten(2).mT if states.dim() == 4 else states


def _patch_map(outputs) -> torch.Tensor:
    """The last states of a vision tower; a map of the picture has its size in front of height and width."""
    states = getattr(outputs, "last_hidden_state", None)
    if states is None:
        maps = getattr(outputs, "feature_maps", None)  # of a backbone
        if not maps:
            raise ValueError("its outputs have neither `last_hidden_state` nor `feature_maps`")
        states = maps[-1]
    if states.dim() == 4 and states.shape[1] == states.shape[2] != states.shape[3]:  # pictures are square
        states = states.permute(0, 3, 1, 2)
    return states


def image_states(outputs, num_patches: int) -> torch.Tensor:
    """
    [`state_rows`], of which there must be `num_patches`.

    Raises:
        `ValueError`: the tower gives another number of them.
    """
    states = state_rows(outputs)
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
    if pooled is None:
        pooled = _patch_map(outputs)
    if pooled.dim() == 4:  # convolutional towers pool to (batch_size, size, 1, 1), or to a map
        return pooled.mean(dim=(2, 3))
    return pooled.mean(dim=1) if pooled.dim() == 3 else pooled


def vision_inputs(config: PreTrainedConfig, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
    """
    Returns the inputs of a vision tower. SigLIP2's NaFlex tower takes rows of patches of any aspect ratio: a square image is
    the case with equal sides and nothing masked, and all images of a batch are square here.
    """
    if config.model_type == _MASKED:  # without an order of its own it shuffles the patches
        places = (config.image_size // config.patch_size) ** 2
        order = torch.arange(places, device=pixel_values.device).expand(len(pixel_values), -1)
        return {"pixel_values": pixel_values, "noise": order}
    if config.model_type != _NAFLEX:
        return {"pixel_values": pixel_values}
    size = config.patch_size
    batch, channels, height, width = pixel_values.shape
    rows, columns = height // size, width // size
    patches = pixel_values.reshape(batch, channels, rows, size, columns, size).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": patches.reshape(batch, rows * columns, -1),
        "pixel_attention_mask": torch.ones(batch, rows * columns, dtype=torch.long, device=pixel_values.device),
        # The tower reads them as numbers: from an accelerator it would have to wait for them.
        "spatial_shapes": torch.tensor([[rows, columns]] * batch, device="cpu"),
    }


# ---- Loading ----


def is_repository(source: str | Path) -> bool:
    """Returns `True` if this names a repository on the Hub, and no local folder."""
    if not isinstance(source, str) or Path(source).exists():
        return False
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return not source.startswith((".", "~", "$"))
