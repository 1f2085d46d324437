"""A knowledge base from whatever a user names."""

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .knowledge_base import KnowledgeBase
from .layouts import LAYOUTS, load_layout
from .load import EMBEDDED
from .own.entities import read_entity_table
from .own.sources import METADATA, open_source
from .problems import listed, nearest
from .schema import ENTITY_FEATURES


def open_knowledge_base(
    source: str | os.PathLike,
    columns: Mapping[str, str | None] | None = None,
    *,
    delimiter: str | None = None,
    text_field: str = "auto",
    **options,
) -> KnowledgeBase:
    """
    Opens the entities that `source` stands for.

    Args:
        source (`str` or `os.PathLike`):
            `"emojimel"` or `"miniature"`; a `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet` or `.xlsx` file; a folder that
            [`KnowledgeBase.save`] or `hf-mel data build` wrote; a folder of pictures with `metadata.csv`, `.jsonl` or
            `.parquet`, or of pictures alone; or a folder with the released files of a benchmark.
        columns (`Mapping[str, str]`, *optional*), delimiter (`str`, *optional*):
            Of a table of one's own, as in [`KnowledgeBase.from_csv`].
        text_field (`str`, *optional*, defaults to `"auto"`):
            Which text describes an entity: `"attributes"`, `"description"`, or attributes if any entity has them.
        options:
            For a table of one's own, further arguments of [`KnowledgeBase.from_csv`], such as `images`.

    Raises:
        `FileNotFoundError`: nothing is there. `ValueError`: no known kind of file, or bad entities, all listed.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel.data import open_knowledge_base

    >>> open_knowledge_base("miniature")
    KnowledgeBase(160 entities, text_field='attributes', 160 with a picture)
    >>> _ = Path("products.csv").write_text("id,name\\nA-1,Kettle\\n")
    >>> open_knowledge_base("products.csv").names()
    ['Kettle']
    ```
    """
    if isinstance(source, str) and source in EMBEDDED:
        return _with_text_field(EMBEDDED[source]().entities, text_field)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(
            f"no knowledge base {source}{nearest(str(source), EMBEDDED)}: name a file, a folder, or one of "
            f"{listed(sorted(EMBEDDED))}"
        )
    if not columns and not options and _is_complete(path):
        return KnowledgeBase.load(path, text_field=text_field)
    if path.is_dir() and not any((path / name).is_file() for name in METADATA):
        fitting = [name for name, layout in LAYOUTS.items() if layout.fits(path)]
        if fitting:
            return _with_text_field(load_layout(fitting[0], path).entities, text_field)
    table = read_entity_table(open_source(source, "entities", delimiter=delimiter), columns, **options)
    return KnowledgeBase(table, text_field)


def _is_complete(path: Path) -> bool:
    """Returns `True` for Parquet with the columns of entities, which is mapped and not copied."""
    if path.is_dir():
        if any((path / name).is_file() for name in METADATA):
            return False
        return any(path.glob("*.parquet")) or any(path.glob("entities/*.parquet"))
    if path.suffix != ".parquet":
        return False
    try:
        names = set(pq.read_schema(path).names)
    except pa.ArrowInvalid:
        return False  # the reader says what is wrong
    return {"id", "name"} <= names <= set(ENTITY_FEATURES)


def _with_text_field(knowledge_base: KnowledgeBase, text_field: str) -> KnowledgeBase:
    if text_field in ("auto", knowledge_base.text_field):
        return knowledge_base
    return KnowledgeBase(knowledge_base.dataset, text_field)
