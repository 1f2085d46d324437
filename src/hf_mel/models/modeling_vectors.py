"""Models for which each side is one vector, and the score of a pair their product."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers.utils import ModelOutput, can_return_tuple

from .modeling_base import MatchingModel
from .tower_features import TowerFeatures


@dataclass
class VectorOutput(ModelOutput):
    """
    Output of a [`VectorModel`].

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*, returned when `labels` is given):
            Cross entropy of the gold entity among the given ones.
        scores (`torch.FloatTensor` of shape `(num_mentions, num_entities)`):
            Score of each mention with each entity.
        mention_embeds (`torch.FloatTensor` of shape `(num_mentions, size)`):
            What is compared; L2-normalised where the score is a cosine.
        entity_embeds (`torch.FloatTensor` of shape `(num_entities, size)`):
            What is compared.
        mention_image_weight (`torch.FloatTensor` of shape `(num_mentions,)`, *optional*):
            How much of the embedding comes from the image, in [0, 1]; 0 without an image. Not of a model that reads text and
            image together.
        entity_image_weight (`torch.FloatTensor` of shape `(num_entities,)`, *optional*):
            The same for the entities.
    """

    loss: torch.FloatTensor | None = None
    scores: torch.FloatTensor | None = None
    mention_embeds: torch.FloatTensor | None = None
    entity_embeds: torch.FloatTensor | None = None
    mention_image_weight: torch.FloatTensor | None = None
    entity_image_weight: torch.FloatTensor | None = None


class VectorModel(MatchingModel):
    """
    Base of the models whose `encode` gives `embeds`, of shape `(batch_size, size)`, and whose score is their dot product: every
    search engine for vectors serves them exactly.

    Args:
        config ([`~transformers.PreTrainedConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.
    """

    vector_name = "embeds"

    def match(self, mentions: dict[str, torch.Tensor], entities: dict[str, torch.Tensor]) -> torch.Tensor:
        """Dot product of all pairs, of shape `(num_mentions, num_entities)`; of unit vectors the cosine."""
        return mentions["embeds"] @ entities["embeds"].mT

    def match_candidates(self, mentions: dict[str, torch.Tensor], entities: dict[str, torch.Tensor]) -> torch.Tensor:
        """The same of each mention with its candidates; `embeds` of the entities has shape `(M, K, size)`."""
        return torch.einsum("md,mkd->mk", mentions["embeds"], entities["embeds"])

    @can_return_tuple
    def forward(
        self,
        mention_input_ids: torch.LongTensor | None = None,
        mention_attention_mask: torch.LongTensor | None = None,
        mention_pixel_values: torch.FloatTensor | None = None,
        mention_has_image: torch.BoolTensor | None = None,
        entity_input_ids: torch.LongTensor | None = None,
        entity_attention_mask: torch.LongTensor | None = None,
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
        images = {"pixel_values": mention_pixel_values, "has_image": mention_has_image}
        mentions = self.extract(mention_input_ids, mention_attention_mask, **images)
        images = {"pixel_values": entity_pixel_values, "has_image": entity_has_image}
        entities = self.extract(entity_input_ids, entity_attention_mask, **images)
        return self._link(mentions, entities, labels)

    def _link(
        self, mention_features: TowerFeatures, entity_features: TowerFeatures, labels: torch.Tensor | None
    ) -> VectorOutput:
        """What `forward` makes of the tower features of both sides."""
        mentions, entities = self.encode("mention", mention_features), self.encode("entity", entity_features)
        scores, loss = self.match(mentions, entities), None
        if labels is not None:
            loss = F.cross_entropy(scores.float() / self.config.softmax_temperature, labels)
        sides = {"mention": mentions, "entity": entities}
        shown = {
            f"{side}_{name}": encoded.get(name)
            for side, encoded in sides.items()
            for name in ("embeds", "image_weight")
        }
        return VectorOutput(loss=loss, scores=scores, **shown)
