"""The towers of a model: their configuration, weights and features."""

import torch

from ..models import MatchingModel
from ..models.tower_features import TOWER_PARTS


# What a configuration says beside what the tower computes: where it was saved, by which version, how it is run.
_NOT_COMPUTED = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "_attn_implementation",
)


def tower_config(model: MatchingModel) -> dict[str, dict | None]:
    """Configurations of the towers, without what does not change their features."""
    names = ("tower_config",) if model.reads_together else ("text_config", "vision_config")
    configs = {name: getattr(model.config, name) for name in names}
    return {
        name: None if config is None else {k: v for k, v in config.to_dict().items() if k not in _NOT_COMPUTED}
        for name, config in configs.items()
    }


def tower_state(model: MatchingModel) -> dict[str, torch.Tensor]:
    """Weights of the towers."""
    return {name: value for name, value in model.state_dict().items() if name.split(".")[0] in TOWER_PARTS}
