"""Configurations of PGMEL: of the model that links, and of the generator that picks its negatives."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_base import (
    MatchingConfig,
    check_choices,
    check_field_names,
    check_model_type,
    check_positive,
)
from .fusion import FUSIONS


_CHOICES = {"text_views": ("both", "context", "surface"), "view_fusion": ("gmu", "gated", "concat", "stack")}


def validate_heads(config: PreTrainedConfig, has_vision: bool) -> None:
    """Check the fields that the model and its generator share. Raises `ValueError` naming the field."""
    check_choices(config, _CHOICES)
    FUSIONS.check(config.fusion)
    check_positive(config, ("projection_size", "initializer_range"))
    if not 0 <= config.head_dropout < 1:
        raise ValueError(f"`head_dropout` must be in [0, 1), got {config.head_dropout}.")
    if config.fusion == "image" and not has_vision:
        raise ValueError('`fusion="image"` needs a vision tower, but there is none: give a `vision_config`.')


@strict
class PGMELConfig(MatchingConfig):
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
            How two views become one text feature: `"gmu"`, `"gated"`, `"concat"` or `"stack"`, see
            [`~models.fusion.TextViews`].
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
            `"modality_attention"` (DZMNED), `"late"` (side by side, so that scores add up), `"cosine"` (begins as a
            weighted mean of the towers' cosines, see [`~models.cosine_fusion.CosineFusion`]), `"text"` or `"image"` (one
            modality alone), or a name that was registered with [`register_fusion`].
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
        name_features (`bool`, *optional*, defaults to `False`):
            Add weighted features of the names to the score of a pair, see [`PAIR_FEATURES`].
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

    text_views: str = "both"
    view_fusion: str = "gmu"
    fusion: str = "gmu"
    share_heads: bool = True
    projection_size: int = 256
    head_dropout: float | int = 0.0
    softmax_temperature: float | int = 0.05

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        check_positive(self, ("softmax_temperature",))
        validate_heads(self, has_vision=self.vision_config is not None)


@strict
class PGMELGeneratorConfig(PreTrainedConfig):
    r"""
    Configuration of a [`PGMELGenerator`].

    Args:
        generator_type (`str`, *optional*, defaults to `"query"`):
            `"query"`: a head for mentions alone, compared with vectors of the entities that an index holds. `"both"`: heads
            for mentions and entities.
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

    generator_type: str = "query"
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
        check_choices(self, {"generator_type": ("query", "both")})
        check_positive(self, ("text_feature_size", "vision_feature_size", "policy_temperature"))
        validate_heads(self, has_vision=self.vision_feature_size is not None)

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
        # A model of another kind has heads of its own, and nothing to say of the generator's but what it reads.
        fields = {name: getattr(config, name) for name in cls.__annotations__ if hasattr(config, name)}
        return cls(**{**fields, **overrides})
