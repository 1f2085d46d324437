"""M3EL: matching within and across modalities, and contrastive learning within each."""

import torch

from .configuration_m3el import M3ELConfig
from .encodings import Encodings
from .m3el_units import TextualToVisualUnit, VisualToTextualUnit, intra_modal_contrast
from .matching_units import GlobalLocalUnit, MatchingUnit
from .modeling_units import UnitsModel
from .tower_features import TowerFeatures


class M3ELModel(UnitsModel):
    r"""
    M3EL (Hu et al., "Multi-level Matching Network for Multimodal Entity Linking", KDD 2025,
    [arXiv 2412.10440](https://huggingface.co/papers/2412.10440)), implemented from its formulas: the score of a pair is the mean
    of a text unit, an image unit and one or two cross-modal units. Where a side has no picture, the units that compare
    pictures score 0; without a vision tower there is the text unit alone.

    Its contrastive loss is in [`~M3ELModel.extra_losses`], which [`PGMELTrainer`] adds to the loss of the scores; the loss of
    `forward` is without it.

    Args:
        config ([`M3ELConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import M3ELConfig, M3ELModel

    >>> small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> text = {"model_type": "bert", **small}
    >>> vision = {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **small}
    >>> config = M3ELConfig(text_config=text, vision_config=vision, matching_size=16, cross_matching="both")
    >>> model = M3ELModel(config).eval()
    >>> outputs = model(mention_input_ids=torch.tensor([[1, 2, 3]]), entity_input_ids=torch.tensor([[1, 2], [4, 5]]))
    >>> outputs.scores.shape, list(outputs.unit_scores)
    (torch.Size([1, 2]), ['text', 'image', 'textual_to_visual', 'visual_to_textual'])
    ```
    """

    config: M3ELConfig
    config_class = M3ELConfig
    base_model_prefix = "m3el"

    @staticmethod
    def build_units(config: M3ELConfig) -> dict[str, MatchingUnit]:
        units = {}
        size, has_vision = config.matching_size, config.vision_config is not None
        if config.use_text_unit:
            units["text"] = GlobalLocalUnit(config.text_feature_size, config.text_state_size, size)
        if has_vision and config.use_image_unit:
            units["image"] = GlobalLocalUnit(size, size, size, kind="image")
        if has_vision and config.cross_matching in ("textual_to_visual", "both"):
            units["textual_to_visual"] = TextualToVisualUnit(config)
        if has_vision and config.cross_matching in ("visual_to_textual", "both"):
            units["visual_to_textual"] = VisualToTextualUnit(config)
        return units

    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """
        Encodes one side for the units. In training mode the result also has the inputs of the contrastive loss: the global
        features before their layer norms, `contrast_text` and `contrast_image`, and `contrast_has_image`.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            features ([`TowerFeatures`]): Features of `batch_size` rows, with states.

        Returns:
            `dict[str, dict[str, torch.Tensor]]`: tensors of each unit, by its name.
        """
        encoded = super().encode(side, features)
        if not self.training:
            return encoded
        dtype = self.reader.text_norm.weight.dtype
        if "text" in self.config.contrastive_modalities:
            encoded["contrast_text"] = features.text_features[:, 0].to(dtype)
        if "image" in self.config.contrastive_modalities:
            encoded["contrast_image"] = self.reader.image_map(features.image_features.to(dtype))
            # Also under `legacy_masking`: the direction of a picture of zeros means nothing, and its gradient is huge.
            encoded["contrast_has_image"] = features.has_image
        return encoded

    @property
    def has_extra_losses(self) -> bool:
        """`True` if there is a contrastive loss."""
        return bool(self.config.contrastive_modalities)

    def extra_losses(
        self, mentions: Encodings, entities: Encodings, same_entity: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """
        The intra-modal contrastive loss: `contrastive_text` and `contrastive_image`, whose sum is the mean of both, weighted.
        Rows of the same entity are no negatives of each other (under `legacy_masking` they are), and a mention without a
        picture, or whose gold entity has none, is neither an anchor nor a negative among pictures; its loss is 0.

        Args:
            mentions, entities (`Encodings`):
                Encodings, made in training mode, of the mentions of a batch and of their gold entities.
            same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
                Where row and column have the same gold entity.

        Returns:
            `dict[str, torch.Tensor]`: each of shape `(num_mentions,)`.

        Raises:
            `ValueError`: the encodings were made in evaluation mode.
        """
        config = self.config
        modalities = config.contrastive_modalities
        excluded = torch.zeros_like(same_entity) if config.legacy_masking else same_entity
        losses = {}
        for modality in modalities:
            name, skipped = f"contrast_{modality}", excluded
            if name not in mentions or name not in entities:
                raise ValueError(f"the encodings lack `{name}`: call `train()` before `encode`.")
            if modality == "image":
                # A row without any negative has the loss 0.
                both = mentions["contrast_has_image"] & entities["contrast_has_image"]
                skipped = excluded | ~(both[:, None] & both)
            loss = intra_modal_contrast(
                mentions[name],
                entities[name],
                skipped,
                config.contrastive_temperature,
                config.contrastive_inter_weight,
                config.contrastive_intra_weight,
            )
            losses[f"contrastive_{modality}"] = loss * (config.contrastive_weight / len(modalities))
        return losses
