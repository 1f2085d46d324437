"""Models whose score is the mean of matching units."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_units import UnitsConfig
from .encodings import Encodings
from .matching_units import FeatureReader, FirstZero, MatchingUnit, ReadFeatures
from .modeling_base import MatchingModel
from .tower_features import TowerFeatures


@dataclass
class UnitsOutput(ModelOutput):
    """
    Output of a [`UnitsModel`].

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*, returned when `labels` is given):
            Sum of the cross entropies of the gold entity among the given ones, by the scores and by those of each unit.
        scores (`torch.FloatTensor` of shape `(num_mentions, num_entities)`):
            Mean of the units' scores.
        unit_scores (`dict[str, torch.FloatTensor]`):
            Scores of each unit, by its name.
    """

    loss: torch.FloatTensor | None = None
    scores: torch.FloatTensor | None = None
    unit_scores: dict[str, torch.FloatTensor] | None = None


class UnitsModel(MatchingModel):
    """
    Base of the models that are made of matching units.

    Args:
        config ([`UnitsConfig`]): Configuration.
        text_model ([`~transformers.PreTrainedModel`], *optional*): Text tower to use instead of a random one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*): Vision tower to use instead of a random one.
    """

    config: UnitsConfig
    reads_states = True
    proposal_name = "dense"

    def __init__(
        self,
        config: UnitsConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, text_model=text_model, vision_model=vision_model)
        self.reader = FeatureReader(config)
        self.units = nn.ModuleDict(self.build_units(config))
        self.post_init()
        self.train(self.training)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, FirstZero):
            init.zeros_(module.weight)
            init.zeros_(module.bias)

    @staticmethod
    @abstractmethod
    def build_units(config: UnitsConfig) -> dict[str, MatchingUnit]:
        """The units which the configuration asks for, by name."""

    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """
        Encodes one side for the units. In evaluation mode the result also has `dense`, the vectors of approximate search.

        The product of a mention's and an entity's `dense` is near their score: each unit has its part in it
        ([`~MatchingUnit.dense`]). Units that compare one vector with another are there exactly, so are global features with
        each other. Attention between tokens is replaced by even attention, and the gate between two pictures is at 0: by
        how much that differs depends on the weights, and is 0 where attention is even and the gates are closed. The score
        of a pair is always that of [`~UnitsModel.match`]; `dense` only says for which pairs to ask.

        Args:
            side (`str`): `"mention"` or `"entity"`.
            features ([`TowerFeatures`]): Features of `batch_size` rows, with states.

        Returns:
            `dict[str, dict[str, torch.Tensor]]`: tensors of each unit, by its name, and `dense` of shape `(batch_size,
            dense_size)`.
        """
        if side not in ("mention", "entity"):
            raise ValueError(f'`side` must be "mention" or "entity", got {side!r}.')
        read = self.read(side, features)
        encoded = {name: unit.encode(side, read) for name, unit in self.units.items()}
        if not self.training:
            vectors = torch.cat([unit.dense(side, encoded[name]) for name, unit in self.units.items()], dim=-1)
            encoded["dense"] = vectors / len(self.units) if side == "mention" else vectors
        return encoded | read.extra

    def read(self, side: str, features: TowerFeatures) -> ReadFeatures:
        """Returns the inputs of the units for one side."""
        return self.reader(features)

    def match(self, mentions: Encodings, entities: Encodings) -> torch.Tensor:
        """Mean of the units' scores, of shape `(num_mentions, num_entities)`."""
        return self.match_with_units(mentions, entities)[0]

    def match_with_units(
        self, mentions: Encodings, entities: Encodings
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean of the units' scores, and the scores of each, of shape `(num_mentions, num_entities)`, by its name."""
        units = {name: unit.match(mentions[name], entities[name]) for name, unit in self.units.items()}
        return torch.stack(list(units.values())).mean(dim=0), units

    def _output(
        self, mentions: Encodings, entities: Encodings, labels: torch.Tensor | None, pair_features: torch.Tensor | None
    ) -> UnitsOutput:
        scores, unit_scores = self.match_with_units(mentions, entities)
        scores = self.with_features(scores, pair_features)
        loss = None
        if labels is not None:
            temperature = self.config.softmax_temperature
            loss = sum(F.cross_entropy(each.float() / temperature, labels) for each in (scores, *unit_scores.values()))
        return UnitsOutput(loss=loss, scores=scores, unit_scores=unit_scores)
