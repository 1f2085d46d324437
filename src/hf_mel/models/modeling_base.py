"""Base class of all linking models: the encoding of each side, the score of a pair, and the loss of scores."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput, can_return_tuple

from .encodings import Encodings, map_tensors, num_rows
from .modeling_towers import TowersModel
from .pair_features import PairWeights
from .tower_features import TowerFeatures


class MatchingModel(TowersModel, ABC):
    """
    Base of all models that score mentions against entities. It owns the towers; a subclass encodes the features of one
    side ([`~MatchingModel.encode`]) and compares two sides ([`~MatchingModel.match`]). Encodings are dictionaries of
    tensors, or of such dictionaries, whose leading dimension is the row, so that an index can store and slice them.

    Training, evaluation and linking score a mention with an entity by [`~MatchingModel.score`] and
    [`~MatchingModel.score_candidates`]: what the encodings say plus, with `config.name_features`, weighted features of the
    pair ([`PAIR_FEATURES`]).

    Args:
        config ([`~transformers.PreTrainedConfig`]):
            Has the fields of [`PGMELConfig`] that concern towers and text views.
        text_model ([`~transformers.PreTrainedModel`], *optional*):
            A text tower to use instead of a randomly initialised one.
        vision_model ([`~transformers.PreTrainedModel`], *optional*):
            The same for the vision tower.
    """

    input_modalities = ("text", "image")
    main_input_name = "mention_input_ids"
    vector_name: str | None = None
    """The tensor of `encode` whose dot product is `match`, if there is one."""
    has_extra_losses = False
    """`True` if [`~MatchingModel.extra_losses`] returns any. They are then added whatever the weights of the others are."""
    rows_interact = False
    """`True` if the encoding of a mention depends on the other mentions of the batch in training mode."""
    # `forward` takes no `num_items_in_batch`: the Trainer has to divide the loss by the accumulation steps itself.
    accepts_loss_kwargs = False

    def __init__(
        self,
        config: PreTrainedConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        super().__init__(config, text_model=text_model, vision_model=vision_model)
        self.pair_weights = PairWeights(config) if config.name_features else None

    @property
    def proposal_name(self) -> str | None:
        """
        The tensor of `encode` (in evaluation mode) whose dot product is `match` or near it, if there is one: by it
        searches propose entities, whose scores `match` then says. [`~MatchingModel.vector_name`] unless a model has another.
        """
        return self.vector_name

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
        pair_features: torch.FloatTensor | None = None,
    ) -> ModelOutput:
        """
        Score all given mentions against all given entities. The arguments of each side are those of
        [`~MatchingModel.extract`], with `num_mentions` and `num_entities` rows.

        Args:
            labels (`torch.LongTensor` of shape `(num_mentions,)`, *optional*):
                Row of the gold entity among the given entities; -100 leaves a mention out of the loss.
            pair_features (`torch.FloatTensor` of shape `(num_mentions, num_entities, num_features)`, *optional*):
                Features of the pairs, for a model with `config.name_features`: see [`~MatchingModel.score`].
            return_dict (`bool`, *optional*):
                `False`: a tuple instead of a [`VectorOutput`] or [`UnitsOutput`].

        Raises:
            `ValueError`: An argument of the surface view is given to a model that does not read that view.
        """
        names = (
            "input_ids",
            "attention_mask",
            "surface_input_ids",
            "surface_attention_mask",
            "pixel_values",
            "has_image",
        )
        mention = (
            mention_input_ids, mention_attention_mask, mention_surface_input_ids, mention_surface_attention_mask,
            mention_pixel_values, mention_has_image,
        )  # fmt: skip
        entity = (
            entity_input_ids, entity_attention_mask, entity_surface_input_ids, entity_surface_attention_mask,
            entity_pixel_values, entity_has_image,
        )  # fmt: skip
        features = {}
        for side, values in (("mention", mention), ("entity", entity)):
            given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            self._check_views(side, given)
            features[side] = self.extract(**given)
        encoded = {side: self.encode(side, each) for side, each in features.items()}
        return self._output(encoded["mention"], encoded["entity"], labels, pair_features)

    def _check_views(self, side: str, given: dict[str, torch.Tensor]) -> None:
        surface = [f"`{side}_{name}`" for name in given if name.startswith("surface_")]
        if surface and self.config.text_views == "context":
            raise ValueError(
                f"{' and '.join(surface)} must be left out: {type(self).__name__} reads no surface view, because its "
                f'`config.text_views` is "context". A processor with `text_views="context"` makes none.'
            )

    @abstractmethod
    def _output(
        self, mentions: Encodings, entities: Encodings, labels: torch.Tensor | None, pair_features: torch.Tensor | None
    ) -> ModelOutput:
        """The output of `forward` from the encodings of both sides."""

    # ---- Encoding and matching ----

    def tower_features(self, inputs: dict[str, torch.Tensor]) -> TowerFeatures:
        """Features of [`~MatchingModel.extract`]: computed from inputs, or the inputs themselves where they are kept features."""
        return TowerFeatures(**inputs) if "text_features" in inputs else self.extract(**inputs)

    @abstractmethod
    def encode(self, side: str, features: TowerFeatures) -> Encodings:
        """Run the heads of one side, `"mention"` or `"entity"`: tensors whose leading dimension is the row, by any names but `alone`."""

    def match(self, mentions: Encodings, entities: Encodings) -> torch.Tensor:
        """
        Scores of all pairs by the encodings alone, of shape `(num_mentions, num_entities)`: the dot product of
        [`~MatchingModel.vector_name`], of unit vectors the cosine. A model without such vectors has a `match` of its own.
        """
        return mentions[self.vector_name] @ entities[self.vector_name].mT

    def score(
        self, mentions: Encodings, entities: Encodings, pair_features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Scores of all pairs: [`~MatchingModel.match`] plus what the features of the pairs add.

        Args:
            mentions, entities (`Encodings`):
                Encodings of `num_mentions` mentions and `num_entities` entities.
            pair_features (`torch.FloatTensor` of shape `(num_mentions, num_entities, num_features)`, *optional*):
                Features of each pair, from [`NameIndex`]. Without them the score is what the encodings say.

        Returns:
            `torch.Tensor` of shape `(num_mentions, num_entities)`.
        """
        return self.with_features(self.match(mentions, entities), pair_features)

    def score_candidates(
        self, mentions: Encodings, entities: Encodings, pair_features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        The same of each mention with candidates of its own: [`~MatchingModel.match_candidates`] plus what the features of
        the pairs, of shape `(num_mentions, num_candidates, num_features)`, add.
        """
        return self.with_features(self.match_candidates(mentions, entities), pair_features)

    def weigh(self, pair_features: torch.Tensor) -> torch.Tensor:
        """
        Scores, of shape `(*)` and at least 0, that the features of pairs, of shape `(*, num_features)`, add.

        Raises:
            `ValueError`: the model has no weights for them, because `config.name_features` is `False`.
        """
        if self.pair_weights is None:
            raise ValueError(
                "`pair_features` must be left out: the model has no weights for them. Make it with `name_features=True`."
            )
        return self.pair_weights(pair_features.to(self.device))

    def with_features(self, scores: torch.Tensor, pair_features: torch.Tensor | None) -> torch.Tensor:
        """Scores of encodings plus what the features of the same pairs add, if there are any."""
        return scores if pair_features is None else scores + self.weigh(pair_features)

    def match_with_units(
        self, mentions: Encodings, entities: Encodings
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """
        The scores of [`~MatchingModel.match`], and those of each unit of a model whose score is the mean of units, by the
        unit's name; of another model there are none. `unit_weight` of [`PGMELTrainingArguments`] gives each a loss.
        """
        return self.match(mentions, entities), {}

    def extra_losses(
        self, mentions: Encodings, entities: Encodings, same_entity: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """
        Losses of the model's own beside those of the scores, each of shape `(num_mentions,)`, weighted.

        Args:
            mentions, entities (`Encodings`):
                Encodings, made in training mode, of the mentions of a batch and of their gold entities.
            same_entity (`torch.BoolTensor` of shape `(num_mentions, num_mentions)`):
                Where row and column have the same gold entity.
        """
        return {}

    def fill_bank(self, features: Iterable[TowerFeatures]) -> None:  # noqa: B027 (most models have nothing to store)
        """
        Store mentions of the training set in the model, for one whose scores look them up (see [`MELOVModel`]); others
        ask for none of them.

        Args:
            features (`Iterable[TowerFeatures]`): Features of mentions, in batches.
        """

    def match_candidates(self, mentions: Encodings, entities: Encodings) -> torch.Tensor:
        """
        Scores of each mention against candidates of its own.

        Args:
            mentions (`Encodings`): With leading dimension `num_mentions`.
            entities (`Encodings`): With leading dimensions `(num_mentions, num_candidates)`.

        Returns:
            `torch.Tensor` of shape `(num_mentions, num_candidates)`.
        """
        if self.vector_name is not None:
            return torch.einsum("md,mkd->mk", mentions[self.vector_name], entities[self.vector_name])
        if not num_rows(mentions):  # `vmap` wants a row
            return self.match(mentions, map_tensors(lambda value: value.flatten(0, 1), entities))

        def own(mention: Encodings, candidates: Encodings) -> torch.Tensor:
            return self.match(map_tensors(lambda value: value.unsqueeze(0), mention), candidates)[0]

        return torch.vmap(own)(mentions, entities)
