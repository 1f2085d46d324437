"""Sources of the registered builder, and detection of their changes."""

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
from datasets import Features

from ..emojimel import EMOJIMEL_PATH, load_emojimel
from ..images import undecoded
from ..layouts import RawBenchmark, read_layout
from ..schema import ENTITY_FEATURES, MENTION_FEATURES
from ..tables import CHUNK, PictureRule, arrow_table, chunks


EMBEDDED = "emojimel"
"""The benchmark that needs no released files."""

_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".bmp", ".tif", ".tiff")


class ReleasedFiles:
    """Tables of released files.

    Args:
        raw ([`RawBenchmark`]): what the layout reads.
        config (`str`): `"mentions"` or `"entities"`.
        check_images (`bool`): whether to decode the pictures.
    """

    def __init__(self, raw: RawBenchmark, config: str, check_images: bool):
        self._raw = raw
        self._config = config
        self._rule = PictureRule(check=check_images)
        self.splits = list(raw.mentions) if config == "mentions" else ["train"]
        extra = raw.extra_features if config == "mentions" else {}
        self.features = Features({**(MENTION_FEATURES if config == "mentions" else ENTITY_FEATURES), **extra})

    def count(self, split: str) -> int:
        """Rows of a split. Entities are counted by reading them, without their pictures."""
        return len(self._raw.mentions[split]) if self._config == "mentions" else sum(1 for _ in self._raw.entities())

    def tables(self, split: str, start: int, stop: int | None) -> Iterator[pa.Table]:
        """The rows from `start` to `stop`, a hundred at a time."""
        rows = self._raw.mentions[split] if self._config == "mentions" else self._raw.entities()
        for chunk in chunks(islice(rows, start, stop)):
            yield arrow_table(chunk, self.features, self._rule)[0]


class EmbeddedTables:
    """Tables of EmojiMEL, which are there already."""

    def __init__(self, config: str):
        data = load_emojimel()
        self._tables = data.mentions if config == "mentions" else {"train": data.entities.dataset}
        self.splits = list(self._tables)
        self.features = next(iter(self._tables.values())).features

    def count(self, split: str) -> int:
        return len(self._tables[split])

    def tables(self, split: str, start: int, stop: int | None) -> Iterator[pa.Table]:
        table = undecoded(self._tables[split])
        part = table.select(range(start, len(table) if stop is None else min(stop, len(table))))
        for batch in part.with_format("arrow").iter(CHUNK):
            yield batch.cast(self.features.arrow_schema)


def read_source(name: str, data_dir: str | None, config: str, options: dict) -> ReleasedFiles | EmbeddedTables:
    """The tables of a benchmark; `options` are `layout`, `check_images` and those of the layout."""
    if name == EMBEDDED:
        return EmbeddedTables(config)
    options = {key: value for key, value in options.items() if value is not None}
    layout, check_images = options.pop("layout"), options.pop("check_images")
    _, raw = read_layout(layout, data_dir, benchmark=name, **options)
    return ReleasedFiles(raw, config, check_images)


def files_digest(data_dir: str | None, captions: str | None = None, images: str | None = None) -> str:
    """Of name, size and time of all files that a layout may read, without reading any.

    Pictures are not looked at one by one, there can be 100,000: a folder's own time tells that one was added, removed or
    renamed. What it does not tell is that one was edited in place.
    """
    if data_dir is None:
        roots = [EMOJIMEL_PATH]
    else:
        # MELBench's captions lie beside the folder of a layout that needs them.
        roots = [Path(data_dir), Path(data_dir).absolute().parent / "melbench"]
    roots += [Path(place) for place in (captions, images) if place is not None]
    found = sorted(mark for root in roots for mark in _marks(root.absolute(), depth=2))
    return hashlib.sha256(json.dumps(found).encode("utf-8", "surrogatepass")).hexdigest()


def _marks(path: Path, depth: int) -> Iterator[tuple[str, int, int]]:
    try:
        state = path.stat()
    except OSError:
        return  # if it is needed, reading it will say so
    yield str(path), state.st_size, state.st_mtime_ns
    if depth == 0 or not path.is_dir():
        return
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.lower().endswith(_PICTURES):
                yield from _marks(Path(entry.path), depth - 1)
