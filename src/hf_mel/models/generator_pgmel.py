"""The generator of PGMEL: a policy over candidates, which learns to pick the negatives that teach most."""

import torch
from torch import nn
from transformers import PreTrainedModel

from .complete_loading import CompleteLoadingMixin
from .configuration_pgmel import PGMELGeneratorConfig
from .fusion import SideHeads, init_fusion_weights
from .tower_features import TowerFeatures


class PGMELGenerator(CompleteLoadingMixin, PreTrainedModel):
    r"""
    Policy over the candidates of a mention: \\(p(e|m) = \mathrm{softmax}_{C(m)}(\cos(g_m, g_e) / \tau_g)\\), with heads
    \\(g\\) of its own over the tower features of the model it is trained with. It detaches the features, so that no
    gradient of its loss can reach that model, and it is not needed for linking.

    Args:
        config ([`PGMELGeneratorConfig`]): Configuration; [`PGMELGeneratorConfig.from_model_config`] makes a fitting one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import PGMELGenerator, PGMELGeneratorConfig, TowerFeatures

    >>> generator = PGMELGenerator(PGMELGeneratorConfig(text_feature_size=16, projection_size=8)).eval()
    >>> mentions, entities = (TowerFeatures(text_features=torch.randn(n, 2, 16)) for n in (2, 5))
    >>> generator(mentions, entities, candidates=torch.tensor([[0, 1, 2], [4, 3, 0]])).shape
    torch.Size([2, 3])
    ```
    """

    config: PGMELGeneratorConfig
    base_model_prefix = "pgmel_generator"
    main_input_name = "candidates"
    accepts_loss_kwargs = False

    def __init__(self, config: PGMELGeneratorConfig):
        super().__init__(config)
        self.heads = SideHeads(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        init_fusion_weights(module, self.config.initializer_range)

    def forward(
        self,
        mentions: TowerFeatures,
        entities: TowerFeatures,
        candidates: torch.LongTensor,
        candidate_mask: torch.BoolTensor | None = None,
    ) -> torch.FloatTensor:
        """
        Logits of the policy.

        Args:
            mentions ([`TowerFeatures`]):
                Features of `batch_size` mentions.
            entities ([`TowerFeatures`]):
                Features of the `num_entities` entities that occur among the candidates, each once.
            candidates (`torch.LongTensor` of shape `(batch_size, num_candidates)`):
                Rows of `entities`. What is masked may hold any number.
            candidate_mask (`torch.BoolTensor` of shape `(batch_size, num_candidates)`, *optional*):
                `False` on padding.

        Returns:
            `torch.FloatTensor` of shape `(batch_size, num_candidates)`: cosine / `config.policy_temperature`, `-inf`
            where masked.
        """
        mention_embeds = self.heads("mention", mentions.detach())["embeds"]
        entity_embeds = self.heads("entity", entities.detach())["embeds"]
        if candidate_mask is not None:
            candidates = candidates.masked_fill(~candidate_mask, 0)
        # All pairs, then the wanted ones: cheaper than a copy of an embedding for each candidate of each mention.
        logits = (mention_embeds @ entity_embeds.mT).gather(1, candidates) / self.config.policy_temperature
        return logits if candidate_mask is None else logits.masked_fill(~candidate_mask, -torch.inf)
