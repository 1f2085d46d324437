"""What the configurations of all models that read states of tokens and patches share."""

from huggingface_hub.dataclasses import strict

from .configuration_base import MatchingConfig, check_choices, check_positive


_WITHOUT_CLASS_TOKEN = ("siglip_vision_model",)
_NAFLEX = "siglip2_vision_model"  # names the number itself


@strict
class StatesConfig(MatchingConfig):
    r"""
    What the configurations of models that read the states of tokens and patches have beside [`MatchingConfig`].

    Args:
        text_views (`str`, *optional*, defaults to `"context"`):
            The one view that is read, with its tokens.
        max_text_tokens (`int`, *optional*, defaults to 40):
            Largest number of tokens of a text; the processor's `max_length` must not exceed it.
        num_patches (`int`, *optional*):
            States which the vision tower gives for a picture, its class token included. Defaults to what
            `vision_config` says of a transformer; a convolutional tower needs it.
    """

    text_views: str = "context"
    max_text_tokens: int = 40
    num_patches: int | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.num_patches is None and self.vision_config is not None:
            self.num_patches = self._patches_of_tower()

    def _patches_of_tower(self) -> int | None:
        if self.vision_config.model_type == _NAFLEX:
            return self.vision_config.num_patches
        side, patch = (getattr(self.vision_config, name, None) for name in ("image_size", "patch_size"))
        if not isinstance(side, int) or not isinstance(patch, int):
            return None
        return (side // patch) ** 2 + (self.vision_config.model_type not in _WITHOUT_CLASS_TOKEN)

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
        """Whether the states of padding are kept as the tower gives them, instead of zeros."""
        return False

    @property
    def text_state_size(self) -> int:
        """Size of the state of a token."""
        return self.text_config.hidden_size

    @property
    def vision_state_size(self) -> int | None:
        """Size of the state of a patch; `None` for a text-only model."""
        if self.vision_config is None:
            return None
        sizes = getattr(self.vision_config, "hidden_sizes", None)
        return sizes[-1] if sizes else self.vision_config.hidden_size
