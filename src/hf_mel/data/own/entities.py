"""Tables of entities of one's own; [`~hf_mel.data.KnowledgeBase`] has the ways in."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datasets import Dataset

from .columns import ENTITIES
from .json_files import JsonLinesSource
from .reading import ReadOptions, TableReader
from .sources import RecordsSource, Source


def read_entity_table(source: Source, columns: Mapping[str, str | None] | None = None, **options) -> Dataset:
    """A table with the columns of `ENTITY_FEATURES` from a source whose columns may have other names.

    Args:
        source ([`~hf_mel.data.own.sources.Source`]): where the entities come from.
        columns (`Mapping[str, str]`, *optional*), options: those of [`~hf_mel.data.own.reading.ReadOptions`].
    """
    return TableReader(source, ENTITIES, ReadOptions(columns=columns, **options)).read()


def entities_from_records(records: Iterable[dict]) -> Dataset:
    """Dicts with the keys of `ENTITY_FEATURES`, checked, as a table in memory."""
    return TableReader(RecordsSource(records, "entity"), ENTITIES, exact=True).read(in_memory=True)


def entities_from_json_lines(path: Path, *, strict_images: bool = False) -> Dataset:
    """Objects with the keys of `ENTITY_FEATURES`, one a line, checked."""
    options = ReadOptions(strict_images=strict_images)
    return TableReader(JsonLinesSource(path), ENTITIES, options, exact=True).read()
