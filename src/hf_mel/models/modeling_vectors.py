"""Models for which each side is one vector, and the score of a pair their product."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers.utils import ModelOutput

from .encodings import Encodings
from .modeling_base import MatchingModel


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

    def _output(
        self, mentions: Encodings, entities: Encodings, labels: torch.Tensor | None, pair_features: torch.Tensor | None
    ) -> VectorOutput:
        scores, loss = self.score(mentions, entities, pair_features), None
        if labels is not None:
            loss = F.cross_entropy(scores.float() / self.config.softmax_temperature, labels)
        sides = {"mention": mentions, "entity": entities}
        shown = {
            f"{side}_{name}": encoded.get(name)
            for side, encoded in sides.items()
            for name in ("embeds", "image_weight")
        }
        return VectorOutput(loss=loss, scores=scores, **shown)
