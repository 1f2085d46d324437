"""A linking model in the form that mteb evaluates: it searches a corpus of entities for mentions."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset, List, Value

from ..checkpoint import load_checkpoint, pick_device
from ..data import KnowledgeBase, as_mentions
from ..data.problems import listed
from ..encoding import Encodings, EntityInputs, MentionInputs, encode_all, to_device
from ..evaluation import rank_gold, top_candidates
from ..linking.index.fingerprints import describe_model
from ..models import MatchingModel, MELProcessor
from ..models.encodings import select_rows
from ..names import added_scores, name_index_of


if TYPE_CHECKING:
    from mteb.models import ModelMeta


class MTEBModel:
    """
    Makes a linking model one that `mteb.evaluate` takes. Mentions and entities are encoded by the model's own processor, and
    scored by its own score, with the features of names and with pictures if it has them: as in `hf-mel evaluate`.

    The task must be one of a file `mteb_tasks.py` that [`write_mteb`] wrote. In a task for texts (`t2t`), pictures are
    ignored. The scores `hits_at_1` and `mrr` of the task rank against the whole corpus, whatever number of documents mteb
    asks for.

    Args:
        model ([`MatchingModel`]):
            The model: a trained one, or one of [`~hf_mel.zero_shot.load_towers`].
        processor ([`MELProcessor`]):
            Its processor.
        name (`str`, *optional*):
            `org/name` in the results. Defaults to `hf_mel/` and the type of the model.
        batch_size (`int`, *optional*, defaults to 256):
            Mentions or entities encoded at once. The batch size of mteb is not used.
        num_workers (`int`, *optional*, defaults to 0):
            Data-loading workers.

    Raises:
        `ValueError`: `name` is not of the form `org/name`.

    Example:

    ```py
    >>> import sys
    >>> import mteb
    >>> from hf_mel.mteb import MTEBModel

    >>> sys.path.insert(0, "emojimel")  # the folder with mteb_tasks.py
    >>> from mteb_tasks import EmojiMELIT2ITRetrieval

    >>> model = MTEBModel.from_pretrained("runs/emojimel")
    >>> result = mteb.evaluate(model, EmojiMELIT2ITRetrieval(), cache=None)
    ```
    """

    def __init__(
        self,
        model: MatchingModel,
        processor: MELProcessor,
        name: str | None = None,
        *,
        batch_size: int = 256,
        num_workers: int = 0,
    ):
        self.model, self.processor = model, processor
        self.name = name or f"hf_mel/{model.config.model_type}"
        if self.name.count("/") != 1 or not all(self.name.split("/")):
            raise ValueError(f"name={name!r}: mteb needs a name of the form org/name")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._kb: KnowledgeBase | None = None
        self._entities: Encodings | None = None

    @classmethod
    def from_pretrained(cls, checkpoint: str, name: str | None = None, *, batch_size: int = 256, **hub) -> "MTEBModel":
        """
        Loads a checkpoint and moves it to the accelerator if there is one.

        Args:
            checkpoint (`str`):
                Folder or Hub id.
            name (`str`, *optional*):
                `org/name` in the results. Defaults to the Hub id, or to `hf_mel/` and the name of the folder.
            batch_size (`int`, *optional*, defaults to 256):
                Rows encoded at once.
            hub:
                `revision`, `token`, `cache_dir` and `local_files_only` of `from_pretrained`.
        """
        model, processor = load_checkpoint(checkpoint, **hub)
        if name is None:
            name = f"hf_mel/{Path(checkpoint).resolve().name}" if Path(checkpoint).is_dir() else checkpoint
        return cls(model.to(pick_device()), processor, name, batch_size=batch_size)

    @cached_property
    def mteb_model_meta(self) -> "ModelMeta":
        """Metadata for mteb. The revision is the fingerprint of the model, so that cached results of other weights are not used."""
        try:
            from mteb.models import ModelMeta
        except ImportError as error:
            raise ImportError("mteb is not installed: pip install 'hf-mel[mteb]'") from error
        unknown = ("release_date", "languages", "memory_usage_mb", "embed_dim", "license", "training_datasets")
        unknown += ("open_weights", "public_training_code", "public_training_data", "similarity_fn_name")
        return ModelMeta(
            loader=None,
            name=self.name,
            revision=describe_model(self.model)["fingerprint"],
            n_parameters=self.model.num_parameters(),
            max_tokens=self.processor.max_length,
            framework=["PyTorch", "Transformers"],
            use_instructions=False,
            modalities=["text", "image"] if self.model.sees_pictures else ["text"],
            **dict.fromkeys(unknown),
        )

    # ---- Called by mteb ----

    def index(self, corpus: Dataset, *, task_metadata, encode_kwargs: dict | None = None, **kwargs) -> None:
        """
        Encodes the entities.

        Args:
            corpus (`datasets.Dataset`):
                `id`, `title`, `text`, `aliases` and, if there are pictures, `image`.
            task_metadata (`TaskMetadata`):
                The task. Pictures are used if its documents have them.
            encode_kwargs (`dict`, *optional*):
                Of mteb; only `show_progress_bar` is used.
            kwargs:
                Further arguments of mteb, which are not used.

        Raises:
            `ValueError`: the corpus lacks a column, or has bad entities.
        """
        names = {"id": "id", "title": "name", "text": "description"}
        columns = _columns(corpus, (*names, "aliases"), task_metadata, "document")
        aliases = [json.loads(each) for each in columns["aliases"][:]]
        table = columns.remove_columns("aliases").rename_columns({"title": "name", "text": "description"})
        table = table.add_column("aliases", aliases, feature=List(Value("string")))
        self._kb = KnowledgeBase(table, "description" if any(corpus["text"][:]) else "auto")
        inputs = EntityInputs(self._kb, self.processor)
        self._entities = self._encoded(inputs, encode_kwargs)

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata,
        top_k: int,
        encode_kwargs: dict | None = None,
        top_ranked: Mapping | None = None,
        **kwargs,
    ) -> "RankedEntities":
        """
        The `top_k` best entities of each mention.

        Args:
            queries (`datasets.Dataset`):
                `id`, `mention`, `sentence`, `start` and, if there are pictures, `image`.
            task_metadata (`TaskMetadata`):
                The task. Pictures are used if its queries have them.
            top_k (`int`):
                Entities of each mention.
            encode_kwargs (`dict`, *optional*):
                Of mteb; only `show_progress_bar` is used.
            top_ranked (`Mapping`, *optional*):
                Must be `None`: candidates of a reranking task are not supported.
            kwargs:
                Further arguments of mteb, which are not used.

        Returns:
            [`RankedEntities`]: by query id, the scores by entity id, best first.

        Raises:
            `ValueError`: the queries lack a column or have bad rows, `index` was not called, or `top_ranked` is given.
        """
        if top_ranked is not None:
            raise ValueError(f"{task_metadata.name} is a reranking task: MTEBModel evaluates retrieval tasks only")
        if self._kb is None or self._entities is None:
            raise ValueError("call `index` with the corpus before `search`")
        table = _columns(queries, ("id", "mention", "sentence", "start"), task_metadata, "query")
        starts = [None if start < 0 else start for start in table["start"][:]]
        table = table.remove_columns("start").add_column("start", starts, feature=Value("int64"))
        mentions = as_mentions(table.rename_column("sentence", "text"), "queries", needs_gold=False)
        encoded = self._encoded(MentionInputs(mentions, self.processor), encode_kwargs)
        added = added_scores(self.model, name_index_of(self.model, self._kb), mentions["mention"][:])
        scoring = {"match": self.model.match, "added": added}
        scores, rows = top_candidates(encoded, self._entities, min(top_k, len(self._kb)), **scoring)
        found = RankedEntities(encoded, self._entities, mentions["id"][:], self._kb, scoring)
        for query, values, places in zip(mentions["id"][:], scores.tolist(), rows.tolist(), strict=True):
            found[query] = {self._kb.ids[row]: value for row, value in zip(places, values, strict=True)}
        return found

    def _encoded(self, inputs, encode_kwargs: dict | None) -> Encodings:
        progress = (encode_kwargs or {}).get("show_progress_bar", True)
        encoded, _ = encode_all(self.model, inputs, self.batch_size, progress=progress, num_workers=self.num_workers)
        return to_device(encoded, self.model.device)


class RankedEntities(dict[str, dict[str, float]]):
    """
    Answer of [`~MTEBModel.search`]: for each query the scores of the entities that were found. It also ranks gold entities
    against the whole corpus, with ties at their mean rank.

    Args:
        mentions, entities (`dict[str, torch.Tensor]`): Encodings.
        queries (`list[str]`): Query ids, in the order of the encodings.
        knowledge_base ([`KnowledgeBase`]): The entities.
        scoring (`dict[str, Any]`): `match` and `added` of [`~hf_mel.evaluation.rank_gold`].
    """

    def __init__(
        self,
        mentions: Encodings,
        entities: Encodings,
        queries: list[str],
        knowledge_base: KnowledgeBase,
        scoring: dict[str, Any],
    ):
        super().__init__()
        self._mentions, self._entities, self._scoring = mentions, entities, scoring
        self._row_of = {query: row for row, query in enumerate(queries)}
        self._kb = knowledge_base

    def gold_ranks(self, gold: Mapping[str, set[str]]) -> np.ndarray:
        """
        Ranks of gold entities among all entities. Of several gold entities of a query the best rank counts.

        Args:
            gold (`Mapping[str, set[str]]`): Ids of the gold entities of each query.

        Returns:
            `np.ndarray` of shape `(len(gold),)`: ranks from 1, in steps of one half.

        Raises:
            `ValueError`: a query that was not searched for, or one without a gold entity.
            [`UnknownEntityError`]: a gold entity that is not in the corpus.
        """
        unknown = [query for query, ids in gold.items() if query not in self._row_of or not ids]
        if unknown:
            raise ValueError(f"queries that were not searched for, or have no gold entity: {listed(unknown)}")
        pairs = [
            (self._row_of[query], number, each) for number, (query, ids) in enumerate(gold.items()) for each in ids
        ]
        rows, numbers, ids = zip(*pairs, strict=True)
        added = self._scoring["added"]
        ranks = rank_gold(
            select_rows(self._mentions, torch.tensor(rows)),
            self._entities,
            self._kb.rows(list(ids)),
            match=self._scoring["match"],
            added=None if added is None else added[list(rows)],
        )
        best = np.full(len(gold), np.inf)
        np.minimum.at(best, np.array(numbers), ranks)
        return best


def _columns(table: Dataset, needed: tuple[str, ...], task_metadata, side: str) -> Dataset:
    """The columns that are read; `image` where the task has pictures on this side and the table has them."""
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{task_metadata.name}: the {side} table lacks the columns {listed(missing)}. MTEBModel evaluates the tasks of a "
            "repository that `hf-mel push dataset --mteb` wrote."
        )
    pictures = "image" in task_metadata.get_modalities(side) and "image" in table.column_names
    return table.select_columns([*needed, *(["image"] if pictures else [])])
