"""Configurations of the models whose score is the mean of matching units: MIMIC, M3EL, MELOV."""

from huggingface_hub.dataclasses import strict

from .configuration_base import check_positive
from .configuration_states import StatesConfig


@strict
class UnitsConfig(StatesConfig):
    r"""
    Fields that models with matching units add to [`StatesConfig`] and [`MatchingConfig`].

    Args:
        matching_size (`int`, *optional*, defaults to 96):
            Size in which tokens and patches are compared.
        text_conditioned_patches (`bool`, *optional*, defaults to `False`):
            Scale and shift the states of patches by what the text of their own mention or entity says, as JD-CCL does (Nguyen
            et al., NAACL 2025), without its synthetic pictures; see [`PatchTransform`].
        softmax_temperature (`float`, *optional*, defaults to `1.0`):
            Divides the scores in the loss of the model's `forward`.
        legacy_masking (`bool`, *optional*, defaults to `False`):
            As the public code of these models does: attend to padding, take a missing picture for one of zeros, and count
            other mentions of the same entity as negatives. To compare with old results only; the padding of the
            original is that of a processor with `pad_to_max_length=True`.
    """

    matching_size: int = 96
    text_conditioned_patches: bool = False
    softmax_temperature: float | int = 1.0
    legacy_masking: bool = False

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        check_positive(self, ("matching_size", "softmax_temperature"))

    @property
    def keeps_padding(self) -> bool:
        """`True` if the states of padding are kept as the tower returns them, instead of zeros."""
        return self.legacy_masking
