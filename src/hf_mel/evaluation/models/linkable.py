"""Selects the mentions that have a gold entity: only these can be trained on or ranked."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from transformers.utils import logging

from ...data import KnowledgeBase, UnknownEntityError, as_mentions, content_fingerprint


logger = logging.get_logger(__name__)


@dataclass
class Linkable:
    """
    Args:
        dataset (`datasets.Dataset`): The mentions with a gold entity, in their order.
        gold_rows (`np.ndarray` of shape `(num_mentions,)`): Their gold entities.
        num_nil (`int`): How many mentions were left out because they are NIL.
        fingerprint (`str`): Changes when the mentions do.
    """

    dataset: Dataset
    gold_rows: np.ndarray
    num_nil: int
    fingerprint: str


def linkable_mentions(mentions, knowledge_base: KnowledgeBase, split: str, what: str | None = None) -> Linkable:
    """
    Selects the mentions with a gold entity, and counts the NIL mentions that are left out.

    Args:
        mentions (as in [`as_mentions`]): The mentions.
        knowledge_base ([`KnowledgeBase`]): The entities.
        split (`str`): Name of the mentions in messages.
        what (`str`, *optional*): Name of the caller's argument in messages about columns and rows. Defaults to that of
            the Trainer, such as `train_dataset`.

    Raises:
        `TypeError`, `ValueError`: as in [`as_mentions`], or no mention has an entity.
        [`UnknownEntityError`]: gold ids that are not in the knowledge base; they are listed.
    """
    mentions = as_mentions(mentions, f"{split}_dataset" if what is None else what, needs_gold=True)
    gold_ids = mentions["entity_id"][:]
    known = np.array([index for index, gold in enumerate(gold_ids) if gold is not None], dtype=np.int64)
    if len(known) == 0:
        raise ValueError(f"the {split!r} split has {len(mentions)} mentions, and none of them has an entity")
    num_nil = len(mentions) - len(known)
    if num_nil:
        logger.info(f"{split}: {num_nil} NIL mentions of {len(mentions)} are left out.")
    dataset = mentions if num_nil == 0 else mentions.select(known)
    lost = dataset["start"][:].count(None)
    if lost:
        logger.warning(f"{split}: {lost} mentions of {len(dataset)} do not occur in their text.")
    try:
        rows = knowledge_base.rows([gold_ids[index] for index in known])
    except UnknownEntityError as error:
        raise UnknownEntityError(f"gold entities of the {split!r} split: {error}") from None
    return Linkable(dataset, rows, num_nil, content_fingerprint(dataset))
