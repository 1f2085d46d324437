"""Links one mention, or a list of them, to the entities of a knowledge base."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from PIL import Image
from transformers.utils import logging

from ..data import KnowledgeBase
from ..encoding import EntityInputs, encode_all, to_device
from ..evaluation import top_candidates
from ..models import MatchingModel, PGMELProcessor


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class LinkedEntity:
    """
    A candidate for a mention.

    Args:
        entity_id (`str`): Its id in the knowledge base.
        name (`str`): Its name.
        text (`str`): The knowledge base's text of it.
        score (`float`): Similarity with the mention, between -1 and 1 for a cosine. It is no probability.
    """

    entity_id: str
    name: str
    text: str
    score: float

    def to_dict(self) -> dict:
        """A plain dictionary, for JSON."""
        return asdict(self)


class Linker:
    """
    Ranks the entities of a knowledge base for mentions. The entities are encoded once, when the linker is made.

    Args:
        model ([`MatchingModel`]):
            The model, such as a [`PGMELModel`].
        processor ([`PGMELProcessor`]):
            Its processor.
        knowledge_base ([`KnowledgeBase`]):
            The entities.
        batch_size (`int`, *optional*, defaults to 256):
            Rows encoded at once.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Example:

    ```python
    >>> from hf_mel import Linker, PGMELConfig, PGMELModel, PGMELProcessor, make_miniature, make_miniature_tokenizer

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = PGMELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> linker = Linker(PGMELModel(PGMELConfig(text_config=tower)), processor, kb)
    >>> len(linker.link("A painter was here.", mention="painter", top_k=3))
    3
    ```
    """

    def __init__(
        self,
        model: MatchingModel,
        processor: PGMELProcessor,
        knowledge_base: KnowledgeBase,
        batch_size: int = 256,
        progress: bool = False,
    ):
        self.model = model.eval()
        self.processor = processor
        self.knowledge_base = knowledge_base
        self.batch_size = batch_size
        entities, _ = encode_all(model, EntityInputs(knowledge_base, processor), batch_size, progress=progress)
        self._entities = to_device(entities, model.device)

    def link(
        self,
        text: str | Sequence[str],
        mention: str | Sequence[str],
        image: Image.Image | Sequence[Image.Image | None] | None = None,
        start: int | Sequence[int | None] | None = None,
        top_k: int = 5,
    ) -> list[LinkedEntity] | list[list[LinkedEntity]]:
        """
        The entities that fit best, best first.

        Args:
            text (`str` or `Sequence[str]`):
                The sentence.
            mention (`str` or `Sequence[str]`):
                The words in it that name an entity. If they do not occur in it, a warning says so.
            image (`PIL.Image.Image` or a sequence of these or `None`, *optional*):
                The picture beside the sentence. A text-only model does not look at it.
            start (`int` or `Sequence[int]`, *optional*):
                Where the mention starts, in characters. Defaults to its first occurrence.
            top_k (`int`, *optional*, defaults to 5):
                Candidates for each mention.

        Returns:
            `list[LinkedEntity]`, or a list of these for lists of mentions.

        Raises:
            `ValueError`: lists of different lengths, or an empty mention.
        """
        single = isinstance(text, str)
        if single != isinstance(mention, str):
            raise ValueError("`text` and `mention` must both be strings, or both lists of strings")
        texts, mentions = ([text], [mention]) if single else (list(text), list(mention))
        images = [image] if single else [None] * len(texts) if image is None else list(image)
        starts = [start] if single else [None] * len(texts) if start is None else list(start)
        for name, values in (("mentions", mentions), ("images", images), ("starts", starts)):
            if len(values) != len(texts):
                raise ValueError(f"{len(values)} {name} were given for {len(texts)} texts")
        for sentence, words in zip(texts, mentions, strict=True):
            if words not in sentence:
                logger.warning(f"the mention {words!r} does not occur in {sentence!r}; it is linked all the same.")
        found: list[list[LinkedEntity]] = []
        for begin in range(0, len(texts), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            found += self._link_batch(texts[part], mentions[part], images[part], starts[part], top_k)
        return found[0] if single else found

    @torch.no_grad()
    def _link_batch(self, texts: list, mentions: list, images: list, starts: list, top_k: int) -> list:
        inputs = self.processor.mentions(mention=mentions, sentence=texts, start=starts, images=images)
        features = self.model.extract(**to_device(dict(inputs), self.model.device))
        encoded = self.model.encode("mention", features)
        scores, rows = top_candidates(encoded, self._entities, top_k, match=self.model.match)
        return [
            [self._candidate(row, score) for row, score in zip(row_list, score_list, strict=True)]
            for row_list, score_list in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def _candidate(self, row: int, score: float) -> LinkedEntity:
        kb = self.knowledge_base
        return LinkedEntity(kb.ids[row], kb.names([row])[0], kb.texts([row])[0], score)
