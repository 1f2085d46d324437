"""The generator of PGMEL: a policy over candidates, which learns to pick the negatives that teach most."""

import torch
from torch import nn
from transformers import PreTrainedModel

from .complete_loading import CompleteLoadingMixin
from .configuration_pgmel import PGMELGeneratorConfig
from .fusion import FusionHead, SideHeads, init_fusion_weights
from .numerics import unit_vectors
from .tower_features import TowerFeatures


class PGMELGenerator(CompleteLoadingMixin, PreTrainedModel):
    r"""
    Policy over the candidates of a mention: \\(p(e|m) = \mathrm{softmax}_{C(m)}(\cos(g_m, g_e) / \tau_g)\\).

    \\(g_m\\) comes from a head over the tower features of the model that it is trained with. With
    `config.generator_type="query"`, \\(g_e\\) is the vector of the entity in that model's last index, so that no entity is
    encoded for the policy; with `"both"` a second head makes it from the entity's tower features. The features are detached:
    no gradient of the generator's loss reaches that model, and linking does not need the generator.

    Args:
        config ([`PGMELGeneratorConfig`]): Configuration; [`PGMELGeneratorConfig.from_model_config`] makes a fitting one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import PGMELGenerator, PGMELGeneratorConfig, TowerFeatures

    >>> generator = PGMELGenerator(PGMELGeneratorConfig(text_feature_size=16, projection_size=8)).eval()
    >>> mentions = TowerFeatures(text_features=torch.randn(2, 2, 16))
    >>> generator(mentions, entities=torch.randn(2, 3, 8)).shape
    torch.Size([2, 3])
    ```
    """

    config: PGMELGeneratorConfig
    base_model_prefix = "pgmel_generator"
    main_input_name = "entities"
    accepts_loss_kwargs = False

    def __init__(self, config: PGMELGeneratorConfig):
        super().__init__(config)
        if config.generator_type == "query":
            self.head = FusionHead(config)
        else:
            self.heads = SideHeads(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        init_fusion_weights(module, self.config.initializer_range)

    @torch.no_grad()
    def copy_heads(self, heads: SideHeads) -> None:
        """Begin as the heads of a [`PGMELModel`] are now."""
        if self.config.generator_type == "query":
            self.head.load_state_dict(heads.of("mention").state_dict())
        else:
            self.heads.load_state_dict(heads.state_dict())

    def forward(
        self,
        mentions: TowerFeatures,
        entities: TowerFeatures | torch.FloatTensor,
        candidates: torch.LongTensor | None = None,
        candidate_mask: torch.BoolTensor | None = None,
    ) -> torch.FloatTensor:
        """
        Logits of the policy.

        Args:
            mentions ([`TowerFeatures`]):
                Features of `batch_size` mentions.
            entities (`torch.FloatTensor` of shape `(batch_size, num_candidates, projection_size)` or [`TowerFeatures`]):
                For a query-side generator the index vectors of the candidates. Otherwise the features of the
                `num_entities` entities that occur among the candidates, each once.
            candidates (`torch.LongTensor` of shape `(batch_size, num_candidates)`, *optional*):
                With [`TowerFeatures`]: rows of `entities`. Masked candidates may hold any number.
            candidate_mask (`torch.BoolTensor` of shape `(batch_size, num_candidates)`, *optional*):
                `False` on padding.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, num_candidates)`: cosine / `config.policy_temperature`, `-inf`
            where masked.
        """
        if self.config.generator_type == "query":
            given = (mentions.text_features, mentions.image_features, mentions.has_image)
            query = self.head(*(None if value is None else value.detach() for value in given))["embeds"]
            cosines = torch.einsum("md,mkd->mk", query, unit_vectors(entities.detach().to(query.dtype)))
        else:
            mention_embeds = self.heads("mention", mentions.detach())["embeds"]
            entity_embeds = self.heads("entity", entities.detach())["embeds"]
            if candidate_mask is not None:
                candidates = candidates.masked_fill(~candidate_mask, 0)
            # All pairs, then the wanted ones: cheaper than a copy of an embedding for each candidate of each mention.
            cosines = (mention_embeds @ entity_embeds.mT).gather(1, candidates)
        logits = cosines / self.config.policy_temperature
        return logits if candidate_mask is None else logits.masked_fill(~candidate_mask, -torch.inf)
