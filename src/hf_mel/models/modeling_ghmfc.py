"""GHMFC: hierarchical co-attention, gated fusion, and contrast between text and picture."""

import torch
from torch import nn
from transformers import PreTrainedModel

from .coattention import HierarchicalFusion, paired_contrast
from .configuration_ghmfc import GHMFCConfig
from .encodings import Encodings
from .modeling_vectors import VectorModel
from .tower_features import TowerFeatures


class GHMFCModel(VectorModel):
    """
    GHMFC (Wang et al., "Multimodal Entity Linking with Gated Hierarchical Fusion and Contrastive Training", SIGIR 2022), an
    independent implementation from the paper's public description: text and picture attend under each other's guidance, on the
    levels of tokens and of phrases, and a gate fuses them; the score is the cosine. What the description leaves open is our
    choice.

    It is trained with a triplet loss; its two contrastive losses are in [`~GHMFCModel.extra_losses`], which [`PGMELTrainer`]
    adds. The loss of `forward` is without them.

    Args:
        config ([`GHMFCConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import GHMFCConfig, GHMFCModel

    >>> text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = GHMFCModel(GHMFCConfig(text_config=text, projection_size=16, coattention_size=16)).eval()
    >>> outputs = model(mention_input_ids=torch.tensor([[1, 2, 3]]), entity_input_ids=torch.tensor([[1, 2], [4, 5]]))
    >>> outputs.scores.shape, outputs.mention_embeds.shape
    (torch.Size([1, 2]), torch.Size([1, 16]))
    ```
    """

    config: GHMFCConfig
    config_class = GHMFCConfig
    base_model_prefix = "ghmfc"
    reads_states = True

    def __init__(
        self,
        config: GHMFCConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, text_model=text_model, vision_model=vision_model)
        names = ("shared",) if config.share_heads else ("mention", "entity")
        self.heads = nn.ModuleDict({name: HierarchicalFusion(config) for name in names})
        self.post_init()
        self.train(self.training)

    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """
        Embeddings from tower features; of mentions in training mode also what the contrastive losses need: `contrast_text`,
        `contrast_image` and `contrast_has_image`.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            features ([`TowerFeatures`]): Features of `batch_size` rows, with states.

        Returns:
            `dict[str, torch.Tensor]`: `embeds`, L2-normalised, of shape `(batch_size, projection_size)`; `image_weight` of
            shape `(batch_size,)`.
        """
        if side not in ("mention", "entity"):
            raise ValueError(f'`side` must be "mention" or "entity", got {side!r}.')
        head = self.heads["shared" if self.config.share_heads else side]
        found = head(features, use_images=side == "mention" or self.config.use_entity_images)
        encoded = {name: found[name] for name in ("embeds", "image_weight")}
        if self.training and side == "mention" and self.config.contrasts:
            encoded |= {f"contrast_{name}": found[name] for name in ("text", "image", "has_image")}
        return encoded

    @property
    def has_extra_losses(self) -> bool:
        """`True` if there is a contrastive loss."""
        return bool(self.config.contrasts)

    def extra_losses(
        self, mentions: Encodings, entities: Encodings, same_entity: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """
        The two contrastive losses between the text and the picture of a mention, `text_to_image` and `image_to_text`,
        weighted. Mentions of the same entity are no negatives of each other; a mention without a picture is neither an anchor
        nor a negative, and its losses are 0.

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
        if not self.config.contrasts:
            return {}
        if "contrast_text" not in mentions:
            raise ValueError("the encodings lack `contrast_text`: call `train()` before `encode`.")
        text, image, has_image = (mentions[f"contrast_{name}"] for name in ("text", "image", "has_image"))
        excluded = same_entity | ~(has_image[:, None] & has_image)  # a row without any negative has the loss 0
        pairs = {"text_to_image": (text, image), "image_to_text": (image, text)}
        weight, temperature = self.config.contrastive_weight, self.config.contrastive_temperature
        return {name: weight * paired_contrast(*pairs[name], excluded, temperature) for name in self.config.contrasts}
