"""The entities of an index by row and by id: names, texts, types and encodings."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...data import UnknownEntityError
from ...data.problems import counted, listed, nearest
from ...encoding import Encodings
from ...models import MatchingModel, MELProcessor
from ...models.encodings import map_tensors, unflatten
from ...names import NameIndex
from .fingerprints import check_same
from .folder import read_alive
from .manifest import Manifest, check_files, read_manifest
from .store import Store


_TEXTS = ("id", "name", "aliases", "description", "attributes", "types", "image_status", "thumbnail")


@dataclass(frozen=True)
class IndexedEntity:
    """
    Entity as an index describes it.

    Args:
        id (`str`): Its id.
        name (`str`): Its name.
        aliases (`list[str]`): Its other names.
        text (`str`): The text that the model saw: its attributes or its description.
        description (`str`, *optional*), attributes (`str`, *optional*): Both of them.
        types (`list[str]`): Its types.
        image_status (`str`): `"ok"`, or why it has no picture; see [`IMAGE_STATUS`].
        thumbnail (`bytes`, *optional*): Its picture as a small JPEG.
    """

    id: str
    name: str
    aliases: list[str]
    text: str
    description: str | None
    attributes: str | None
    types: list[str]
    image_status: str
    thumbnail: bytes | None = field(repr=False)


class EntityLookup:
    """
    The entities of an index. A *row* is a position in the order in which they were stored.

    Args:
        folder (`Path`): The folder of the index.
        manifest ([`Manifest`]): What lies in it.
    """

    def __init__(self, folder: Path, manifest: Manifest):
        self.folder = folder
        self.name = str(folder)
        """Name under which it was opened: its folder, or its repository on the Hub."""
        self._temporary: tempfile.TemporaryDirectory | None = None
        self.reopen(manifest)

    def reopen(self, manifest: Manifest) -> None:
        """Takes a manifest as what the index is from now on."""
        check_files(self.folder, manifest)
        self.manifest = manifest
        self.alive = read_alive(self.folder, manifest)
        self.alive.flags.writeable = False
        self.store = Store(self.folder, manifest)
        for name in ("ids", "name_index", "_row_of", "_known_types"):
            self.__dict__.pop(name, None)

    def refresh(self) -> bool:
        """Takes over what another process changed in the folder; whether there was anything."""
        manifest = read_manifest(self.folder)
        if manifest == self.manifest:
            return False
        self.reopen(manifest)
        return True

    def check_model(self, model: MatchingModel | None = None, processor: MELProcessor | None = None) -> None:
        """Raises a `ValueError` that names how a model or a processor differs from those the index was made with."""
        check_same(self.manifest.model, self.manifest.processor, model, processor, self.name)

    # ---- Size and identity ----

    def __len__(self) -> int:
        return self.manifest.num_entities

    def __contains__(self, entity_id) -> bool:
        return entity_id in self._row_of

    def __repr__(self) -> str:
        numbers = "" if self.manifest.vector_name is None else f", {self.manifest.dim} numbers each"
        return f"EntityIndex({len(self):,} entities, {self.manifest.precision}{numbers})"

    @property
    def num_rows(self) -> int:
        """Stored rows, also those of removed entities."""
        return self.manifest.num_rows

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self.manifest.generation

    @cached_property
    def ids(self) -> list[str]:
        """Entity ids by row, also those of removed entities."""
        return self.store.column("id").to_pylist()

    @cached_property
    def _row_of(self) -> dict[str, int]:
        ids = self.ids
        return {ids[row]: row for row in np.flatnonzero(self.alive).tolist()}

    def row(self, entity_id: str) -> int:
        """
        The row of an entity.

        Raises:
            `UnknownEntityError`: a `KeyError` that names the id.
        """
        if entity_id not in self._row_of:
            raise UnknownEntityError(f"no entity {entity_id!r} among the {len(self):,} of this index")
        return self._row_of[entity_id]

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """
        Rows of entities, `int64`.

        Raises:
            `UnknownEntityError`: a `KeyError` that lists the unknown ids.
        """
        rows = [self._row_of.get(entity_id, -1) for entity_id in ids]
        if -1 in rows:
            unknown = dict.fromkeys(entity_id for entity_id, row in zip(ids, rows, strict=True) if row == -1)
            hint = "" if all(isinstance(each, str) for each in unknown) else ". Ids are text: put them in quotes"
            raise UnknownEntityError(f"{counted(len(unknown), 'id')} not in this index: {listed(unknown)}{hint}")
        return np.asarray(rows, dtype=np.int64)

    # ---- Columns ----

    def names(self, rows: Sequence[int] | None = None) -> list[str]:
        """Names by row, of all stored rows by default."""
        return self._column("name", rows)

    def aliases(self, rows: Sequence[int] | None = None) -> list[list[str]]:
        """Other names by row, of all stored rows by default."""
        return [aliases or [] for aliases in self._column("aliases", rows)]

    @cached_property
    def name_index(self) -> NameIndex:
        """Names of all stored rows, to be compared with mentions; made when it is first needed after a change."""
        return NameIndex(self.names(), self.aliases())

    def types(self, rows: Sequence[int] | None = None) -> list[list[str]]:
        """Types by row, of all stored rows by default."""
        return [types or [] for types in self._column("types", rows)]

    def entities(self, rows: Sequence[int]) -> list[IndexedEntity]:
        """Returns the entities of some rows. Their texts and pictures are read from the disk at this point."""
        found = []
        for record in self.store.records(np.asarray(rows, dtype=np.int64).reshape(-1), _TEXTS):
            record["aliases"], record["types"] = record["aliases"] or [], record["types"] or []
            found.append(IndexedEntity(text=record[self.manifest.text_field] or "", **record))
        return found

    def rows_of(self, types: Sequence[str] | None = None, ids: Sequence[str] | None = None) -> np.ndarray:
        """
        Returns the rows that a restriction allows.

        Args:
            types (`Sequence[str]`, *optional*):
                Entities which have any of these types.
            ids (`Sequence[str]`, *optional*):
                These entities. With `types`, those of them which have such a type.

        Returns:
            `np.ndarray` of shape `(num_rows,)` and type bool: never a removed row.

        Raises:
            `UnknownEntityError`: unknown ids, all of which are listed. `ValueError`: a type that no entity has.
        """
        allowed = self.alive.copy()
        if types is not None:
            allowed &= self._with_type([types] if isinstance(types, str) else list(types))
        if ids is not None:
            chosen = np.zeros(self.num_rows, dtype=np.bool_)
            chosen[self.rows([ids] if isinstance(ids, str) else list(ids))] = True
            allowed &= chosen
        return allowed

    def _with_type(self, types: list[str]) -> np.ndarray:
        unknown = [name for name in types if name not in self._known_types]
        if unknown:
            named = listed(f"{name!r}{nearest(name, self._known_types)}" for name in unknown)
            raise ValueError(f"no entity of this index has the type {named}")
        found = np.zeros(self.num_rows, dtype=np.bool_)
        column = self.store.column("types").combine_chunks()
        parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        hits = pc.is_in(pc.list_flatten(column), pa.array(types, pa.string())).to_numpy(zero_copy_only=False)
        found[parents[hits]] = True
        return found

    @cached_property
    def _known_types(self) -> set[str]:
        column = self.store.column("types").combine_chunks()
        return set(pc.unique(pc.list_flatten(column.filter(pa.array(self.alive)))).to_pylist())

    def _column(self, name: str, rows: Sequence[int] | None) -> list:
        column = self.store.column(name)
        return (column if rows is None else column.take(pa.array(np.asarray(rows, dtype=np.int64)))).to_pylist()

    # ---- Encodings ----

    def encodings(self, rows: Sequence[int] | np.ndarray) -> Encodings:
        """
        Stored encodings of some rows, in `float32`.

        Args:
            rows (`np.ndarray` of any shape, `int64`):
                Rows; only the pages of the files that hold them are read.

        Returns:
            `Encodings` whose tensors have the shape `(*rows.shape, ...)`: those of `model.encode` and, where they are
            stored, those of single modalities, as [`~hf_mel.encoding.encode_modalities`] returns them.
        """
        rows = np.asarray(rows, dtype=np.int64)
        taken = unflatten(self.store.take(rows.reshape(-1)))
        return map_tensors(lambda value: value.reshape(*rows.shape, *value.shape[1:]), taken)

    def blocks(self, block_rows: int = 8192, names: Sequence[str] | None = None) -> Iterator[tuple[int, Encodings]]:
        """
        All stored rows in order, also those of removed entities: the first row of a block, and its encodings in `float32`.

        Args:
            block_rows (`int`, *optional*, defaults to 8192):
                Rows in a block.
            names (`Sequence[str]`, *optional*):
                Which tensors, as in `manifest.tensors`; by default those of `model.encode`.
        """
        names = self.store.whole_names if names is None else list(names)
        for first in range(0, self.num_rows, block_rows):
            yield first, unflatten(self.store.range(first, min(first + block_rows, self.num_rows), names))
