"""MELOV: matching with optimised features of the mention's picture."""

from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_melov import MELOVConfig
from .encodings import Encodings
from .latent import Contributions, PictureGenerator
from .matching_units import ReadFeatures
from .mention_graph import MentionGraph, Threshold
from .modeling_mimic import MIMICModel
from .tower_features import TowerFeatures


class PictureOptimiser(nn.Module):
    r"""
    Combines three versions of a mention's picture: the original features, those generated from the text
    ([`PictureGenerator`]) and those of similar mentions ([`MentionGraph`]), weighted by their [`Contributions`]. One set of
    weights is for the whole picture, another for its patches.

    A mention without a picture has no original features. It goes on without a picture, or, with `fill_missing_images`, with
    what the two other sources have for it: of its own picture's numbers there is no trace in either.

    Args:
        config ([`MELOVConfig`]): Which sources there are.
    """

    def __init__(self, config: MELOVConfig):
        super().__init__()
        self.fill_missing_images = config.fill_missing_images
        self.loss_weight = float(config.generation_weight)
        self.generator = PictureGenerator(config) if config.use_generation else None
        self.graph = MentionGraph(config) if config.use_aggregation else None
        given = {"original": True, "generated": config.use_generation, "aggregated": config.use_aggregation}
        sources = [name for name, is_given in given.items() if is_given]
        self.image_contributions, self.patch_contributions = (
            Contributions(config.matching_size, sources) for _ in range(2)
        )

    def forward(self, read: ReadFeatures) -> ReadFeatures:
        """`read` with other features of its pictures and, in training mode, the loss of the generator."""
        images, patches, given = {"original": read.image}, {"original": read.patches}, {"original": read.has_image}
        extra = dict(read.extra)
        if self.generator is not None:
            generated = self.generator(read)
            images["generated"], patches["generated"] = generated.image, generated.patches
            given["generated"] = torch.ones_like(read.has_image)
            if self.training and self.loss_weight:
                extra["generation_loss"] = self.loss_weight * generated.loss(read)
        if self.graph is not None:
            images["aggregated"], patches["aggregated"], given["aggregated"] = self.graph(read)
        has_image = read.has_image
        if self.fill_missing_images:
            has_image = torch.stack(list(given.values())).any(dim=0)
        return ReadFeatures(
            read.text,
            read.tokens,
            read.token_mask,
            self.image_contributions(images, given),
            self.patch_contributions(patches, given),
            has_image,
            extra,
        )


class MELOVModel(MIMICModel):
    """
    MELOV (Sui et al., "MELOV: Multimodal Entity Linking with Optimized Visual Features in Latent Space", Findings of ACL 2024),
    implemented from its formulas: the three units of [`MIMICModel`] read optimised features of the mention's picture
    ([`PictureOptimiser`]). Entities keep their own. Without a vision tower there is nothing to optimise, and MIMIC's
    text unit is left.

    The neighbours of a mention are those of its (micro-)batch in training mode and those of a bank in evaluation mode; call
    [`~MELOVModel.fill_bank`] after a training loop of your own. [`PGMELTrainer`] does it before it evaluates, refreshes its
    index and saves.

    Args:
        config ([`MELOVConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel import MELOVConfig, MELOVModel

    >>> text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> vision = {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, "hidden_size": 32}
    >>> vision |= {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    >>> config = MELOVConfig(text_config=text, vision_config=vision, matching_size=16, bank_size=8)
    >>> model = MELOVModel(config).eval()
    >>> mentions = {"input_ids": torch.tensor([[1, 2, 3], [1, 4, 3]]), "pixel_values": torch.rand(2, 3, 32, 32)}
    >>> model.fill_bank([model.extract(**mentions)])
    >>> int(model.optimiser.graph.bank_count)
    2
    >>> entities = model.encode("entity", model.extract(**mentions))
    >>> model.match(model.encode("mention", model.extract(**mentions)), entities).shape
    torch.Size([2, 2])
    ```
    """

    config: MELOVConfig
    config_class = MELOVConfig
    base_model_prefix = "melov"

    def __init__(
        self,
        config: MELOVConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, text_model=text_model, vision_model=vision_model)
        self.optimiser = None
        if config.vision_config is not None and (config.use_generation or config.use_aggregation):
            self.optimiser = PictureOptimiser(config)
        self.post_init()
        self.train(self.training)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        # Parameters and state that stand directly in a module: transformers knows only its layers.
        if isinstance(module, PictureGenerator):
            init.normal_(module.patch_queries, mean=0.0, std=self.config.initializer_range)
        elif isinstance(module, Threshold) and module.value is not None:
            init.constant_(module.value, module.first)
        elif isinstance(module, MentionGraph):
            for name, buffer in module.named_buffers(recurse=False):
                init.constant_(buffer, 1.0 if name in ("bank_degree", "bank_unit") else 0.0)

    @property
    def rows_interact(self) -> bool:
        """`True` if mentions aggregate the pictures of others."""
        return self.optimiser is not None and self.optimiser.graph is not None

    def read(self, side: str, features: TowerFeatures) -> ReadFeatures:
        read = super().read(side, features)
        return self.optimiser(read) if side == "mention" and self.optimiser is not None else read

    @property
    def has_extra_losses(self) -> bool:
        """`True` if pictures are generated, which has a loss of its own."""
        return self.optimiser is not None and self.config.use_generation

    def extra_losses(
        self, mentions: Encodings, entities: Encodings, same_entity: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """`generation`: what it costs to generate each mention's picture from its text, times `generation_weight`."""
        loss = mentions.get("generation_loss")
        return {} if loss is None else {"generation": loss}

    def fill_bank(self, features: Iterable[TowerFeatures]) -> None:
        """
        Store the mentions among which a mention has its neighbours in evaluation mode, in place of those stored before.
        They are kept as the model sees them now: fill it anew when its weights have changed.

        Args:
            features (`Iterable[TowerFeatures]`):
                Features of mentions of the training set, in any order and in batches; the first `bank_size` are taken, and
                no more are asked for. Those without a picture have nothing to give and are left out.
        """
        if self.optimiser is not None and self.optimiser.graph is not None:
            with torch.no_grad():
                self.optimiser.graph.fill(self.reader(each) for each in features)
