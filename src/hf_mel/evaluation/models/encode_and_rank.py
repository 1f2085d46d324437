"""Encodes mentions and entities with a model, and ranks every mention against the whole knowledge base."""

from collections.abc import Sequence

import numpy as np

from ...encoding import Encodings, SideInputs, encode_all, to_device
from ...models import MatchingModel
from ...names import NameIndex, added_scores
from .. import rank_gold


def encode_sides(
    model: MatchingModel, mention_inputs: SideInputs, entity_inputs: SideInputs, batch_size: int, **options
) -> tuple[Encodings, Encodings]:
    """Encodings of all mentions and all entities, on the model's device; `options` are those of [`encode_all`]."""
    sides = (encode_all(model, inputs, batch_size, **options)[0] for inputs in (mention_inputs, entity_inputs))
    mentions, entities = (to_device(side, model.device) for side in sides)
    return mentions, entities


def rank_mentions(
    model: MatchingModel,
    mention_inputs: SideInputs,
    entity_inputs: SideInputs,
    gold_rows: np.ndarray,
    batch_size: int,
    names: tuple[NameIndex | None, Sequence[str]] = (None, ()),
    **options,
) -> np.ndarray:
    """
    Ranks the gold entity of each mention among all entities, by the score of the model.

    Args:
        names (`tuple[NameIndex, Sequence[str]]`, *optional*):
            Names of the entities and words of each mention, for a model that reads them: see [`name_index_of`].

    Returns:
        `np.ndarray` of shape `(num_mentions,)`.
    """
    mentions, entities = encode_sides(model, mention_inputs, entity_inputs, batch_size, **options)
    return rank_gold(mentions, entities, gold_rows, match=model.match, added=added_scores(model, *names))
