"""Fingerprints of the model and the processor of an index, and how those of others differ."""

import hashlib
import json
from typing import Any

import torch

from ...data.problems import listed
from ...models import MatchingModel, MELProcessor
from ...models.tower_features import TOWER_PARTS


# What a configuration says beside what the model computes: how it was trained, saved and is run.
_NOT_COMPUTED = {
    *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "_attn_implementation"),
    *("freeze_text", "freeze_vision", "softmax_temperature", "use_cache", "initializer_range", "initializer_factor"),
    *("base_models", "auto_map", "return_dict", "output_attentions", "output_hidden_states", "id2label", "label2id"),
    "problem_type",
    "name_features",  # their weights are among those of the heads
}
_SETTINGS = (
    *("text_views", "max_length", "surface_max_length", "separator"),
    *("mention_template", "entity_template", "pad_to_max_length"),
)
_SHOWN = 8


def describe_model(model: MatchingModel) -> dict[str, Any]:
    """
    Returns the values that identify a model: configuration and weights. They are the same on every device and after
    `save_pretrained` and `from_pretrained`; training options and the version of transformers do not count.

    Returns:
        `dict`: `type`, `vector_name`, `proposal_name`, `config`, `towers` and `heads` (digests of the weights), and
        `fingerprint`, one digest of all that but for the two names.
    """
    config = computed_settings(model.config.to_diff_dict())
    # Configurations of towers grow with transformers: they name a difference, but their weights are what counts.
    own = {name: value for name, value in config.items() if not isinstance(value, dict)}
    towers, heads = {}, {}
    for name, value in model.state_dict().items():
        (towers if name.split(".")[0] in TOWER_PARTS else heads)[name] = value
    digests = {"towers": weights_digest(towers), "heads": weights_digest(heads)}
    return {
        "type": model.config.model_type,
        "vector_name": model.vector_name,
        "proposal_name": model.proposal_name,
        "fingerprint": _digest([model.config.model_type, own, digests]),
        **digests,
        "config": config,
    }


def describe_processor(processor: MELProcessor) -> dict[str, Any]:
    """
    Returns the values that identify a processor.

    Returns:
        `dict`: `settings` (templates, lengths, views), `tokenizer` (a digest), `image_processor`, and `fingerprint`, one
        digest of all that.
    """
    images = getattr(processor, "image_processor", None)
    described = {
        "settings": {name: getattr(processor, name, None) for name in _SETTINGS},
        "tokenizer": tokenizer_digest(processor.tokenizer),
        "image_processor": None if images is None else computed_settings(images.to_dict()),
    }
    return {"fingerprint": _digest(described), **described}


def check_same(
    index_model: dict[str, Any],
    index_processor: dict[str, Any],
    model: MatchingModel | None,
    processor: MELProcessor | None,
    where: str,
) -> None:
    """
    Raises a `ValueError` that names what differs between the model and the processor of an index and these.

    Args:
        index_model (`dict`), index_processor (`dict`):
            What the index was made with.
        model ([`MatchingModel`], *optional*), processor ([`MELProcessor`], *optional*):
            What it is to be used with; `None` is not looked at.
        where (`str`):
            The index, for the message.
    """
    models = [] if model is None else _model_differences(index_model, describe_model(model))
    processors = [] if processor is None else _processor_differences(index_processor, describe_processor(processor))
    if models or processors:
        raise ValueError(
            f"{where} was made with another {'model' if models else 'processor'}: "
            f"{listed(models + processors, _SHOWN)}. Use the checkpoint that it was built with, or build it again with "
            "this one."
        )


def _model_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    if first["type"] != second["type"]:
        return [f"the model type is {first['type']!r} in the index and {second['type']!r} here"]
    found = _different_fields(first["config"], second["config"], "config.")
    for part, name in (("towers", "towers"), ("heads", "heads")):
        if first[part] != second[part]:
            found.append(f"the weights of the {name} differ")
    if not found and first["fingerprint"] != second["fingerprint"]:
        found.append("the model's configuration differs")
    return found


def _processor_differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    found = _different_fields(first["settings"], second["settings"], "processor.")
    if first["tokenizer"] != second["tokenizer"]:
        found.append("the tokenizer differs")
    images = [each["image_processor"] for each in (first, second)]
    if (images[0] is None) != (images[1] is None):
        found.append("only one of the two processors prepares pictures")
    elif images[0] is not None:
        found += _different_fields(*images, "processor.image_processor.")
    return found


def _different_fields(first: dict[str, Any], second: dict[str, Any], prefix: str) -> list[str]:
    """Fields that both have with other values. One that only one has came, or went, with a version of transformers."""
    found = []
    for name in sorted(first.keys() & second.keys()):
        left, right = first[name], second[name]
        if isinstance(left, dict) and isinstance(right, dict):
            found += _different_fields(left, right, f"{prefix}{name}.")
        elif left != right:
            shown = ["set" if isinstance(value, dict) else repr(value) for value in (left, right)]
            found.append(f"{prefix}{name} is {shown[0]} in the index and {shown[1]} here")
    return found


# ---- Digests ----


def computed_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON values, without what does not count and without what is not set."""
    kept = {
        name: computed_settings(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in _NOT_COMPUTED and not name.startswith("_") and value is not None
    }
    return json.loads(json.dumps(kept, sort_keys=True, default=str))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def weights_digest(state: dict[str, torch.Tensor]) -> str:
    """Digest of the values, whatever the device and the type of number that holds them."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        digest.update(f"{name}{tuple(value.shape)}\0".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tokenizer_digest(tokenizer) -> str:
    """Digest of the vocabulary and the rules of a tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _digest([type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.special_tokens_map])
    content = json.loads(backend.to_str())
    for state in ("truncation", "padding"):  # left behind by the last call, and set again by the next
        content.pop(state, None)
    return _digest(content)
