"""Model inputs of mentions and entities, by row."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from datasets import Dataset
from datasets import Image as Picture
from torch.utils.data import DataLoader

from ..data import KnowledgeBase, load_images
from ..models import MELProcessor


class SideInputs(Protocol):
    """Model inputs of the mentions or of the entities, by row."""

    side: str

    def __len__(self) -> int: ...

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]: ...

    def lengths(self) -> np.ndarray | None:
        """A length for each row, so that rows of similar length are encoded together; `None` if all are equal."""


class MentionInputs:
    """Processed mentions of a data set with the columns of [`MENTION_FEATURES`]."""

    side = "mention"

    def __init__(self, mentions: Dataset, processor: MELProcessor):
        self.processor = processor
        self._columns = {name: mentions[name][:] for name in ("mention", "text", "start")}
        self._pictures = None
        if processor.image_processor is not None:  # opened on demand: a broken one does not stop the others
            self._pictures = mentions.select_columns(["id", "image"]).cast_column("image", Picture(decode=False))

    def __len__(self) -> int:
        return len(self._columns["mention"])

    def lengths(self) -> np.ndarray:
        names, texts = self._columns["mention"], self._columns["text"]
        return np.array([len(name) + len(text) for name, text in zip(names, texts, strict=True)])

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = [int(row) for row in rows]
        given = {name: [values[row] for row in rows] for name, values in self._columns.items()}
        pictures = None if self._pictures is None else load_images(self._pictures, rows)
        return dict(self.processor.mentions(**given, images=pictures))


class EntityInputs:
    """Processed entities of a knowledge base."""

    side = "entity"

    def __init__(self, knowledge_base: KnowledgeBase, processor: MELProcessor):
        self.knowledge_base, self.processor = knowledge_base, processor

    def __len__(self) -> int:
        return len(self.knowledge_base)

    def lengths(self) -> np.ndarray:
        names, texts = self.knowledge_base.names(), self.knowledge_base.texts()
        return np.array([len(name) + len(text) for name, text in zip(names, texts, strict=True)])

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = [int(row) for row in rows]
        names, texts = self.knowledge_base.names(rows), self.knowledge_base.texts(rows)
        pictures = self.knowledge_base.images(rows) if self.processor.image_processor is not None else None
        return dict(self.processor.entities(name=names, description=texts, images=pictures))


# ---- Batches ----


def length_buckets(lengths: np.ndarray | None, num_rows: int, batch_size: int) -> list[np.ndarray]:
    """Rows in batches of similar length, the longest first, so that a lack of memory shows at once."""
    order = np.arange(num_rows) if lengths is None else np.argsort(-lengths, kind="stable")
    return [order[begin : begin + batch_size] for begin in range(0, num_rows, batch_size)]


def read_ahead(
    inputs: SideInputs, batches: Sequence[np.ndarray], num_workers: int = 0
) -> Iterator[dict[str, torch.Tensor]]:
    """Inputs of each batch of rows, in turn, read by `num_workers` processes while the model works."""
    # Workers draw nothing at random, so their seeds are not taken from the global generator, which others draw from.
    draw = torch.Generator()
    rows = range(len(inputs))
    yield from DataLoader(rows, batch_sampler=batches, collate_fn=inputs, num_workers=num_workers, generator=draw)
