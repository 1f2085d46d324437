"""Models for which each side is one vector, and the score of a pair their product."""

import torch

from .modeling_base import MatchingModel


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
