"""Configurations of PGMEL: of the model that links, and of the generator that picks its negatives."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_bag import BagOfTokensConfig
from .configuration_base import check_field_names, check_model_type, check_pipeline
from .fusion import FUSIONS


# Not in `__init__`, which does not travel with a checkpoint.
AutoConfig.register(BagOfTokensConfig.model_type, BagOfTokensConfig, exist_ok=True)

_CHOICES = {
    "text_views": ("both", "context", "surface"),
    "view_fusion": ("gmu", "gated", "concat"),
    "pooling": ("pooler", "mean", "cls"),
    "fusion": tuple(FUSIONS),
}
_POSITIVE = (
    "projection_size",
    "text_projection_dim",
    "vision_projection_dim",
    "text_feature_size",
    "vision_feature_size",
    "softmax_temperature",
    "policy_temperature",
    "initializer_range",
)


def validate_heads(config: PreTrainedConfig) -> None:
    """Check the fields that the model and its generator share. Raises `ValueError` naming the field."""
    for name, allowed in _CHOICES.items():
        value = getattr(config, name, allowed[0])
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    for name in _POSITIVE:
        value = getattr(config, name, None)
        if value is not None and value <= 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")
    if not 0 <= config.head_dropout < 1:
        raise ValueError(f"`head_dropout` must be in [0, 1), got {config.head_dropout}.")
    if config.fusion == "image" and config.vision_feature_size is None:
        raise ValueError('`fusion="image"` needs a vision tower, but there is none: give a `vision_config`.')


@strict
class PGMELConfig(PreTrainedConfig):
    r"""
    Configuration of a [`PGMELModel`]. What is not documented in the paper's public summary
    ([arXiv 2510.02726](https://huggingface.co/papers/2510.02726)) is a choice of this implementation.

    Args:
        text_config (`dict` or [`~transformers.PreTrainedConfig`], *optional*):
            Configuration of the text tower; a `dict` names its kind by `model_type`. Defaults to a CLIP text model.
        vision_config (`dict` or [`~transformers.PreTrainedConfig`], *optional*):
            Configuration of the vision tower. `None`: a text-only model.
        text_views (`str`, *optional*, defaults to `"both"`):
            `"context"` reads the mention in its sentence (name and description of an entity), `"surface"` the mention
            string (the entity name) alone, `"both"` both.
        view_fusion (`str`, *optional*, defaults to `"gmu"`):
            How two views become one text feature: `"gmu"`, `"gated"` or `"concat"`, see [`~models.fusion.TextViews`].
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
        fusion (`str`, *optional*, defaults to `"gmu"`):
            How text and image become one vector: `"gmu"` (Gated Multimodal Unit), `"concat"` (JMEL),
            `"modality_attention"` (DZMNED), `"late"` (side by side, so that scores add up), `"text"` or `"image"` (one modality alone).
        share_heads (`bool`, *optional*, defaults to `True`):
            Whether mentions and entities go through the same head.
        projection_size (`int`, *optional*, defaults to `256`):
            Size of the embeddings in which mentions and entities are compared.
        head_dropout (`float`, *optional*, defaults to `0.0`):
            Dropout on the tower features.
        softmax_temperature (`float`, *optional*, defaults to `0.05`):
            Divides the cosines in the loss of the model's `forward`.
        initializer_range (`float`, *optional*, defaults to `0.02`):
            Standard deviation of the normal distribution that initialises the heads.
        base_models (`list[str]`, *optional*):
            Repositories on the Hub whose weights the model began with, for its card; [`~PGMELModel.from_towers`] sets it.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: A field has a wrong type or value; the message names it.

    Example:

    ```python
    >>> from hf_mel import PGMELConfig

    >>> config = PGMELConfig(text_config={"model_type": "bert"}, vision_config={"model_type": "vit"}, projection_size=64)
    >>> config.vision_config.model_type
    'vit'
    >>> PGMELConfig().vision_config is None  # text-only
    True
    ```
    """

    model_type = "pgmel"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_text_model"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model", optional=True),
    }

    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    text_views: str = "both"
    view_fusion: str = "gmu"
    pooling: str = "pooler"
    text_projection_dim: int | None = None
    vision_projection_dim: int | None = None
    freeze_text: bool = False
    freeze_vision: bool = False
    fusion: str = "gmu"
    share_heads: bool = True
    projection_size: int = 256
    head_dropout: float | int = 0.0
    softmax_temperature: float | int = 0.05
    initializer_range: float | int = 0.02
    base_models: list[str] | None = None

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        validate_heads(self)
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
        """Size of what the text tower's pooling gives, before `text_projection_dim`."""
        if self.pooling == "pooler":  # SigLIP's text tower ends in a linear map of its own
            return getattr(self.text_config, "projection_size", None) or self.text_config.hidden_size
        return self.text_config.hidden_size

    @property
    def vision_pooled_size(self) -> int | None:
        """Size of what the vision tower's pooling gives; `None` for a text-only model."""
        if self.vision_config is None:
            return None
        sizes = getattr(self.vision_config, "hidden_sizes", None)  # convolutional towers list one size a stage
        return sizes[-1] if sizes else self.vision_config.hidden_size

    @property
    def text_feature_size(self) -> int:
        """Size of the text feature of a view, as heads and generator read it."""
        return self.text_projection_dim or self.text_pooled_size

    @property
    def vision_feature_size(self) -> int | None:
        """Size of the image feature, as heads and generator read it; `None` for a text-only model."""
        return self.vision_projection_dim or self.vision_pooled_size


@strict
class PGMELGeneratorConfig(PreTrainedConfig):
    r"""
    Configuration of a [`PGMELGenerator`].

    Args:
        text_feature_size (`int`, *optional*, defaults to `512`):
            Size of the text features it reads.
        vision_feature_size (`int`, *optional*):
            Size of the image features it reads. `None`: a text-only generator.
        text_views (`str`, *optional*, defaults to `"both"`):
            As in [`PGMELConfig`].
        view_fusion (`str`, *optional*, defaults to `"gmu"`):
            As in [`PGMELConfig`].
        fusion (`str`, *optional*, defaults to `"gmu"`):
            As in [`PGMELConfig`].
        share_heads (`bool`, *optional*, defaults to `True`):
            Whether mentions and entities go through the same head.
        projection_size (`int`, *optional*, defaults to `256`):
            Size of the space in which the policy compares mentions and candidates.
        head_dropout (`float`, *optional*, defaults to `0.0`):
            Dropout on the features.
        policy_temperature (`float`, *optional*, defaults to `0.05`):
            Divides the cosines: the lower, the sharper the policy starts.
        initializer_range (`float`, *optional*, defaults to `0.02`):
            Standard deviation of the normal distribution that initialises the weights.

    Example:

    ```python
    >>> from hf_mel import PGMELConfig, PGMELGeneratorConfig

    >>> PGMELGeneratorConfig.from_model_config(PGMELConfig(), projection_size=64).text_feature_size
    512
    ```
    """

    model_type = "pgmel_generator"

    text_feature_size: int = 512
    vision_feature_size: int | None = None
    text_views: str = "both"
    view_fusion: str = "gmu"
    fusion: str = "gmu"
    share_heads: bool = True
    projection_size: int = 256
    head_dropout: float | int = 0.0
    policy_temperature: float | int = 0.05
    initializer_range: float | int = 0.02

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        validate_heads(self)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        check_model_type(config_dict, cls.model_type, pretrained_model_name_or_path)
        return config_dict, kwargs

    @classmethod
    def from_model_config(cls, config: PreTrainedConfig, **overrides) -> "PGMELGeneratorConfig":
        """
        The generator for a model: same features, same kind of heads.

        Args:
            config ([`PGMELConfig`]): Configuration of the model whose tower features the generator reads.
            overrides: Fields of this class. Unknown names raise `TypeError`, with the nearest valid name.
        """
        check_field_names(cls, overrides, reserved=("text_feature_size", "vision_feature_size", "text_views"))
        fields = {name: getattr(config, name) for name in cls.__annotations__ if name != "policy_temperature"}
        return cls(**{**fields, **overrides})
