"""An index of entities: their encodings, names and pictures in a folder, searched from a memory map."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ...data import KnowledgeBase
from ...encoding import Encoded
from ...models import MatchingModel, MELProcessor
from .backends import SearchBackend, get_backend
from .building import build_index, convert_index
from .changing import IndexChange, compact, put_entities, remove_entities
from .encoder import EncodeSettings, Process, resolve_dtype
from .fingerprints import check_same
from .lookup import EntityLookup
from .manifest import Manifest, changed_files, read_manifest
from .searching import search_index
from .source import find_index


class EntityIndex(EntityLookup):
    """
    Encoded entities in a folder. Vectors are read from a memory map, so that a large index opens at once and several
    processes share its memory.

    A *row* is a position in the order in which entities were stored, from 0 to `num_rows - 1`. Rows of removed entities
    stay until [`~EntityIndex.compact`]; they are never found.

    Use [`EntityIndex.build`] and [`EntityIndex.load`].

    Example:

    ```python
    >>> from hf_mel import PGMELConfig, PGMELModel, MELProcessor, make_miniature, make_miniature_tokenizer
    >>> from hf_mel.linking.index import EntityIndex

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> model = PGMELModel(PGMELConfig(text_config=tower))
    >>> _ = EntityIndex.build(model, processor, kb, "entities.index", precision="float16")
    >>> index = EntityIndex.load("entities.index", model, processor)
    >>> index
    EntityIndex(10 entities, float16, 256 numbers each)
    >>> scores, rows = index.search(index.encodings([3, 5]), k=4)
    >>> rows.shape
    (2, 4)
    >>> index.remove([kb.ids[3]])
    IndexChange(added=0, replaced=0, unchanged=0, removed=1)
    >>> kb.ids[3] in index, len(index), index.num_rows
    (False, 9, 10)
    ```
    """

    def __init__(self, folder: Path, manifest: Manifest):
        super().__init__(folder, manifest)
        self.name = str(folder)
        """What it was opened by: its folder, or its repository on the Hub."""
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._backends: dict[str, SearchBackend] = {}

    # ---- Making and opening one ----

    @classmethod
    def build(
        cls,
        model: MatchingModel,
        processor: MELProcessor,
        kb: KnowledgeBase,
        folder: str | Path | None = None,
        *,
        precision: str = "float32",
        encode_dtype: str = "auto",
        modalities: bool = True,
        thumbnail_size: int = 96,
        batch_size: int = 64,
        shard_rows: int = 8192,
        progress: bool = False,
        overwrite: bool = False,
        process: Process | None = None,
    ) -> "EntityIndex":
        """
        Encodes a knowledge base.

        A build that was interrupted, even by `kill -9`, goes on where it was when it is begun again, and gives the same
        bytes as one that was not. A build that ended before is not done again.

        Args:
            model ([`MatchingModel`]):
                Encodes the entities, on the device where it is.
            processor ([`MELProcessor`]):
                Its processor.
            kb ([`KnowledgeBase`]):
                The entities.
            folder (`str` or `Path`, *optional*):
                A folder that is new, empty, or holds this build unfinished. By default a temporary one, which goes when
                the index does.
            precision (`str`, *optional*, defaults to `"float32"`):
                How vectors are stored: `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`. What a smaller one costs is
                measured and kept in `manifest.recall`; of a model whose score is no dot product, what a search in two stages
                finds is kept in `manifest.proposals`.
            encode_dtype (`str`, *optional*, defaults to `"auto"`):
                In what the towers compute: `"float32"`, `"bfloat16"`, or the latter where the hardware has it.
            modalities (`bool`, *optional*, defaults to `True`):
                Also store encodings of text alone and of image alone, which explanations need. A text-only model has none.
            thumbnail_size (`int`, *optional*, defaults to 96):
                Longest side of the pictures that are kept to be shown; 0 keeps none.
            batch_size (`int`, *optional*, defaults to 64):
                Entities encoded at once.
            shard_rows (`int`, *optional*, defaults to 8192):
                Entities in a file: what an interruption can cost.
            progress (`bool`, *optional*, defaults to `False`):
                Show a progress bar.
            overwrite (`bool`, *optional*, defaults to `False`):
                Replace an index that is in the folder. It stays whole until the new one is.
            process (`accelerate.PartialState`, *optional*):
                Share the work with the other processes of a `torch.distributed.run`, all of which have to call this. The
                result is the same to the byte.

        Raises:
            `ValueError`: an argument that makes no sense, no entities, a folder with other files or another index, a model
                that gives NaN.
            `TimeoutError`: another process writes into the folder.
        """
        if folder is None and process is not None and process.num_processes > 1:
            raise ValueError("several processes need a folder that all of them see: pass `folder`")
        temporary = tempfile.TemporaryDirectory(prefix="hf-mel-index-") if folder is None else None
        place = Path(temporary.name if folder is None else folder)
        settings = EncodeSettings(
            resolve_dtype(encode_dtype, model), modalities, thumbnail_size, batch_size, shard_rows
        )
        options = {"progress": progress, "overwrite": overwrite, "process": process}
        build_index(model, processor, kb, place, settings, precision, cls, **options)
        index = cls.load(place)
        index._temporary = temporary
        return index

    @classmethod
    def load(
        cls,
        source: str | Path,
        model: MatchingModel | None = None,
        processor: MELProcessor | None = None,
        *,
        revision: str | None = None,
    ) -> "EntityIndex":
        """
        Opens an index.

        Args:
            source (`str` or `Path`):
                Its folder, or its dataset repository on the Hub, such as `"org/wikidata-index"`. What the cache lacks of
                a repository is fetched, so that it can be opened without the Hub the next time. A fetched index is only
                read: it cannot be changed.
            model ([`MatchingModel`], *optional*), processor ([`MELProcessor`], *optional*):
                What it is to be used with: checked against what it was made with.
            revision (`str`, *optional*):
                A branch, tag or commit on the Hub; by default `main`.

        Raises:
            `FileNotFoundError`: no such folder, and no such repository.
            `ValueError`: no index, one of a later version, a damaged file (it is named), or another model or processor
                (the difference is named).
            `OSError`: the Hub could not be reached, or what arrived is damaged.
        """
        folder = find_index(source, revision)
        index = cls(folder, read_manifest(folder))
        index.name = str(source)
        index.check_model(model, processor)
        return index

    def check_model(self, model: MatchingModel | None = None, processor: MELProcessor | None = None) -> None:
        """Raises a `ValueError` that names how a model or a processor differs from those the index was made with."""
        check_same(self.manifest.model, self.manifest.processor, model, processor, self.name)

    @property
    def model_source(self) -> str | None:
        """Where the checkpoint was when the index was built, for `from_pretrained`; `None` if it was no saved one."""
        source = self.manifest.model_source
        return str(self.folder / source) if source and (self.folder / source).is_dir() else source

    def verify(self) -> list[str]:
        """Reads all files; those whose content is not what was written."""
        return changed_files(self.folder, self.manifest)

    # ---- Encodings ----

    def encodings(self, rows: Sequence[int] | np.ndarray) -> Encoded:
        """
        Stored encodings of some rows, in `float32`.

        Args:
            rows (`np.ndarray` of any shape, `int64`):
                Rows; only the pages of the files that hold them are read.

        Returns:
            `dict[str, torch.Tensor]`, each of shape `(*rows.shape, ...)`: the tensors of `model.encode`, and, where they
            are stored, those of single modalities, whose names begin with `text.` and `image.`.
        """
        rows = np.asarray(rows, dtype=np.int64)
        taken = self.store.take(rows.reshape(-1))
        return {name: value.reshape(*rows.shape, *value.shape[1:]) for name, value in taken.items()}

    def blocks(self, block_rows: int = 8192, names: Sequence[str] | None = None) -> Iterator[tuple[int, Encoded]]:
        """
        All stored rows in order, also those of removed entities: the first row of a block, and its encodings in `float32`.

        Args:
            block_rows (`int`, *optional*, defaults to 8192):
                Rows in a block.
            names (`Sequence[str]`, *optional*):
                Which tensors; by default those of `model.encode`.
        """
        names = [name for name in self.manifest.tensors if "." not in name] if names is None else list(names)
        for first in range(0, self.num_rows, block_rows):
            yield first, self.store.range(first, min(first + block_rows, self.num_rows), names)

    # ---- Searching ----

    def search(
        self,
        queries: Encoded | torch.Tensor,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        match: Callable[[Encoded, Encoded], torch.Tensor] | None = None,
        backend: str | SearchBackend | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        The best entities of each query.

        Args:
            queries (`torch.Tensor` of shape `(num_queries, dim)`, or `dict[str, torch.Tensor]`):
                Vectors, or what `model.encode` or [`~hf_mel.encoding.encode_modalities`] gave for mentions.
            k (`int`):
                Entities for each query.
            allowed (`np.ndarray` of shape `(num_rows,)`, bool, *optional*):
                Rows to choose from, such as [`~EntityIndex.rows_of`] gives.
            match (`Callable`, *optional*):
                `model.match`, for a model whose score is no dot product; for others it is not needed and not used.
            backend (`str` or [`SearchBackend`], *optional*, defaults to `"exact"`):
                Who searches. What another backend than the exact one proposes is scored with what is stored, so that
                scores do not depend on it. How many rows it proposes is its option `num_proposals`, see [`get_backend`].

        Returns:
            `tuple[np.ndarray, np.ndarray]`, both of shape `(num_queries, k')`: scores (`float32`), best first, and rows
            (`int64`). Equal scores: the lower row first. `k'` is `k`, or the number of rows to choose from if that is
            smaller; where a backend found fewer, the rest is `-inf` and -1.

        Raises:
            `ValueError`: `k` below 1, a mask of another shape, a NaN in a query, or a model that needs `match`.
        """
        if backend is None or isinstance(backend, str):
            backend = self._backend(backend or "exact", match)
        elif backend.exact and self.manifest.vector_name is None and match is not None:
            backend = self._backend("exact", match)
        return search_index(self, backend, queries, k, allowed, match)

    def _backend(self, name: str, match: Callable | None) -> SearchBackend:
        if name == "exact":  # holds a match function, which may be another the next time
            known = self._backends.get(name)
            if known is None or (self.manifest.vector_name is None and known.match != match):
                self._backends[name] = get_backend(name, self, match=match)
        elif name not in self._backends:
            self._backends[name] = get_backend(name, self)
        return self._backends[name]

    # ---- Changing ----

    def refresh(self) -> bool:
        """Takes over what another process changed in the folder; whether there was anything."""
        manifest = read_manifest(self.folder)
        if manifest == self.manifest:
            return False
        self.reopen(manifest)
        return True

    def add(
        self, model: MatchingModel, processor: MELProcessor, kb: KnowledgeBase, *, progress: bool = False
    ) -> IndexChange:
        """
        Adds entities; the others are not encoded again.

        It is all or nothing: after an interruption, even by `kill -9`, the index is what it was, and the same call again
        goes on where this one was. Entities that are there already with the same content are left alone, so that a call
        whose end is not known can be repeated.

        Args:
            model ([`MatchingModel`]), processor ([`MELProcessor`]):
                Those that the index was made with.
            kb ([`KnowledgeBase`]):
                The entities, described by the same `text_field` as those of the index.
            progress (`bool`, *optional*, defaults to `False`):
                Show a progress bar.

        Raises:
            `ValueError`: another model or processor (the difference is named), another `text_field`, or entities that are
                there with another content.
            `TimeoutError`: another process writes into the folder.
        """
        return put_entities(self, model, processor, kb, replace_known=False, add_missing=True, progress=progress)

    def update(
        self,
        model: MatchingModel,
        processor: MELProcessor,
        kb: KnowledgeBase,
        add_missing: bool = False,
        *,
        progress: bool = False,
    ) -> IndexChange:
        """
        Replaces entities by others with their ids, in one step. Otherwise as [`~EntityIndex.add`].

        Args:
            add_missing (`bool`, *optional*, defaults to `False`):
                Add those which are not there, in place of an error.

        Raises:
            `UnknownEntityError`: entities which are not there.
        """
        return put_entities(self, model, processor, kb, replace_known=True, add_missing=add_missing, progress=progress)

    def remove(self, ids: Sequence[str], *, missing_ok: bool = False) -> IndexChange:
        """
        Takes entities out. Their rows stay, never to be found, until [`~EntityIndex.compact`].

        Args:
            ids (`Sequence[str]`):
                Which.
            missing_ok (`bool`, *optional*, defaults to `False`):
                Pass over ids that are not there, in place of an error.

        Raises:
            `UnknownEntityError`: ids that are not there, all of which are listed; nothing is removed then.
        """
        return remove_entities(self, [ids] if isinstance(ids, str) else list(ids), missing_ok)

    def compact(self) -> None:
        """Writes the entities into new files without the rows of removed ones; rows get other numbers."""
        compact(self)

    def convert(self, folder: str | Path, precision: str) -> "EntityIndex":
        """
        A copy of this index in another precision, with the same rows; nothing is encoded again.

        Args:
            folder (`str` or `Path`):
                A new or empty folder.
            precision (`str`):
                `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`.

        Raises:
            `ValueError`: this index is not in `float32`, or the folder is not empty.
        """
        convert_index(self, Path(folder), precision, EntityIndex)
        return EntityIndex.load(folder)
