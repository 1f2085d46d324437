"""Outputs of the towers for the rows of one side."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


TOWER_PARTS = ("text_model", "vision_model", "text_projection", "visual_projection", "tower")
"""The parts of a [`MatchingModel`] on which its tower features depend; all others are heads."""

STATES = ("token_features", "token_mask", "patch_features")
"""The fields of [`TowerFeatures`] that hold the states of tokens and patches."""


@dataclass
class TowerFeatures(ModelOutput):
    """
    Outputs of the towers for mentions or for entities, and the content of a feature cache. Rows are independent.

    Args:
        text_features (`torch.FloatTensor` of shape `(batch_size, num_views, text_feature_size)`):
            One feature a text view, in the order context, surface.
        image_features (`torch.FloatTensor` of shape `(batch_size, vision_feature_size)`, *optional*):
            Zero where there is no image. `None`: the model has no vision tower.
        has_image (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
            Whether the row has an image.
        token_features (`torch.FloatTensor` of shape `(batch_size, max_text_tokens, text_state_size)`, *optional*):
            States of the tokens of the context view, zero on padding (but under `legacy_masking`). `None`: the model does
            not read them.
        token_mask (`torch.BoolTensor` of shape `(batch_size, max_text_tokens)`, *optional*):
            Which of them are tokens.
        patch_features (`torch.FloatTensor` of shape `(batch_size, num_patches, vision_state_size)`, *optional*):
            States of the patches, zero where there is no image. `None`: the model does not read them.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import TowerFeatures

    >>> features = TowerFeatures(text_features=torch.zeros(5, 2, 16))
    >>> features.select(torch.tensor([4, 0])).text_features.shape
    torch.Size([2, 2, 16])
    ```
    """

    text_features: torch.FloatTensor
    image_features: torch.FloatTensor | None = None
    has_image: torch.BoolTensor | None = None
    token_features: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    patch_features: torch.FloatTensor | None = None

    def select(self, rows) -> "TowerFeatures":
        """The given rows (an index tensor, a boolean mask or a slice)."""
        return TowerFeatures(**{name: value[rows] for name, value in self.items()})

    def pooled(self) -> "TowerFeatures":
        """Without the states of tokens and patches."""
        return TowerFeatures(**{name: value for name, value in self.items() if name not in STATES})

    def detach(self) -> "TowerFeatures":
        """The same values without their history."""
        return TowerFeatures(**{name: value.detach() for name, value in self.items()})

    def to(self, *args, **kwargs) -> "TowerFeatures":
        """Move or cast; a dtype reaches the features and leaves the masks alone."""
        moved = {name: value.to(*args, **kwargs) for name, value in self.items()}
        return TowerFeatures(
            **{name: value.bool() if self[name].dtype == torch.bool else value for name, value in moved.items()}
        )
