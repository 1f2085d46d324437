"""PGMEL: the model that links, and the generator that picks its negatives."""

import torch
from torch import nn
from transformers import PreTrainedModel

from .complete_loading import CompleteLoadingMixin
from .configuration_pgmel import PGMELConfig, PGMELGeneratorConfig
from .encodings import Encodings
from .fusion import FusionHead, SideHeads, init_fusion_weights
from .modeling_vectors import VectorModel
from .numerics import unit_vectors
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

    # ---- Heads without training ----

    def use_cosine_heads(self, shared_space: bool = False) -> None:
        """
        Replace the heads by those of [`~models.cosine_fusion.CosineFusion`], by which the score of a pair is a weighted mean
        of the towers' own cosines: the model links without training, and training can begin there.

        Args:
            shared_space (`bool`, *optional*, defaults to `False`):
                Whether text and image features lie in one space, as those of CLIP do: a text is then compared with the image
                of the other side, too.

        Raises:
            `ValueError`: `shared_space` for features of unequal sizes, or for a model without a vision tower.
        """
        config = self.config
        text, image = config.text_feature_size, config.vision_feature_size
        if shared_space and text != image:
            raise ValueError(
                f"`shared_space` needs features of one size, but text has {text} and image {image or 'none'}."
            )
        views = 2 if config.text_views == "both" else 1
        config.view_fusion, config.fusion, config.share_heads = "stack", "cosine", True
        config.projection_size = views * text + (0 if shared_space or image is None else image)
        self.heads = self._new_heads()

    @property
    def is_untrained(self) -> bool:
        """True if the heads are as [`~PGMELModel.use_cosine_heads`] made them, and the weights of names are the initial ones."""
        if self.config.fusion != "cosine" or not (self.pair_weights is None or self.pair_weights.is_prior):
            return False
        own, first = self.heads.state_dict(), self._new_heads().state_dict()
        return own.keys() == first.keys() and all(torch.equal(own[name], first[name]) for name in own)

    def _new_heads(self) -> SideHeads:
        parameter = next(self.heads.parameters())
        return (
            SideHeads(self.config).apply(self._init_weights).to(parameter.device, parameter.dtype).train(self.training)
        )

    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """
        Embeddings from tower features.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            features ([`TowerFeatures`]): Features of `batch_size` rows.

        Returns:
            `dict`: `embeds` of shape `(batch_size, projection_size)`, L2-normalised unless `config.fusion` is `"cosine"`;
            `image_weight` of shape `(batch_size,)`.
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
        Embeddings of mentions, of shape `(batch_size, projection_size)`. The arguments are those of
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
        Embeddings of entities, of shape `(batch_size, projection_size)`. The arguments are those of
        [`~MatchingModel.extract`] and what [`MELProcessor.entities`] returns.
        """
        features = self.extract(
            input_ids, attention_mask, surface_input_ids, surface_attention_mask, pixel_values, has_image
        )
        return self.encode("entity", features)["embeds"]


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
