"""Configuration of GHMFC."""

from huggingface_hub.dataclasses import strict

from .configuration_base import check_positive
from .configuration_states import StatesConfig


@strict
class GHMFCConfig(StatesConfig):
    r"""
    Configuration of a [`GHMFCModel`] (Wang et al., SIGIR 2022). Defaults are choices of this implementation.

    Args:
        projection_size (`int`, *optional*, defaults to `512`):
            Size of the embeddings in which mentions and entities are compared, and of the text and the picture before their
            fusion.
        coattention_size (`int`, *optional*, defaults to `512`):
            Size of tokens, phrases and patches in the co-attention.
        num_coattention_heads (`int`, *optional*, defaults to `8`):
            Heads of each attention; a divisor of `coattention_size`.
        use_token_level (`bool`, *optional*, defaults to `True`):
            Co-attention of tokens and patches.
        use_phrase_level (`bool`, *optional*, defaults to `True`):
            Co-attention of phrases and patches.
        phrase_widths (`list[int]`, *optional*, defaults to `[1, 2, 3]`):
            Widths, in tokens, of the convolutions that make phrases.
        use_global (`bool`, *optional*, defaults to `True`):
            The towers' pooled features beside these levels; the paper has none.
        use_gate (`bool`, *optional*, defaults to `True`):
            Weigh text and picture by a gate. `False`: their mean.
        use_entity_images (`bool`, *optional*, defaults to `True`):
            Read the pictures of entities. `False`: entities are their texts, as in the paper.
        share_heads (`bool`, *optional*, defaults to `True`):
            Whether mentions and entities go through the same co-attention and fusion.
        contrastive_weight (`float`, *optional*, defaults to `0.1`):
            Weight of each of the two contrastive losses between text and picture of the mentions; 0 is without them.
        contrastive_text_to_image (`bool`, *optional*, defaults to `True`):
            The text finds its picture among those of the batch.
        contrastive_image_to_text (`bool`, *optional*, defaults to `True`):
            The picture finds its text.
        contrastive_temperature (`float`, *optional*, defaults to `0.07`):
            Divides the cosines of these losses.
        softmax_temperature (`float`, *optional*, defaults to `0.05`):
            Divides the cosines in the loss of the model's `forward`.

        The other arguments are those of [`StatesConfig`] and [`MatchingConfig`].

    Example:

    ```python
    >>> from hf_mel import GHMFCConfig

    >>> config = GHMFCConfig(vision_config={"model_type": "clip_vision_model"}, use_phrase_level=False)
    >>> config.levels, config.num_patches
    (('token',), 50)
    ```
    """

    model_type = "ghmfc"

    projection_size: int = 512
    coattention_size: int = 512
    num_coattention_heads: int = 8
    use_token_level: bool = True
    use_phrase_level: bool = True
    phrase_widths: list[int] | None = None
    use_global: bool = True
    use_gate: bool = True
    use_entity_images: bool = True
    share_heads: bool = True
    contrastive_weight: float | int = 0.1
    contrastive_text_to_image: bool = True
    contrastive_image_to_text: bool = True
    contrastive_temperature: float | int = 0.07
    softmax_temperature: float | int = 0.05

    def __post_init__(self, **kwargs):
        if self.phrase_widths is None:
            self.phrase_widths = [1, 2, 3]
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        sizes = ("projection_size", "coattention_size", "num_coattention_heads")
        check_positive(self, (*sizes, "contrastive_temperature", "softmax_temperature"))
        if self.coattention_size % self.num_coattention_heads:
            raise ValueError(
                f"`num_coattention_heads` must divide `coattention_size`, got {self.num_coattention_heads} and "
                f"{self.coattention_size}."
            )
        if self.contrastive_weight < 0:
            raise ValueError(f"`contrastive_weight` must be at least 0, got {self.contrastive_weight}.")
        widths = self.phrase_widths if self.phrase_widths is not None else [1]  # `None` only before `__post_init__`
        if not widths or any(width <= 0 for width in widths):
            raise ValueError(f"`phrase_widths` must be positive, and at least one, got {self.phrase_widths}.")
        if not (self.levels or self.use_global):
            raise ValueError(
                "nothing is left to read: `use_token_level`, `use_phrase_level` or `use_global` is needed."
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """Of `"token"` and `"phrase"`, those whose co-attention is there."""
        return (*(("token",) if self.use_token_level else ()), *(("phrase",) if self.use_phrase_level else ()))

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Of `"text_to_image"` and `"image_to_text"`, the contrastive losses that are there."""
        if not self.contrastive_weight or self.vision_config is None:
            return ()
        to_image = ("text_to_image",) if self.contrastive_text_to_image else ()
        return (*to_image, *(("image_to_text",) if self.contrastive_image_to_text else ()))
