"""Base class of the configurations of all models that read states of tokens and patches."""

from huggingface_hub.dataclasses import strict

from .configuration_base import MatchingConfig, check_choices, check_positive
from .tower_sizes import picture_shape, tower_sizes


@strict
class StatesConfig(MatchingConfig):
    r"""
    Fields that models reading the states of tokens and patches add to [`MatchingConfig`].

    Args:
        text_views (`str`, *optional*, defaults to `"context"`):
            The one view that is read, with its tokens.
        max_text_tokens (`int`, *optional*, defaults to 40):
            Largest number of tokens of a text; the processor's `max_length` must not exceed it.
        num_patches (`int`, *optional*):
            States which the vision tower gives for a picture, its class token included. Defaults to those of a picture
            of the size in `vision_config`; a tower whose configuration names no size needs it.
    """

    text_views: str = "context"
    max_text_tokens: int = 40
    num_patches: int | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.num_patches is None and self.vision_config is not None:
            self.num_patches = self._patches_of_tower()

    def _patches_of_tower(self) -> int | None:
        """As many as the tower gives for a picture of its size, if its configuration names one."""
        sizes = tower_sizes(self.vision_config, "vision")
        return None if picture_shape(self.vision_config) is None else sizes.num_states

    def validate_architecture(self):
        """Called by `@strict` after the type checks."""
        super().validate_architecture()
        check_choices(self, {"text_views": ("context",)})
        check_positive(self, ("max_text_tokens", "num_patches"))
        if self.vision_config is not None and self.num_patches is None:
            raise ValueError(
                f"`num_patches` is missing: how many states the tower {self.vision_config.model_type!r} gives for a picture."
            )

    @property
    def keeps_padding(self) -> bool:
        """`True` if the states of padding are kept as the tower returns them, instead of zeros."""
        return False

    @property
    def text_state_size(self) -> int:
        """Size of the state of a token."""
        return tower_sizes(self.text_config, "text").state

    @property
    def vision_state_size(self) -> int | None:
        """Size of the state of a patch; `None` for a text-only model."""
        return None if self.vision_config is None else tower_sizes(self.vision_config, "vision").state
