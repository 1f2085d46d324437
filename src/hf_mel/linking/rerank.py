"""Rerankers: slower models which order the candidates anew."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..data import UnknownEntityError
from ..data.problems import listed
from ..models import MatchingModel, MELProcessor
from .candidates import CandidateFinder
from .index import EntityIndex
from .linked_mention import MentionQuery
from .queries import encode_queries


if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Reranker(ABC):
    """
    Scores the candidates of mentions.

    `name` says which reranker it is: a calibration that was fitted with one is refused with another.
    """

    name: str

    @abstractmethod
    def scores(self, queries: Sequence[MentionQuery], rows: np.ndarray, index: EntityIndex) -> np.ndarray:
        """
        Args:
            queries (`Sequence[MentionQuery]`):
                The mentions.
            rows (`np.ndarray` of shape `(num_mentions, K)`):
                Rows of `index`; -1 where there are fewer candidates.
            index ([`EntityIndex`]):
                The index in which they were found.

        Returns:
            `np.ndarray` of shape `(num_mentions, K)` and type `float32`: higher is better, `-inf` where the row is -1.
        """


class ModelReranker(Reranker):
    """
    Any [`MatchingModel`] of this package, with an index of its own over the same entities.

    Args:
        model ([`MatchingModel`]), processor ([`MELProcessor`]):
            The reranking model.
        index ([`EntityIndex`]):
            Made with them. It may hold more entities than the index that is searched, not fewer.
        name (`str`, *optional*):
            Its name; by default the fingerprint of the model.
        batch_size (`int`, *optional*, defaults to 64):
            Mentions encoded at once.

    Raises:
        `ValueError`: the index was made with another model or processor.

    Example:

    ```python
    >>> from hf_mel import EntityIndex, Linker, ModelReranker, PGMELConfig, PGMELModel, MELProcessor
    >>> from hf_mel import make_miniature, make_miniature_tokenizer

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> quick, slow = (PGMELModel(PGMELConfig(text_config=tower, projection_size=size)) for size in (16, 64))
    >>> reranker = ModelReranker(slow, processor, EntityIndex.build(slow, processor, kb), name="slow")
    >>> linker = Linker(quick, processor, kb, num_candidates=4, reranker=reranker)
    >>> len(linker.link("painter", "A painter was here.", top_k=3).candidates)
    3
    ```
    """

    def __init__(
        self,
        model: MatchingModel,
        processor: MELProcessor,
        index: EntityIndex,
        name: str | None = None,
        batch_size: int = 64,
    ):
        index.check_model(model, processor)
        self.model, self.processor, self.index, self.batch_size = model, processor, index, batch_size
        self.name = name or f"model {index.manifest.model['fingerprint']}"
        self._finder = CandidateFinder(index, model, "dense", 1)

    def scores(self, queries: Sequence[MentionQuery], rows: np.ndarray, index: EntityIndex) -> np.ndarray:
        encoded = encode_queries(self.model, self.processor, queries, self.batch_size)
        present = np.unique(rows[rows >= 0])
        ids = [index.ids[row] for row in present]
        missing = [entity_id for entity_id in ids if entity_id not in self.index]
        if missing:
            raise UnknownEntityError(
                f"the reranker's index lacks {len(missing):,} candidates: {listed(missing)}. Add them to it, too."
            )
        own = np.full(rows.shape, -1, dtype=np.int64)
        if len(present):
            translated = np.array([self.index.row(entity_id) for entity_id in ids])
            own = np.where(rows < 0, -1, translated[np.searchsorted(present, np.where(rows < 0, present[0], rows))])
        return self._finder.score(queries, encoded, own)


class CrossEncoderReranker(Reranker):
    """
    A `CrossEncoder` of sentence-transformers (`pip install "hf-mel[rerank]"`), which reads mention and entity together.
    It does not look at pictures.

    Args:
        model (`str` or `sentence_transformers.CrossEncoder`):
            Folder or Hub id, or the model itself.
        mention_template (`str`, *optional*, defaults to `"{mention} | {text}"`):
            What it reads of a mention.
        entity_template (`str`, *optional*, defaults to `"{name} | {text}"`):
            What it reads of an entity.
        batch_size (`int`, *optional*, defaults to 32):
            Pairs read at once.

    Raises:
        `ImportError`: sentence-transformers is not installed.

    Example:

    ```python
    linker = Linker(model, processor, index, reranker=CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L6-v2"))
    ```
    """

    def __init__(
        self,
        model: "str | CrossEncoder",
        mention_template: str = "{mention} | {text}",
        entity_template: str = "{name} | {text}",
        batch_size: int = 32,
    ):
        if isinstance(model, str):
            model, name = _cross_encoder(model), model
        else:
            name = model.config.name_or_path or type(model).__name__
        self.model, self.name, self.batch_size = model, f"cross-encoder {name}", batch_size
        self.mention_template, self.entity_template = mention_template, entity_template

    def scores(self, queries: Sequence[MentionQuery], rows: np.ndarray, index: EntityIndex) -> np.ndarray:
        present = np.unique(rows[rows >= 0])
        texts = {
            row: self.entity_template.format(name=entity.name, text=entity.text)
            for row, entity in zip(present.tolist(), index.entities(present), strict=True)
        }
        where = np.argwhere(rows >= 0)
        asked = [self.mention_template.format(mention=query.mention, text=query.text) for query in queries]
        pairs = [(asked[mention], texts[int(rows[mention, place])]) for mention, place in where]
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        if pairs:
            found = self.model.predict(pairs, batch_size=self.batch_size, show_progress_bar=False)
            found = np.asarray(found, dtype=np.float32)
            if found.shape != (len(pairs),):
                raise ValueError(f"{self.name} gives {found.shape[1:]} numbers a pair: a reranker gives one")
            scores[where[:, 0], where[:, 1]] = found
        return scores


def _cross_encoder(model: str) -> "CrossEncoder":
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ImportError('a cross-encoder needs sentence-transformers: pip install "hf-mel[rerank]"') from error
    return CrossEncoder(model)
