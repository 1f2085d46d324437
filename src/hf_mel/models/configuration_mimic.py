"""Configuration of MIMIC."""

from huggingface_hub.dataclasses import strict

from .configuration_units import UnitsConfig


@strict
class MIMICConfig(UnitsConfig):
    r"""
    Configuration of a [`MIMICModel`] (Luo et al., KDD 2023).

    Args:
        use_text_unit (`bool`, *optional*, defaults to `True`):
            Compare texts: global with global, global with tokens.
        use_vision_unit (`bool`, *optional*, defaults to `True`):
            Compare pictures.
        use_cross_unit (`bool`, *optional*, defaults to `True`):
            Compare texts that attended to pictures.

        The other arguments are those of [`UnitsConfig`] and [`MatchingConfig`].

    Example:

    ```python
    >>> from hf_mel import MIMICConfig

    >>> MIMICConfig(vision_config={"model_type": "clip_vision_model"}).num_patches  # 224 pixels, 32 a patch, class token
    50
    ```
    """

    model_type = "mimic"

    use_text_unit: bool = True
    use_vision_unit: bool = True
    use_cross_unit: bool = True

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        image_units = self.vision_config is not None and (self.use_vision_unit or self.use_cross_unit)
        if not (self.use_text_unit or image_units):
            raise ValueError(
                "no unit is left: `use_text_unit`, or one of the others with a `vision_config`, is needed."
            )
