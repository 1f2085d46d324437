"""An index of entities: built, opened, searched and changed in place."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...data import KnowledgeBase
from ...encoding import SideInputs
from ...models import MatchingModel, MELProcessor
from .building import build_index, convert_index
from .changing import IndexChange, compact, put_entities, remove_entities
from .encoder import EncodeSettings, Process, resolve_dtype
from .manifest import changed_files, read_manifest
from .search import SearchableIndex
from .source import find_index


class EntityIndex(SearchableIndex):
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
        features: SideInputs | None = None,
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
            features ([`FeatureCache`], *optional*):
                Features of frozen towers for all entities, as a training keeps them, in place of computing them again. The
                encodings are those without, up to rounding.

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
        options = {"progress": progress, "overwrite": overwrite, "process": process, "features": features}
        build_index(model, processor, kb, place, settings, precision, **options)
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

    @property
    def model_source(self) -> str | None:
        """Place of the checkpoint when the index was built, for `from_pretrained`; `None` if it was not a saved one."""
        source = self.manifest.model_source
        return str(self.folder / source) if source and (self.folder / source).is_dir() else source

    def verify(self) -> list[str]:
        """Reads all files; those whose content is not what was written."""
        return changed_files(self.folder, self.manifest)

    # ---- Changing ----

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
        convert_index(self, Path(folder), precision)
        return EntityIndex.load(folder)
