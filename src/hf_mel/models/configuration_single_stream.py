"""Configuration of the models whose one tower reads text and picture together."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_base import check_choices, check_model_type, check_pipeline, check_positive


TOWERS = ("vilt",)
"""Types of towers whose picture can be masked out of the stream."""


@strict
class SingleStreamConfig(PreTrainedConfig):
    r"""
    Configuration of a [`SingleStreamModel`].

    Args:
        tower_config (`dict` or [`~transformers.PreTrainedConfig`], *optional*):
            Configuration of the tower, of type `"vilt"`; defaults to that of ViLT-B/32.
        text_views (`str`, *optional*, defaults to `"context"`):
            The one view of the text that is read.
        normalize (`bool`, *optional*, defaults to `True`):
            Compare by cosine. `False`: by the dot product of the pooled outputs as they are.
        freeze_tower (`bool`, *optional*, defaults to `False`):
            Keep the tower as it is: no gradient, no dropout. There are no heads: the model is then not trained.
        softmax_temperature (`float`, *optional*, defaults to `0.05`):
            Divides the scores in the loss of the model's `forward`.
        name_features (`bool`, *optional*, defaults to `False`):
            Add weighted features of the names to the score of a pair, see [`PAIR_FEATURES`].
        base_models (`list[str]`, *optional*):
            Repositories on the Hub whose weights the model began with, for its card; `from_towers` sets it.

    Example:

    ```python
    >>> from hf_mel import SingleStreamConfig

    >>> config = SingleStreamConfig(tower_config={"model_type": "vilt", "hidden_size": 96})
    >>> config.tower_config.model_type, config.text_feature_size, config.max_text_tokens
    ('vilt', 96, 40)
    ```
    """

    model_type = "single_stream"
    sub_configs_defaults = {"tower_config": SubConfigSpec(config_class=AutoConfig, model_type="vilt")}

    tower_config: dict | PreTrainedConfig | None = None
    text_views: str = "context"
    normalize: bool = True
    freeze_tower: bool = False
    softmax_temperature: float | int = 0.05
    name_features: bool = False
    base_models: list[str] | None = None

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        check_choices(self, {"text_views": ("context",)})
        check_positive(self, ("softmax_temperature",))
        if self.tower_config is not None and self.tower_config.model_type not in TOWERS:
            raise ValueError(
                f"`tower_config` is of type {self.tower_config.model_type!r}; a tower that reads text and picture together "
                f"must be one of {', '.join(map(repr, TOWERS))}. Towers for each of them are for PGMEL and its like."
            )

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        check_pipeline(kwargs.get("_from_pipeline"))  # says it before the weights are loaded
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        check_model_type(config_dict, cls.model_type, pretrained_model_name_or_path)
        return config_dict, kwargs

    @property
    def max_text_tokens(self) -> int:
        """Largest number of tokens of a text."""
        return self.tower_config.max_position_embeddings

    @property
    def pooling(self) -> str:
        """The tower's own pooled output."""
        return "pooler"

    @property
    def text_feature_size(self) -> int:
        """Size of the one feature of text and picture, as a generator reads it."""
        return self.tower_config.hidden_size

    @property
    def vision_feature_size(self) -> None:
        """There is no feature of the picture alone."""
        return None
