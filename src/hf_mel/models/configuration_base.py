"""Fields and checks that the configurations of all models share."""

import difflib

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_bag import BagOfTokensConfig
from .tower_sizes import tower_sizes


# Not in `__init__`, which does not travel with a checkpoint.
AutoConfig.register(BagOfTokensConfig.model_type, BagOfTokensConfig, exist_ok=True)

POOLINGS = ("pooler", "mean", "cls")


PIPELINE_TASK = "multimodal-entity-linking"


def check_field_names(config_class: type, names, reserved: tuple[str, ...] = ()) -> None:
    """Raise `TypeError`, naming the nearest valid name, if `names` holds one that is no own field of `config_class`."""
    own = [set(each.__dict__.get("__annotations__", ())) for each in config_class.__mro__ if _is_own(each)]
    valid = sorted(set().union(*own) - set(reserved))
    for name in names:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Valid names: {', '.join(valid)}."
            raise TypeError(f"{config_class.__name__} has no settable field `{name}`.{hint}")


def _is_own(config_class: type) -> bool:
    """Returns `True` if a class in the ancestry of a configuration is one of this package, not one of transformers."""
    return issubclass(config_class, PreTrainedConfig) and config_class is not PreTrainedConfig


def check_model_type(config_dict: dict, expected: str, source) -> None:
    """Raise `ValueError` if a loaded configuration is of another model type: its weights would all be random."""
    found = config_dict.get("model_type")
    if found is not None and found != expected:
        raise ValueError(
            f"{source} holds a model of type {found!r}, not {expected!r}. To build a model on pretrained "
            f"towers, call `from_towers` of its class; a generator is in the sub-folder `generator` of a checkpoint."
        )


def check_pipeline(task: str | None) -> None:
    """Raise `ImportError` if the pipeline, for which a configuration is loaded, is not there: no code of it travels."""
    if task != PIPELINE_TASK:
        return
    from transformers.pipelines import PIPELINE_REGISTRY

    if task not in PIPELINE_REGISTRY.supported_tasks:
        raise ImportError(
            f"the pipeline {task!r} is part of the package hf_mel, not of the checkpoint: run `pip install hf-mel`, and "
            "`import hf_mel` before `pipeline(...)`. Without it, `AutoModel` and `AutoProcessor` load the checkpoint with "
            "`trust_remote_code=True`."
        )


def check_choices(config: PreTrainedConfig, choices: dict[str, tuple]) -> None:
    """Raise `ValueError`, naming the field, where one of these fields has none of its values."""
    for name, allowed in choices.items():
        value = getattr(config, name, allowed[0])
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}.")


def check_positive(config: PreTrainedConfig, names: tuple[str, ...]) -> None:
    """Raise `ValueError`, naming the field, where one of these fields is there and not positive."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None and value <= 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")


@strict
class MatchingConfig(PreTrainedConfig):
    r"""
    Base class of the configurations of all linking models: the towers and how they are read.

    Args:
        text_config (`dict` or [`~transformers.PreTrainedConfig`], *optional*):
            Configuration of the text tower; a `dict` names its kind by `model_type`. Defaults to a CLIP text model.
        vision_config (`dict` or [`~transformers.PreTrainedConfig`], *optional*):
            Configuration of the vision tower. `None`: a text-only model.
        pooling (`str`, *optional*, defaults to `"pooler"`):
            Text feature of a view: `"pooler"` is the tower's own pooled output, `"mean"` the mean of the tokens that are
            no padding (sentence encoders), `"cls"` the first token.
        text_projection_dim (`int`, *optional*):
            Size of a linear map, without bias, of the pooled text feature, as CLIP has it. `None`: no such map.
        vision_projection_dim (`int`, *optional*):
            The same for the pooled image feature.
        freeze_text (`bool`, *optional*, defaults to `False`):
            Keep the text tower as it is: no gradient, no dropout.
        freeze_vision (`bool`, *optional*, defaults to `False`):
            The same for the vision tower.
        initializer_range (`float`, *optional*, defaults to `0.02`):
            Standard deviation of the normal distribution that initialises the heads.
        name_features (`bool`, *optional*, defaults to `False`):
            Add weighted features of the names to the score of a pair, see [`PAIR_FEATURES`].
        base_models (`list[str]`, *optional*):
            Repositories on the Hub whose weights the model began with, for its card; `from_towers` sets it.
    """

    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_text_model"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model", optional=True),
    }

    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    pooling: str = "pooler"
    text_projection_dim: int | None = None
    vision_projection_dim: int | None = None
    freeze_text: bool = False
    freeze_vision: bool = False
    initializer_range: float | int = 0.02
    name_features: bool = False
    base_models: list[str] | None = None

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        check_choices(self, {"pooling": POOLINGS})
        check_positive(self, ("text_projection_dim", "vision_projection_dim", "initializer_range"))
        if self.vision_projection_dim is not None and self.vision_config is None:
            raise ValueError("`vision_projection_dim` needs a `vision_config`, but there is none.")

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        check_pipeline(kwargs.get("_from_pipeline"))  # says it before the weights are loaded
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        check_model_type(config_dict, cls.model_type, pretrained_model_name_or_path)
        return config_dict, kwargs

    @property
    def text_pooled_size(self) -> int:
        """Size of the text tower's pooled feature, before `text_projection_dim`."""
        sizes = tower_sizes(self.text_config, "text")
        return sizes.pooled if self.pooling == "pooler" and sizes.pooled is not None else sizes.state

    @property
    def vision_pooled_size(self) -> int | None:
        """Size of the vision tower's pooled feature; `None` for a text-only model."""
        return None if self.vision_config is None else tower_sizes(self.vision_config, "vision").pooled

    @property
    def text_feature_size(self) -> int:
        """Size of the text feature of a view, as heads and generator read it."""
        return self.text_projection_dim or self.text_pooled_size

    @property
    def vision_feature_size(self) -> int | None:
        """Size of the image feature, as heads and generator read it; `None` for a text-only model."""
        return self.vision_projection_dim or self.vision_pooled_size
