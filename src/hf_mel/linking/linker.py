"""Links mentions to the entities of an index: candidates, probabilities, the NIL decision, and what speaks for each."""

import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import load_checkpoint, pick_device
from ..data import KnowledgeBase
from ..encoding import Encodings
from ..models import MatchingModel, MELProcessor
from ..zero_shot import load_towers
from .answers import answers
from .calibration import Calibration
from .candidates import CandidateFinder, Retrieved
from .choose_calibration import check_prediction_set, choose_calibration
from .index import EntityIndex, SearchBackend, get_backend
from .linked_mention import LinkedMention, MentionQuery, Picture
from .queries import as_queries, encode_queries, queries_from, warn_of_lost
from .rerank import Reranker
from .spans import Span, find_mentions, queries_of


class Linker:
    """
    Ranks the entities of an index for mentions.

    Args:
        model ([`MatchingModel`]):
            The model, such as a [`PGMELModel`].
        processor ([`MELProcessor`]):
            Its processor.
        index ([`EntityIndex`], [`KnowledgeBase`], `str` or `Path`):
            The entities: an index that was made with this model and processor, its folder or Hub id (`"org/index"`), or a
            knowledge base, which is encoded now.
        backend (`str` or `SearchBackend`, *optional*, defaults to `"exact"`):
            What searches the index: `"exact"`, `"two_stage"`, `"faiss"`, `"qdrant"`; see [`get_backend`].
        num_proposals (`int`, *optional*):
            How many entities a backend that is named, other than the exact one, proposes for a mention; see
            [`SearchBackend`].
        candidates (`str`, *optional*, defaults to `"dense"`):
            `"dense"`: the best-scored entities. `"lexical"`: entities whose name or alias resembles the mention, ranked
            by the model. `"merged"`: both.
        num_candidates (`int`, *optional*, defaults to 64):
            Candidates each way gives, of which `top_k` are returned. Probabilities are shared among them.
        reranker ([`Reranker`], *optional*):
            Orders the candidates anew.
        calibration ([`Calibration`] or `bool`, *optional*, defaults to `True`):
            Turns scores into probabilities and decides NIL. `True`: the one saved in the folder of the index, if it was
            fitted for this set-up; otherwise the prior ([`prior_calibration`]), with a warning. `None` or `False`: none,
            there are scores only.
        batch_size (`int`, *optional*, defaults to 64):
            Mentions encoded at once.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar while a knowledge base is encoded.

    Raises:
        `ValueError`: the index was made with another model or processor, or the calibration was fitted with another
            set-up; the difference is named.

    Example:

    ```python
    >>> from hf_mel import Linker, PGMELConfig, PGMELModel, MELProcessor, make_miniature, make_miniature_tokenizer

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> linker = Linker(PGMELModel(PGMELConfig(text_config=tower)), processor, kb)
    >>> linked = linker.link("painter", "A painter was here.", top_k=3)
    >>> len(linked.candidates), linker.calibration.kind
    (3, 'prior')
    ```
    """

    def __init__(
        self,
        model: MatchingModel,
        processor: MELProcessor,
        index: EntityIndex | KnowledgeBase | str | Path,
        *,
        backend: str | SearchBackend = "exact",
        num_proposals: int | None = None,
        candidates: str = "dense",
        num_candidates: int = 64,
        reranker: Reranker | None = None,
        calibration: Calibration | bool | None = True,
        batch_size: int = 64,
        progress: bool = False,
    ):
        self.model, self.processor = model, processor
        if isinstance(index, KnowledgeBase):
            # In full precision: what saves time in a large index would only make scores differ in a small one.
            options = {"encode_dtype": "float32", "batch_size": batch_size, "progress": progress}
            index = EntityIndex.build(model, processor, index, **options)
        elif isinstance(index, EntityIndex):
            index.check_model(model, processor)
        else:
            index = EntityIndex.load(index, model, processor)
        self.index: EntityIndex = index
        self.backend = _backend(backend, index, num_proposals)
        self.finder = CandidateFinder(index, model, candidates, num_candidates, self.backend)
        self.reranker = reranker
        self.batch_size = batch_size
        self.calibration: Calibration | None = None
        if isinstance(calibration, Calibration):
            calibration.check(self.setup)
            self.calibration = calibration
        elif calibration:
            self.use_saved_calibration()

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        index: EntityIndex | KnowledgeBase | str | Path,
        *,
        device: torch.device | str | int | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        **kwargs,
    ) -> "Linker":
        """
        A linker from a checkpoint, with the calibration that is saved with its index or in it.

        Args:
            checkpoint (`str` or `Path`): Folder or Hub id.
            index ([`EntityIndex`], [`KnowledgeBase`], `str` or `Path`): As in the constructor.
            device (`torch.device` or `str`, *optional*): Where the model runs; an accelerator if there is one.
            revision (`str`, *optional*):
                Branch, tag or commit of a Hub id: of the model, its processor and its calibration.
            token (`str` or `bool`, *optional*):
                For a private one; by default that of `hf auth login`.
            local_files_only (`bool`, *optional*, defaults to `False`):
                Take what is in the cache, and ask nobody.
            kwargs:
                Further arguments of the constructor. `calibration=True` also takes the one saved in the checkpoint, if it
                was fitted for this index and set-up.
        """
        calibration = kwargs.pop("calibration", True)
        given = calibration if isinstance(calibration, Calibration) else None
        hub = {"revision": revision, "token": token, "local_files_only": local_files_only}
        model, processor = load_checkpoint(str(checkpoint), **hub)
        device = pick_device() if device is None else device
        linker = cls(model.to(device), processor, index, calibration=given, **kwargs)
        if calibration is True:
            linker.use_saved_calibration(checkpoint, **hub)
        return linker

    @classmethod
    def from_towers(
        cls,
        text: str | Path,
        index: EntityIndex | KnowledgeBase | str | Path,
        *,
        vision: str | Path | bool | None = None,
        device: torch.device | str | int | None = None,
        **kwargs,
    ) -> "Linker":
        """
        A linker without training: scores are cosines of pretrained towers plus features of names, see [`load_towers`].

        Args:
            text (`str` or `Path`): Folder or Hub id of a text encoder, or of a checkpoint of both towers, as CLIP.
            index ([`EntityIndex`], [`KnowledgeBase`], `str` or `Path`): As in the constructor.
            vision (`str`, `Path` or `bool`, *optional*): A vision encoder; `None`: that of `text` if any; `False`: none.
            device (`torch.device` or `str`, *optional*): As in [`~Linker.from_pretrained`].
            kwargs: For the constructor, and for [`load_towers`], such as `revision`, `text_views` or `name_features=False`.

        Example:

        ```py
        >>> linker = Linker.from_towers("sentence-transformers/all-MiniLM-L6-v2", KnowledgeBase.from_csv("products.csv"))
        ```
        """
        own = {name: kwargs.pop(name) for name in inspect.signature(cls).parameters if name in kwargs}
        model, processor = load_towers(text, vision, **kwargs)
        return cls(model.to(pick_device() if device is None else device), processor, index, **own)

    def use_saved_calibration(self, checkpoint: str | Path | None = None, **hub) -> None:
        """Takes what [`choose_calibration`] gives for this linker."""
        options = {"name_features": self.model.config.name_features} | hub
        self.calibration = choose_calibration(self.index, self.setup, checkpoint, **options)

    @property
    def setup(self) -> dict:
        """Settings that the scores depend on, in addition to the entities. A calibration holds for one set of them."""
        setup = {
            "knowledge_base": self.index.manifest.kb_fingerprint,
            "model": self.index.manifest.model["fingerprint"],
            "candidates": self.finder.mode,
            "num_candidates": self.finder.num_candidates,
            "reranker": None if self.reranker is None else self.reranker.name,
            "exact": self.backend.exact,
        }
        if not self.backend.exact and self.backend.num_proposals is not None:
            setup["num_proposals"] = self.backend.num_proposals
        return setup

    # ---- Linking ----

    def link(
        self,
        mention: str | Sequence[str],
        text: str | Sequence[str],
        start: int | Sequence[int | None] | None = None,
        image: Picture | Sequence[Picture | None] | None = None,
        **options,
    ) -> LinkedMention | list[LinkedMention]:
        """
        Links a mention, or a list of them.

        Args:
            mention (`str` or `Sequence[str]`):
                The words that name an entity.
            text (`str` or `Sequence[str]`):
                The sentence they stand in. If the mention does not occur in it, a warning is logged.
            start (`int` or `Sequence[int]`, *optional*):
                Where the mention starts, in characters; upper and lower case may differ. By default it is found:
                [`~hf_mel.data.mention_checks.find_mention`].
            image (`PIL.Image.Image`, `str`, `os.PathLike`, `bytes` or a sequence of these or `None`, *optional*):
                The picture next to the sentence, its path or its file's bytes. A text-only model does not use it, but a
                picture that cannot be read is refused all the same.
            options:
                `top_k`, `threshold`, `score_threshold`, `types`, `entity_ids`, `prediction_set` of
                [`~Linker.link_queries`].

        Returns:
            [`LinkedMention`], or a list of these for lists of mentions.

        Raises:
            `ValueError`, `FileNotFoundError`: lists of different lengths, an empty mention or text, a `start` at which the
                mention does not stand, or a picture that cannot be read.
        """
        linked = self.link_queries(queries_from(mention, text, start, image), **options)
        return linked[0] if isinstance(text, str) else linked

    def link_text(
        self,
        text: str,
        spans: Sequence[Span | tuple[int, int]] | None = None,
        ner=None,
        image: Picture | None = None,
        **options,
    ) -> list[LinkedMention]:
        """
        Links the mentions in a running text, all of which share its picture.

        Args:
            text (`str`):
                The text.
            spans (`Sequence[Span]` or `Sequence[tuple[int, int]]`, *optional*):
                First character and character after the last of each mention; they may overlap.
            ner (`str` or pipeline, *optional*):
                Instead of `spans`: a token-classification pipeline, or the folder or Hub id of a model for one.
            image (as in [`~Linker.link`], *optional*):
                The picture next to the text.
            options:
                Those of [`~Linker.link_queries`].

        Raises:
            `ValueError`: both or none of `spans` and `ner`, or a span outside the text; all are listed.
        """
        if (spans is None) == (ner is None):
            raise ValueError("give either `spans`, where the mentions stand, or `ner`, a model that finds them")
        found = find_mentions([text], ner)[0] if spans is None else spans
        return self.link_queries(queries_of(text, found, image=image), **options)

    def link_queries(
        self,
        queries: Sequence[MentionQuery],
        *,
        top_k: int = 5,
        threshold: float | None = None,
        score_threshold: float | None = None,
        types: Sequence[str] | None = None,
        entity_ids: Sequence[str] | None = None,
        prediction_set: float | None = None,
    ) -> list[LinkedMention]:
        """
        Links mentions; every other way of linking ends here.

        Args:
            queries (`Sequence[MentionQuery]`, `datasets.Dataset`, `pandas.DataFrame`, `list[dict]` or `dict[str, list]`):
                The mentions. All pictures of a table are opened at once: give a large one in parts.
            top_k (`int`, *optional*, defaults to 5):
                Candidates returned for each mention.
            threshold (`float`, *optional*):
                A mention is NIL if the probability that its entity is one of the candidates, 1 less that of NIL, is lower.
                Defaults to the calibration's.
            score_threshold (`float`, *optional*):
                A mention is NIL if the score of its best candidate is lower. Needs no calibration; the threshold of a
                calibration counts as well, unless that is the prior.
            types (`Sequence[str]`, *optional*):
                Only entities with one of these types are candidates.
            entity_ids (`Sequence[str]`, *optional*):
                Only these entities are candidates.
            prediction_set (`float`, *optional*):
                Error rate of [`~LinkedMention.prediction_set`], such as 0.1. All entities of the set are returned, also
                past `top_k`, and [`~LinkedMention.to_dict`] holds it.

        Returns:
            `list[LinkedMention]`, in the order of the queries.

        Raises:
            `ValueError`: `top_k` below 1 or above the number of calibrated candidates, a `threshold` without calibration,
                a `prediction_set` for which there are too few labelled mentions, or with `types` or `entity_ids`; a type that
                no entity has, or mentions that cannot be linked; the first of these are listed.
            `UnknownEntityError`: an id in `entity_ids` that the index does not hold.
        """
        if isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1:
            raise ValueError(f"top_k must be at least 1, and a whole number, got {top_k!r}")
        if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
            raise ValueError(f"`threshold` is a probability, a number from 0 to 1, got {threshold!r}")
        if threshold is not None and self.calibration is None:
            raise ValueError(
                "`threshold` is a probability, and this linker has no calibration: fit one with `hf-mel calibrate`, "
                "or give `score_threshold`, in the unit of the scores"
            )
        fitted = self.calibration is not None and self.calibration.kind != "prior"
        if fitted and top_k > self.finder.num_candidates:
            raise ValueError(
                f"top_k={top_k}, but the probabilities were calibrated among num_candidates={self.finder.num_candidates}: "
                f"make the linker with num_candidates={top_k} and calibrate it again, or ask for fewer"
            )
        if prediction_set is not None:
            check_prediction_set(self.calibration, prediction_set, types is not None or entity_ids is not None)
        if isinstance(queries, Sequence) and not len(queries):
            return []
        queries = as_queries(queries)
        warn_of_lost(queries)
        allowed = None
        if types is not None or entity_ids is not None:
            allowed = self.index.rows_of(types=types, ids=entity_ids)
        if threshold is None and (fitted or (self.calibration is not None and score_threshold is None)):
            threshold = self.calibration.threshold  # a score threshold of the caller's comes before that of a prior
        found = self.retrieve(queries, allowed, top_k)
        among = None
        if allowed is not None and self.calibration is not None and self.calibration.standardized:
            among = self.retrieve(queries, encoded=found.encoded).scores
        return answers(
            queries,
            found,
            self.finder,
            self.calibration,
            top_k,
            threshold=threshold,
            score_threshold=score_threshold,
            alpha=prediction_set,
            restricted=allowed is not None,
            among=among,
        )

    # ---- Steps ----

    def encode_queries(self, queries: Sequence[MentionQuery]) -> Encodings:
        """The encoded mentions, on the model's device."""
        return encode_queries(self.model, self.processor, queries, self.batch_size)

    def retrieve(
        self,
        queries: Sequence[MentionQuery],
        allowed: np.ndarray | None = None,
        top_k: int = 1,
        encoded: Encodings | None = None,
    ) -> Retrieved:
        """
        Candidates with the scores they are ranked by, before anything is decided.

        Args:
            queries (`Sequence[MentionQuery]`):
                The mentions, at least one.
            allowed (`np.ndarray` of shape `(index.num_rows,)` and type `bool`, *optional*):
                Which entities may be candidates.
            top_k (`int`, *optional*, defaults to 1):
                At least so many, if the index has them.
            encoded (`dict[str, torch.Tensor]`, *optional*):
                What `encode_queries` gave, to retrieve for the same mentions again.
        """
        encoded = self.encode_queries(queries) if encoded is None else encoded
        found = self.finder.find(queries, encoded, top_k, allowed)
        if self.reranker is None:
            return found
        return found.ordered_by(self.reranker.scores(queries, found.rows, self.index))


def _backend(backend: str | SearchBackend, index: EntityIndex, num_proposals: int | None) -> SearchBackend:
    if isinstance(backend, str):
        return get_backend(backend, index, **({} if num_proposals is None else {"num_proposals": num_proposals}))
    if num_proposals is not None:
        raise ValueError("num_proposals is for a backend that is named: give it to the backend itself")
    return backend
