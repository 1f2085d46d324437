"""PGMEL: gated multimodal embeddings of mentions and entities, compared by cosine."""

import torch
from transformers import PreTrainedModel
from transformers.utils import can_return_tuple

from .configuration_pgmel import PGMELConfig
from .fusion import SideHeads

# Not used here: a checkpoint's code lies beside the model, also that of the generator in its sub-folder.
from .generator_pgmel import PGMELGenerator  # noqa: F401
from .modeling_vectors import VectorModel, VectorOutput
from .tower_features import TowerFeatures


class PGMELModel(VectorModel):
    """
    The PGMEL linker, an independent implementation from the paper's public description
    ([arXiv 2510.02726](https://huggingface.co/papers/2510.02726)): text and image features of a mention, and of an
    entity, are fused by a Gated Multimodal Unit; the score is the cosine. In training it is the discriminator.

    Args:
        config ([`PGMELConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import PGMELConfig, PGMELModel

    >>> text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = PGMELModel(PGMELConfig(text_config=text, text_views="context", projection_size=16)).eval()
    >>> outputs = model(mention_input_ids=torch.tensor([[1, 2, 3]]), entity_input_ids=torch.tensor([[1, 2], [4, 5]]))
    >>> outputs.scores.shape
    torch.Size([1, 2])
    ```
    """

    config: PGMELConfig
    base_model_prefix = "pgmel"

    def __init__(
        self,
        config: PGMELConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, text_model=text_model, vision_model=vision_model)
        self.heads = SideHeads(config)
        self.post_init()
        self.train(self.training)

    def encode(self, side: str, features: TowerFeatures) -> dict[str, torch.Tensor]:
        """
        Embeddings from tower features.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            features ([`TowerFeatures`]): Features of `batch_size` rows.

        Returns:
            `dict`: `embeds`, L2-normalised, of shape `(batch_size, projection_size)`; `image_weight` of shape
            `(batch_size,)`.
        """
        return self.heads(side, features)

    def get_mention_features(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        surface_input_ids: torch.LongTensor | None = None,
        surface_attention_mask: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        has_image: torch.BoolTensor | None = None,
    ) -> torch.FloatTensor:
        """
        L2-normalised embeddings of mentions, of shape `(batch_size, projection_size)`. The arguments are those of
        [`~MatchingModel.extract`] and what [`MELProcessor.mentions`] returns.
        """
        features = self.extract(
            input_ids, attention_mask, surface_input_ids, surface_attention_mask, pixel_values, has_image
        )
        return self.encode("mention", features)["embeds"]

    def get_entity_features(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        surface_input_ids: torch.LongTensor | None = None,
        surface_attention_mask: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        has_image: torch.BoolTensor | None = None,
    ) -> torch.FloatTensor:
        """
        L2-normalised embeddings of entities, of shape `(batch_size, projection_size)`. The arguments are those of
        [`~MatchingModel.extract`] and what [`MELProcessor.entities`] returns.
        """
        features = self.extract(
            input_ids, attention_mask, surface_input_ids, surface_attention_mask, pixel_values, has_image
        )
        return self.encode("entity", features)["embeds"]

    @can_return_tuple
    def forward(
        self,
        mention_input_ids: torch.LongTensor | None = None,
        mention_attention_mask: torch.LongTensor | None = None,
        mention_surface_input_ids: torch.LongTensor | None = None,
        mention_surface_attention_mask: torch.LongTensor | None = None,
        mention_pixel_values: torch.FloatTensor | None = None,
        mention_has_image: torch.BoolTensor | None = None,
        entity_input_ids: torch.LongTensor | None = None,
        entity_attention_mask: torch.LongTensor | None = None,
        entity_surface_input_ids: torch.LongTensor | None = None,
        entity_surface_attention_mask: torch.LongTensor | None = None,
        entity_pixel_values: torch.FloatTensor | None = None,
        entity_has_image: torch.BoolTensor | None = None,
        labels: torch.LongTensor | None = None,
    ) -> VectorOutput:
        """
        Score all given mentions against all given entities. The arguments of each side are those of
        [`~MatchingModel.extract`], with `num_mentions` and `num_entities` rows.

        Args:
            labels (`torch.LongTensor` of shape `(num_mentions,)`, *optional*):
                Row of the gold entity among the given entities; -100 leaves a mention out of the loss.
            return_dict (`bool`, *optional*):
                `False`: a tuple instead of a [`VectorOutput`].
        """
        mention_context = mention_input_ids, mention_attention_mask
        mention_surface = mention_surface_input_ids, mention_surface_attention_mask
        mentions = self.extract(*mention_context, *mention_surface, mention_pixel_values, mention_has_image)
        entity_context = entity_input_ids, entity_attention_mask
        entity_surface = entity_surface_input_ids, entity_surface_attention_mask
        entities = self.extract(*entity_context, *entity_surface, entity_pixel_values, entity_has_image)
        return self._link(mentions, entities, labels)
