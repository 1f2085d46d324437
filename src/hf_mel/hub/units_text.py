"""Text of the card of a model with matching units: the units, and their training."""

from dataclasses import dataclass
from typing import Any

import torch

from ..models import LINKING_MODELS, UnitsModel
from ..models.configuration_units import UnitsConfig
from .run_folder import RunFolder


_SIZES = {
    "matching_size": "size in which tokens and patches are compared",
    "max_text_tokens": "tokens read of a text",
    "num_patches": "states of a picture",
}


_NEEDED = {
    "negatives",
    "contrast_temperature",
    "contrast_weight",
    "unit_weight",
    "modality_weight",
    "margin",
    "triplet_weight",
}


@dataclass(frozen=True)
class UnitsText:
    """
    A model that is made of units.

    Args:
        model_class (`str`): Name of the class that loads it.
        negatives (`str`): What the other entities were that a mention was told from.
        losses (`list[tuple[str, float]]`): What the training minimised, and its weights; empty where that is not known.
    """

    model_class: str
    negatives: str
    losses: list[tuple[str, float]]

    @classmethod
    def of(cls, run: RunFolder) -> "UnitsText | None":
        """`None` for a model that is not made of units."""
        model_class = _units_class(run)
        if model_class is None:
            return None
        arguments = run.all_arguments
        negatives = "the other gold entities of a batch"
        if arguments.get("negatives") not in (None, "in_batch"):
            negatives += f", and {arguments.get('num_negatives')} of `{arguments['negatives']}` for each mention"
        return cls(model_class.__name__, negatives, _losses(run, arguments))


def units_rows(run: RunFolder) -> dict[str, Any]:
    """Rows of the table of the model: its class, its units, sizes, and the switches of its paper that are not as published."""
    model_class = _units_class(run)
    if model_class is None:
        return {}
    rows = {"class": f"`{model_class.__name__}`", "units": ", ".join(f"`{name}`" for name in _units(run, model_class))}
    rows |= {label: run.config.get(name) for name, label in _SIZES.items()}
    published = model_class.config_class()
    for name in _switches(model_class):
        value = run.config.get(name, getattr(published, name))
        if value != getattr(published, name):
            rows[f"`{name}`"] = f"`{value}`"
    return rows


def _switches(model_class: type[UnitsModel]) -> list[str]:
    """Fields of the configuration that are of no tower and no size."""
    classes = [each for each in model_class.config_class.__mro__ if issubclass(each, UnitsConfig)]
    names = dict.fromkeys(name for each in classes for name in each.__dict__.get("__annotations__", ()))
    return [name for name in names if name not in _SIZES]


def _units_class(run: RunFolder) -> type[UnitsModel] | None:
    found = LINKING_MODELS.get(run.model_type)
    return found if found is not None and issubclass(found, UnitsModel) else None


def _units(run: RunFolder, model_class: type[UnitsModel]) -> list[str]:
    with torch.device("meta"):  # names are asked for, no weights
        return list(model_class.build_units(model_class.config_class.from_dict(dict(run.config))))


def _losses(run: RunFolder, arguments: dict[str, Any]) -> list[tuple[str, float]]:
    """Those of the Trainer, and the model's own."""
    if not _NEEDED <= arguments.keys():
        return []
    temperature = f"temperature {arguments['contrast_temperature']:g}"
    losses = {
        f"contrast over the batch, of the score ({temperature})": arguments["contrast_weight"],
        f"the same, of each unit's scores ({temperature})": arguments["unit_weight"],
        "the same, of text alone and of picture alone": arguments["modality_weight"],
    }
    losses |= _own_losses(run)
    if arguments["negatives"] != "in_batch":
        losses[f"triplet loss over the negatives (margin {arguments['margin']:g})"] = arguments["triplet_weight"]
    return [(label, weight) for label, weight in losses.items() if weight]


def _own_losses(run: RunFolder) -> dict[str, float]:
    config, pictures = run.config, run.config.get("vision_config") is not None
    kinds = {"text": True, "image": pictures}
    contrast = [name for name, there in kinds.items() if there and config.get(f"contrastive_{name}")]
    losses = {}
    if contrast:
        temperature = f"temperature {config['contrastive_temperature']:g}"
        label = f"intra-modal contrast, of {' and '.join(contrast)} ({temperature})"
        losses[label] = config["contrastive_weight"]
    if pictures and config.get("use_generation"):
        losses["generation of the features of a mention's picture from its text"] = config["generation_weight"]
    return losses
