"""PGMEL: gated multimodal embeddings of mentions and entities, compared by cosine."""

import torch
from transformers import PreTrainedModel

from .configuration_pgmel import PGMELConfig
from .fusion import SideHeads

# Not used here: a checkpoint's code lies beside the model, also that of the generator in its sub-folder.
from .generator_pgmel import PGMELGenerator  # noqa: F401
from .modeling_vectors import VectorModel
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
