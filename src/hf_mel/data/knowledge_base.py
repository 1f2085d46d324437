"""The entities that a mention can be linked to."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from PIL import Image

from .fingerprint import content_fingerprint
from .images import undecoded, usable_images
from .knowledge_base_files import complete_entities, read_entities, write_entities
from .own.entities import entities_from_records, read_entity_table
from .own.sources import CsvSource, DatasetSource, ParquetSource, existing, open_folder, open_json
from .problems import Problems, counted, listed


TEXT_FIELDS = ("attributes", "description")

# "Sex: male. Birth: 1900, Erie." An item starts the text or follows a full stop, so that "St. John: a life" stays whole.
# Letters of all scripts, and the number of a property of Wikidata that has no label.
_ATTRIBUTE_KEY = re.compile(r"(?:^|(?<=\. ))([^\W\d_a-z](?:[^\W\d_]| )*|P\d+): ")


class UnknownEntityError(KeyError):
    """An entity id that the knowledge base does not hold."""

    def __str__(self) -> str:  # KeyError shows the repr of its message
        return str(self.args[0])


class KnowledgeBase:
    """Entities with lookup by id, their texts as columns and their pictures on demand.

    The table stays in Arrow, memory-mapped where it came from a Parquet file; a picture is decoded only by
    [`~KnowledgeBase.images`]. A row is a position in the table, from 0 to `len(kb) - 1`.

    Args:
        dataset (`datasets.Dataset`): the entities. `id` and `name` are needed; other columns of `ENTITY_FEATURES`
            that are missing are filled with nulls.
        text_field (`str`, *optional*, defaults to `"auto"`): which text describes an entity: `"attributes"`,
            `"description"`, or `"auto"`: attributes if any entity has them, else the description. Published numbers
            differ by this choice alone, so it belongs beside every result.
        same_entity (`Iterable[Iterable[str]]`, *optional*): sets of ids that name one entity, in addition to what
            [`~KnowledgeBase.identity`] finds.

    Raises:
        `ValueError`: a missing or unknown column, an id that is empty or used twice, an entity without a name; all
            problems are listed, with the record number (from 1).

    Example:

    ```python
    >>> from hf_mel.data import KnowledgeBase

    >>> kb = KnowledgeBase.from_records(
    ...     [
    ...         {"id": "Q7259", "name": "Ada Lovelace", "attributes": "Occupation: mathematician, poet."},
    ...         {"id": "Q457280", "name": "Linda Lovelace", "attributes": "Occupation: actor."},
    ...     ]
    ... )
    >>> kb
    KnowledgeBase(2 entities, text_field='attributes', 0 with a picture)
    >>> kb.row("Q457280"), "Q1" in kb
    (1, False)
    >>> kb.names([1, 0])
    ['Linda Lovelace', 'Ada Lovelace']
    >>> sorted(kb.attribute_sets([0])[0])
    ['Occupation: mathematician', 'Occupation: poet']
    ```
    """

    def __init__(self, dataset: Dataset, text_field: str = "auto", same_entity: Iterable[Iterable[str]] = ()):
        self.dataset = complete_entities(dataset)
        self.ids: list[str] = self._column("id").to_pylist()
        self._names = self._column("name")
        _check_names(self.ids, self._names.to_pylist())
        self._row_of = {entity_id: row for row, entity_id in enumerate(self.ids)}
        self._same_entity = [self.rows(sorted(set(ids))) for ids in same_entity]
        self.text_field = self._choose_text_field(text_field)
        self._texts = pc.fill_null(self._column(self.text_field), "")
        self.image_count = int(pc.sum(pc.equal(self._column("image_status"), "ok")).as_py() or 0)
        self._undecoded = undecoded(self.dataset)
        self._pictures = self._undecoded.select_columns(["id", "image"]).with_format("arrow")

    # ---- Making, reading and writing one ----

    @classmethod
    def from_records(cls, records: Iterable[dict], **kwargs) -> "KnowledgeBase":
        """A knowledge base from dicts with the keys of `ENTITY_FEATURES`; `id` and `name` are enough.

        `image` may be a path, encoded `{"bytes", "path"}` or a `PIL.Image.Image`. `kwargs` go to the constructor.

        Raises:
            `ValueError`: lists every record with an unknown key, a wrong type, no id or no name.
        """
        return cls(entities_from_records(records), **kwargs)

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, strict_images: bool = False, cache_dir: str | None = None, **kwargs
    ) -> "KnowledgeBase":
        """Reads a folder of Parquet files, one Parquet file, or JSON lines.

        Args:
            path (`str` or `os.PathLike`): a folder, a `.parquet` or a `.jsonl` file. In JSON lines, `image` is a
                path relative to the file's folder.
            strict_images (`bool`, *optional*, defaults to `False`): raise where JSON lines name a picture that is
                not there; otherwise such an entity gets the status `missing_file` and the log says how many did.
            cache_dir (`str`, *optional*): where `datasets` keeps the memory-mapped form of Parquet files; its usual
                cache by default.
            kwargs: `text_field` and `same_entity` of the constructor.

        Raises:
            `FileNotFoundError`: nothing at `path`, a folder without Parquet files, or (strict) a missing picture.
            `ValueError`: an unknown suffix, column or field, a missing one, a line that is not JSON, or bad
                entities; all problems of the file are listed.
        """
        return cls(read_entities(path, strict_images=strict_images, cache_dir=cache_dir), **kwargs)

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike,
        columns: Mapping[str, str | None] | None = None,
        *,
        delimiter: str | None = None,
        text_field: str = "auto",
        same_entity: Iterable[Iterable[str]] = (),
        **options,
    ) -> "KnowledgeBase":
        """Reads a table of one's own from CSV in UTF-8, with a header; columns may have other names.

        The table goes to a temporary file a batch at a time, so that memory stays small; `save` keeps it.

        Args:
            path (`str` or `os.PathLike`): the file.
            columns (`Mapping[str, str]`, *optional*): the column of a field, such as `{"id": "sku", "name": "label"}`.
                By default columns are found by the name of the field, whatever its case, or by a usual synonym, which
                the log tells. `None` for a column leaves a field out.
            delimiter (`str`, *optional*): what separates cells; a tab in `.tsv` and a comma elsewhere by default.
            text_field (`str`, *optional*, defaults to `"auto"`), same_entity (`Iterable[Iterable[str]]`, *optional*):
                those of the constructor.
            options: `list_separator`, `images`, `fetch_urls`, `check_images`, `strict_images` and `strict_columns` of
                [`~hf_mel.data.own.reading.ReadOptions`].

        Raises:
            `ValueError`: lists everything that is wrong, with file, line and field.
            `FileNotFoundError`: no such file, or (`strict_images`) no such pictures.

        Example:

        ```python
        >>> from pathlib import Path
        >>> from hf_mel.data import KnowledgeBase

        >>> _ = Path("products.csv").write_text("sku,Name,aliases\\nA-1,Kettle,pot|boiler\\nA-2,Lamp,\\n")
        >>> kb = KnowledgeBase.from_csv("products.csv", columns={"id": "sku"})
        >>> kb.ids, kb.aliases()
        (['A-1', 'A-2'], [['pot', 'boiler'], []])
        ```
        """
        source = CsvSource(existing(path, "entities"), delimiter)
        return cls(read_entity_table(source, columns, **options), text_field, same_entity)

    @classmethod
    def from_jsonl(
        cls, path: str | os.PathLike, columns: Mapping[str, str | None] | None = None, *,
        text_field: str = "auto", same_entity: Iterable[Iterable[str]] = (), **options,
    ) -> "KnowledgeBase":  # fmt: skip
        """Reads a table of one's own from JSON: an object a line, or an array of objects. Arguments and errors as in `from_csv`."""
        source = open_json(existing(path, "entities"))
        return cls(read_entity_table(source, columns, **options), text_field, same_entity)

    @classmethod
    def from_parquet(
        cls, path: str | os.PathLike, columns: Mapping[str, str | None] | None = None, *,
        text_field: str = "auto", same_entity: Iterable[Iterable[str]] = (), **options,
    ) -> "KnowledgeBase":  # fmt: skip
        """Reads a Parquet file of one's own; pictures may be bytes in it. Arguments and errors as in `from_csv`."""
        source = ParquetSource(existing(path, "entities"))
        return cls(read_entity_table(source, columns, **options), text_field, same_entity)

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, columns: Mapping[str, str | None] | None = None, *,
        text_field: str = "auto", same_entity: Iterable[Iterable[str]] = (), **options,
    ) -> "KnowledgeBase":  # fmt: skip
        """Takes a `Dataset` whose columns have other names or other types. Arguments and errors as in `from_csv`.

        Pictures are copied into the temporary file. A table which has the columns of `ENTITY_FEATURES` already goes to
        the constructor, which copies nothing.
        """
        source = DatasetSource(dataset, "entities")
        return cls(read_entity_table(source, columns, **options), text_field, same_entity)

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike, columns: Mapping[str, str | None] | None = None, *,
        text_field: str = "auto", same_entity: Iterable[Iterable[str]] = (), **options,
    ) -> "KnowledgeBase":  # fmt: skip
        """Reads a folder of pictures with `metadata.csv`, `.jsonl` or `.parquet`, as the `imagefolder` of `datasets`.

        The table names each picture in `file_name`. Without a table each picture is an entity, whose name is the name
        of the file without suffix, and whose id is its path in the folder. Arguments and errors as in `from_csv`.
        """
        source = open_folder(folder, "entities")
        return cls(read_entity_table(source, columns, **options), text_field, same_entity)

    def with_text_field(self, text_field: str) -> "KnowledgeBase":
        """The same entities, described by another of their texts."""
        same = [[self.ids[row] for row in rows] for rows in self._same_entity]
        return KnowledgeBase(self.dataset, text_field, same)

    def save(self, path: str | os.PathLike, *, max_shard_bytes: int = 500_000_000) -> list[str]:
        """Writes Parquet with the pictures inside, so that the result needs no other file.

        Args:
            path (`str` or `os.PathLike`): a file ending in `.parquet`, or a folder for several shards.
            max_shard_bytes (`int`, *optional*, defaults to 500,000,000): when a folder gets its next shard.

        Returns:
            `list[str]`: the files written.
        """
        return write_entities(self._undecoded, path, max_shard_bytes=max_shard_bytes)

    # ---- Looking up ----

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, entity_id) -> bool:
        return entity_id in self._row_of

    def __getitem__(self, row: int) -> dict:
        """One record; its picture stays undecoded, as `{"bytes", "path"}` or `None`."""
        return self._undecoded[self._checked([row])[0]]

    def __repr__(self) -> str:
        return f"KnowledgeBase({len(self):,} entities, text_field={self.text_field!r}, {self.image_count:,} with a picture)"

    def row(self, entity_id: str) -> int:
        """The row of one entity id.

        Raises:
            `UnknownEntityError`: a `KeyError` that names the id.
        """
        try:
            return self._row_of[entity_id]
        except KeyError:
            raise UnknownEntityError(
                f"no entity {entity_id!r} among the {len(self):,} of this knowledge base"
            ) from None

    def rows(self, ids: Sequence[str | None]) -> np.ndarray:
        """Rows of many ids as `int64`; `None` (NIL) becomes -1.

        Raises:
            `UnknownEntityError`: a `KeyError` that lists the unknown ids.
        """
        rows = [-1 if entity_id is None else self._row_of.get(entity_id, -2) for entity_id in ids]
        if -2 in rows:
            unknown = dict.fromkeys(entity_id for entity_id, row in zip(ids, rows, strict=True) if row == -2)
            raise UnknownEntityError(f"{counted(len(unknown), 'id')} not in this knowledge base: {listed(unknown)}")
        return np.asarray(rows, dtype=np.int64)

    # ---- Columns ----

    def names(self, rows: Sequence[int] | None = None) -> list[str]:
        """Names of the given rows, of all entities by default."""
        return self._taken(self._names, rows)

    def texts(self, rows: Sequence[int] | None = None) -> list[str]:
        """The describing text (`text_field`) of the given rows, of all by default; empty where there is none."""
        return self._taken(self._texts, rows)

    def aliases(self, rows: Sequence[int] | None = None) -> list[list[str]]:
        """Other names of the given rows, of all entities by default; an empty list where there are none."""
        return [aliases or [] for aliases in self._taken(self._column("aliases"), rows)]

    def attribute_sets(self, rows: Sequence[int] | None = None) -> list[frozenset[str]]:
        """Attributes as sets of `"Key: value"`, a multi-valued attribute split at its commas.

        `"Birth: 1900, Erie. Occupation: lawyer."` gives `{"Birth: 1900", "Birth: Erie", "Occupation: lawyer"}`.
        """
        return [_attribute_set(text or "") for text in self._taken(self._column("attributes"), rows)]

    def images(self, rows: Sequence[int] | None = None, *, strict: bool = False) -> list[Image.Image | None]:
        """Pictures of the given rows, decoded now; `None` where an entity has no usable one.

        Args:
            rows (`Sequence[int]`, *optional*): which rows. All of a large knowledge base need a lot of memory.
            strict (`bool`, *optional*, defaults to `False`): raise for a broken picture, naming entity and file.
        """
        table = self._pictures[:] if rows is None else self._pictures[self._checked(rows)]
        pairs = zip(table.column("id").to_pylist(), table.column("image").to_pylist(), strict=True)
        return usable_images(pairs, strict=strict)

    @property
    def has_images(self) -> bool:
        """`True` if any entity has a picture."""
        return self.image_count > 0

    # ---- Identity ----

    @cached_property
    def identity(self) -> np.ndarray:
        """`int64` of shape `[len(kb)]`: rows that are the same entity share a number (the first such row).

        The same are: entities whose name and text are equal but for case, width and spacing, and the caller's
        `same_entity` sets. They are never negatives of each other.
        """
        parent = np.arange(len(self), dtype=np.int64)

        def root(row: int) -> int:
            while parent[row] != row:
                parent[row] = parent[parent[row]]
                row = parent[row]
            return int(row)

        first: dict[tuple[str, str], int] = {}
        for row, key in enumerate(zip(map(_normalised, self.names()), map(_normalised, self.texts()), strict=True)):
            parent[row] = first.setdefault(key, row)
        for rows in self._same_entity:
            roots = [root(row) for row in rows]
            parent[roots] = min(roots, default=0)
        return np.asarray([root(row) for row in range(len(self))], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all values and of `text_field`; see [`~hf_mel.data.content_fingerprint`] for how pictures count."""
        return content_fingerprint(self.dataset, text_field=self.text_field)

    # ---- Inside ----

    def _column(self, name: str) -> pa.Array:
        return self.dataset.select_columns([name]).with_format("arrow")[:].column(name).combine_chunks()

    def _checked(self, rows: Sequence[int]) -> list[int]:
        rows = [int(row) for row in rows]
        wrong = [row for row in rows if not 0 <= row < len(self)]
        if wrong:
            raise IndexError(f"rows {listed(wrong)} are outside 0..{len(self) - 1} (NIL, -1, has no row)")
        return rows

    def _taken(self, column: pa.Array, rows: Sequence[int] | None) -> list:
        return (
            column.to_pylist() if rows is None else column.take(pa.array(self._checked(rows), pa.int64())).to_pylist()
        )

    def _choose_text_field(self, text_field: str) -> str:
        if text_field not in ("auto", *TEXT_FIELDS):
            raise ValueError(f"text_field={text_field!r}: use 'auto', 'attributes' or 'description'")
        filled = {name: pc.any(pc.greater(pc.utf8_length(self._column(name)), 0)).as_py() for name in TEXT_FIELDS}
        if text_field == "auto":
            return "attributes" if filled["attributes"] else "description"
        other = TEXT_FIELDS[1 - TEXT_FIELDS.index(text_field)]
        if filled[other] and not filled[text_field]:
            raise ValueError(f"text_field={text_field!r}, but no entity has {text_field}; all have only the {other}")
        return text_field


def _check_names(ids: list[str | None], names: list[str | None]) -> None:
    problems = Problems(
        f"knowledge base of {len(ids):,} entities",
        "Give each entity an id of its own and a name (records count from 1).",
    )
    first: dict[str, int] = {}
    for number, (entity_id, name) in enumerate(zip(ids, names, strict=True), start=1):
        if not (entity_id or "").strip():
            problems.add(f"record {number}", "`id` is empty")
        elif first.setdefault(entity_id, number) != number:
            problems.add(f"record {number}", f"`id` {entity_id!r} is already that of record {first[entity_id]}")
        if not (name or "").strip():
            problems.add(f"record {number}", f"`name` of entity {entity_id!r} is empty")
    problems.raise_if_any()


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _attribute_set(text: str) -> frozenset[str]:
    parts = _ATTRIBUTE_KEY.split(text)
    items = set()
    for key, values in zip(parts[1::2], parts[2::2], strict=True):
        values = values.strip().removesuffix(".")
        items.update(f"{key}: {value.strip()}" for value in values.split(", ") if value.strip())
    return frozenset(items)
