"""Configuration of M3EL."""

from huggingface_hub.dataclasses import strict

from .configuration_base import check_choices, check_positive
from .configuration_units import UnitsConfig


CROSS_MATCHING = ("textual_to_visual", "visual_to_textual", "both", "none")


@strict
class M3ELConfig(UnitsConfig):
    r"""
    Configuration of an [`M3ELModel`] (Hu et al., KDD 2025).

    Args:
        use_text_unit (`bool`, *optional*, defaults to `True`):
            Compare texts: global with global, global with tokens.
        use_image_unit (`bool`, *optional*, defaults to `True`):
            Compare pictures in the same way, with patches for tokens.
        cross_matching (`str`, *optional*, defaults to `"textual_to_visual"`):
            Units that compare what one modality found in the other: `"textual_to_visual"` (as published for WikiMEL and
            RichpediaMEL), `"both"` (WikiDiverse), `"visual_to_textual"` or `"none"`.
        aggregation_temperatures (`list[float]`, *optional*, defaults to `[2.0, 2.5, 3.5, 4.5]`):
            Heads that pool a set by a softmax; each number multiplies what the softmax is of. May be empty.
        aggregation_max (`bool`, *optional*, defaults to `True`):
            One more head, which pools by the maximum.
        aggregation_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the softmax- and max-pooled vectors, whose mean is added to the mean of the set; 0 uses that alone.
        contrastive_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the intra-modal contrastive loss; 0 is without it.
        contrastive_text (`bool`, *optional*, defaults to `True`):
            This loss on texts.
        contrastive_image (`bool`, *optional*, defaults to `True`):
            This loss on pictures. With both it is their mean.
        contrastive_temperature (`float`, *optional*, defaults to `0.03`):
            Divides the cosines of this loss.
        contrastive_inter_weight (`float`, *optional*, defaults to `1.0`):
            What the logits between mentions and entities are multiplied with.
        contrastive_intra_weight (`float`, *optional*, defaults to `0.8`):
            What the logits among mentions, and those among entities, are multiplied with. 0 leaves these negatives out.

        The other arguments are those of [`UnitsConfig`] and [`MatchingConfig`].

    Example:

    ```python
    >>> from hf_mel import M3ELConfig

    >>> config = M3ELConfig(vision_config={"model_type": "clip_vision_model"}, cross_matching="both")
    >>> config.aggregation_temperatures, config.contrastive_temperature
    ([2.0, 2.5, 3.5, 4.5], 0.03)
    ```
    """

    model_type = "m3el"

    use_text_unit: bool = True
    use_image_unit: bool = True
    cross_matching: str = "textual_to_visual"
    aggregation_temperatures: list[float | int] | None = None
    aggregation_max: bool = True
    aggregation_weight: float | int = 1.0
    contrastive_weight: float | int = 1.0
    contrastive_text: bool = True
    contrastive_image: bool = True
    contrastive_temperature: float | int = 0.03
    contrastive_inter_weight: float | int = 1.0
    contrastive_intra_weight: float | int = 0.8

    def __post_init__(self, **kwargs):
        if self.aggregation_temperatures is None:
            self.aggregation_temperatures = [2.0, 2.5, 3.5, 4.5]
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        check_choices(self, {"cross_matching": CROSS_MATCHING})
        check_positive(self, ("contrastive_temperature", "contrastive_inter_weight"))
        for name in ("aggregation_weight", "contrastive_weight", "contrastive_intra_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)}.")
        if any(temperature <= 0 for temperature in self.aggregation_temperatures or ()):
            raise ValueError(f"`aggregation_temperatures` must be positive, got {self.aggregation_temperatures}.")
        image_units = self.vision_config is not None and (self.use_image_unit or self.cross_matching != "none")
        if not (self.use_text_unit or image_units):
            raise ValueError(
                "no unit is left: `use_text_unit`, or one of the others with a `vision_config`, is needed."
            )

    @property
    def contrastive_modalities(self) -> tuple[str, ...]:
        """Of `"text"` and `"image"`, those that have a contrastive loss."""
        if not self.contrastive_weight:
            return ()
        image = self.contrastive_image and self.vision_config is not None
        return (*(("text",) if self.contrastive_text else ()), *(("image",) if image else ()))
