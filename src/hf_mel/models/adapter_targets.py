"""Checks of LoRA configurations, and the modules of the towers that they match."""

import dataclasses
import re

from torch import nn

from .tower_features import TOWER_PARTS


# The base would change with these, or more than the matched layers would be trained and have to be saved.
_REFUSED = {
    "modules_to_save": "heads are trained and saved in any case, and nothing else of the towers is",
    "trainable_token_indices": "embeddings of the towers are frozen",
    "target_parameters": "adapters are for modules; name them in `target_modules`",
    "layer_replication": "it changes the layers of the tower",
    "megatron_config": "the towers are not split over devices",
    "alora_invocation_tokens": "it is for the generation of texts",
    "arrow_config": "there is one set of adapters",
    "monteclora_config": "it adds a loss of its own",
    "kasa_config": "it changes the weights of the tower",
    "use_qalora": "it is for quantised towers",
    "use_bdlora": "the towers are not split over devices",
    "layers_to_transform": r"name the layers in `target_modules`, as in r'text_model\..*\.layer\.(10|11)\..*\.query'",
    "layers_pattern": "name the layers in `target_modules`, as a regular expression",
}
_INITIALISATIONS = (True, False, "gaussian", "orthogonal")
_KINDS = {"text_model": "text", "text_projection": "text", "vision_model": "vision", "visual_projection": "vision"}
_ALL_LINEAR = "all-linear"


def import_peft():
    """
    The package `peft`.

    Raises:
        `ImportError`: It is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise ImportError("LoRA needs the package peft: run `pip install hf-mel[peft]`.") from error
    return peft


def check_lora_config(config, adapter_name: str | None = None) -> None:
    """
    Raises:
        `TypeError`: No configuration of PEFT.
        `ValueError`: One of another kind than LoRA, or with a field that cannot be used; the message names it.
    """
    peft = import_peft()
    if not isinstance(config, peft.PeftConfig):
        raise TypeError(f"`peft_config` must be a `peft.LoraConfig`, got {type(config).__name__}.")
    if type(config) is not peft.LoraConfig:
        raise ValueError(
            f"`peft_config` is a {type(config).__name__}: only `LoraConfig` is supported, whose adapters can be put into "
            "towers of any kind and merged."
        )
    if adapter_name not in (None, "default"):
        raise ValueError(f"`adapter_name` is {adapter_name!r}: there is one set of adapters, `default`.")
    for name, reason in _REFUSED.items():
        value = getattr(config, name, None)
        if value is not None and value is not False and value not in ([], {}, ()):
            raise ValueError(f"`{name}` of `peft_config` cannot be used: {reason}.")
    if config.bias != "none":
        raise ValueError(f"`bias` of `peft_config` must be 'none', got {config.bias!r}: the towers are frozen.")
    if config.init_lora_weights not in _INITIALISATIONS:
        raise ValueError(
            f"`init_lora_weights` of `peft_config` must be one of {', '.join(map(repr, _INITIALISATIONS))}, got "
            f"{config.init_lora_weights!r}: others change the weights of the towers, or need data."
        )


def plain_lora_config(config) -> dict:
    """The fields that differ from their defaults, as JSON has them; `LoraConfig(**fields)` is the same again."""
    default = type(config)().to_dict()
    fields = {field.name for field in dataclasses.fields(config) if field.init}
    left_out = ("peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "peft_version")
    return {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in config.to_dict().items()
        if name in fields and name not in left_out and value != default.get(name)
    }


def tower_kind(name: str) -> str:
    """`"text"` or `"vision"`; `"tower"` in a model whose one tower reads both."""
    return _KINDS.get(name.split(".")[0], "tower")


def find_targets(model: nn.Module, config) -> list[str]:
    """
    Names of the modules in the towers that get an adapter.

    Args:
        model ([`MatchingModel`]): The model.
        config (`peft.LoraConfig`): Has `target_modules` and `exclude_modules`.

    Raises:
        `ValueError`: No module matches, one is in a frozen tower, or an adapted tower has batch normalisation.
    """
    candidates = _candidates(model)
    frozen = {kind for kind in ("text", "vision", "tower") if getattr(model.config, f"freeze_{kind}", False)}
    wanted = config.target_modules
    if wanted is None:
        found = [
            name for name, each in candidates.items() if _is_attention(name, each) and tower_kind(name) not in frozen
        ]
    elif isinstance(wanted, str) and wanted.lower() == _ALL_LINEAR:
        found = [name for name, module in candidates.items() if isinstance(module, nn.Linear)]
    else:
        found = [name for name in candidates if _matches(name, wanted)]
    found = [name for name in found if not config.exclude_modules or not _matches(name, config.exclude_modules)]
    if not found:
        raise ValueError(_nothing_found(wanted, candidates, frozen))
    kinds = {tower_kind(name) for name in found}
    for kind in sorted(kinds & frozen):
        first = next(name for name in found if tower_kind(name) == kind)
        raise ValueError(
            f"`target_modules` of `peft_config` match {first}, but `freeze_{kind}` of the model's configuration freezes this "
            f"tower: load the model with `freeze_{kind}=False`, or leave the tower out with "
            f"`exclude_modules=r'{first.split('.')[0]}\\..*'`."
        )
    for part in {name.split(".")[0] for name in found}:
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in getattr(model, part).modules()):
            raise ValueError(
                f"adapters cannot be added to {part}, which has batch normalisation: its statistics would change in training."
            )
    return sorted(found)


def _candidates(model: nn.Module) -> dict[str, nn.Module]:
    """Modules of the towers by name, without those whose weights are read past their `forward`."""
    inside = {f"{name}." for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)}
    return {
        name: module
        for name, module in model.named_modules()
        if name.split(".")[0] in TOWER_PARTS and not name.startswith(tuple(inside))
    }


def _is_attention(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and re.search(r"\.[^.]*(attn|attention)[^.]*\.", name) is not None


def _matches(name: str, wanted) -> bool:
    """As in PEFT: a regular expression for the whole name, or a list of names and of ends of names."""
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == each or name.endswith(f".{each}") for each in wanted)


def _nothing_found(wanted, candidates: dict[str, nn.Module], frozen: set[str]) -> str:
    linear = sorted({name.rpartition(".")[2] for name, each in candidates.items() if isinstance(each, nn.Linear)})
    if not linear:
        return (
            "`peft_config`: the towers have no linear layer that an adapter could change. Train without `peft_config`."
        )
    if wanted is None and frozen:
        fields = ", ".join(f"`freeze_{kind}=False`" for kind in sorted(frozen))
        return f"no tower can be adapted: load the model with {fields}, or leave out `peft_config`."
    what = "the towers have no linear layer in an attention" if wanted is None else f"nothing matches {wanted!r}"
    return f"`target_modules` of `peft_config`: {what}. Linear layers of the towers: {', '.join(linear) or 'none'}."
