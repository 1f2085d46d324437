"""What every converter yields."""

from dataclasses import dataclass, field

from datasets import DatasetDict

from .knowledge_base import KnowledgeBase


@dataclass
class MELData:
    """A benchmark in the one schema.

    Args:
        mentions (`datasets.DatasetDict`): the splits train, validation and test with `MENTION_FEATURES`.
        entities (`KnowledgeBase`): the entities they are linked to.
        report (`dict`): what was read, counted, left out and why; can be written as JSON.
    """

    mentions: DatasetDict
    entities: KnowledgeBase
    report: dict = field(default_factory=dict)
