"""Model inputs of mentions and entities, by row."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from datasets import Dataset
from datasets import Image as Picture
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..data import KnowledgeBase, load_images
from ..models import MELProcessor


logger = logging.get_logger(__name__)

_SAMPLE, _LONGEST_SAMPLE, _MANY_UNKNOWN = 256, 500, 0.2


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


# ---- What a tokenizer knows ----


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """
    Share of the characters of texts that stand in words which a tokenizer has no token for.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): The tokenizer. One made of bytes, such as CLIP's, has a token for
            everything, whether its tower learned the language or not.
        texts (`Sequence[str]`): The texts.

    Returns:
        `float`: in [0, 1]; 0 without texts, and for a tokenizer that gives no offsets.
    """
    if not texts or not tokenizer.is_fast:
        return 0.0
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    given = tokenizer(list(texts), **options)
    sizes = np.array([end - start for offsets in given["offset_mapping"] for start, end in offsets])
    ids = np.array([token for ids in given["input_ids"] for token in ids])
    return float(sizes[ids == tokenizer.unk_token_id].sum() / max(sizes.sum(), 1))


def warn_of_unknown(processor: MELProcessor, knowledge_base: KnowledgeBase, rows: np.ndarray | None = None) -> None:
    """
    Logs a warning if the tokenizer has no token for a fifth or more of the names and texts of entities: they are in a script
    that the text tower was not trained on.

    Args:
        processor ([`MELProcessor`]): Has the tokenizer.
        knowledge_base ([`KnowledgeBase`]): Has the entities. Up to 256 of them, evenly spaced, are tokenized.
        rows (`np.ndarray` of shape `(num_rows,)`, *optional*): Those of interest; all by default.
    """
    rows = np.arange(len(knowledge_base)) if rows is None else rows
    rows = rows[:: max(len(rows) // _SAMPLE, 1)][:_SAMPLE].tolist()
    texts = [*knowledge_base.names(rows), *(text[:_LONGEST_SAMPLE] for text in knowledge_base.texts(rows))]
    share = unknown_share(processor.tokenizer, texts)
    if share >= _MANY_UNKNOWN:
        logger.warning(
            f"the tokenizer does not know {share:.0%} of the names and texts of the entities (measured on {len(rows):,} of them): "
            "the text tower was not trained on their script. Choose a multilingual tower, such as "
            "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
        )
