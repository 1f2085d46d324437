"""The builder behind `load_dataset("wikimel", data_dir=...)`, see [`~hf_mel.data.registered.register_datasets`].

`datasets` imports this module by its name, and takes the one builder class that is defined in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from datasets import ArrowBasedBuilder, BuilderConfig, DatasetInfo, SplitGenerator

from .sources import EMBEDDED, EmbeddedTables, ReleasedFiles, files_digest, read_source


# Into so many parts a split is cut for `num_proc` and for the workers of a `DataLoader`.
_PARTS = 16
_OPTIONS = (
    "layout",
    "captions",
    "images",
    "text",
    "seed",
    "split_by",
    "validation_share",
    "strict",
    "drop_leaked",
    "pictures",
    "check_images",
)


@dataclass
class MELConfig(BuilderConfig):
    """`load_dataset(name, config, data_dir=..., **options)`: the options of [`load_layout`].

    Args:
        layout, captions, images, text, seed, split_by, validation_share, strict, drop_leaked, pictures: as in [`load_layout`].
        check_images (`bool`, *optional*, defaults to `True`): decode every picture once.
    """

    layout: str = "auto"
    captions: str | None = None
    images: str | None = None
    text: str = "short"
    seed: int = 0
    split_by: str = "sentence"
    validation_share: float = 0.1
    strict: bool = False
    drop_leaked: bool = False
    pictures: bool = True
    check_images: bool = True

    def create_config_id(self, config_kwargs: dict, custom_features=None) -> str:
        """Part of the cache path; here with a digest of the released files, which `datasets` does not know."""
        digest = files_digest(self.data_dir, self.captions, self.images)
        config_kwargs = {key: value for key, value in config_kwargs.items() if key != "data_files"}
        return super().create_config_id({**config_kwargs, "released_files": digest}, custom_features)


class RegisteredBenchmark(ArrowBasedBuilder):
    """Converts released files; `dataset_name` says of which benchmark."""

    BUILDER_CONFIG_CLASS = MELConfig
    BUILDER_CONFIGS = [
        MELConfig(name="mentions", description="One row a mention."),
        MELConfig(name="entities", description="One row an entity of the knowledge base."),
    ]
    DEFAULT_CONFIG_NAME = "mentions"
    _source: ReleasedFiles | EmbeddedTables | None = None

    def _info(self) -> DatasetInfo:
        name = self.dataset_name
        if name == EMBEDDED and self.config.data_dir is not None:
            raise ValueError(
                f"{name!r} is part of the package: leave `data_dir` out, or load {self.config.data_dir!r}"
            )
        if name != EMBEDDED and self.config.data_dir is None:
            raise ValueError(
                f"{name!r} is read from its released files: load_dataset({name!r}, data_dir=...). A folder that was built "
                f'from them is loaded as "./{name}"'
            )
        return DatasetInfo()  # the features depend on the layout, see `_split_generators`

    def _split_generators(self, dl_manager) -> list[SplitGenerator]:
        source = self._read()
        self.info.features = source.features
        generators = []
        for split in source.splits:
            # To count the entities takes a pass over them, for which a stream should not wait.
            rows = None if dl_manager.is_streaming and self.config.name == "entities" else source.count(split)
            generators.append(SplitGenerator(split, gen_kwargs={"split": split, "parts": _parts(rows)}))
        return generators

    def _generate_tables(self, split: str, parts: list[str]) -> Iterator[tuple[int, pa.Table]]:
        # Parts that follow each other are read in one go: a stream has to be read from its beginning each time.
        start = int(parts[0].split(":")[0])
        stop = parts[-1].split(":")[1]
        yield from enumerate(self._read().tables(split, start, int(stop) if stop else None))

    def _read(self) -> ReleasedFiles | EmbeddedTables:
        if self._source is None:
            options = {name: getattr(self.config, name) for name in _OPTIONS}
            self._source = read_source(self.dataset_name, self.config.data_dir, self.config.name, options)
        return self._source

    def __getstate__(self) -> dict:
        # Other processes read for themselves: rows are much to send, and what reads them cannot be pickled.
        return {**super().__getstate__(), "_source": None}


def _parts(rows: int | None) -> list[str]:
    """`"start:stop"` of equal parts; one without an end if the rows were not counted."""
    if rows is None:
        return ["0:"]
    number = max(1, min(_PARTS, rows // 100))
    edges = [rows * part // number for part in range(number + 1)]
    return [f"{start}:{stop}" for start, stop in zip(edges, edges[1:], strict=False)]
