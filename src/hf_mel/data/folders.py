"""A folder that a build wrote, read as it is now."""

import os
from pathlib import Path

from datasets import Dataset, DatasetDict
from huggingface_hub import DatasetCard

from ..compat.datasets import data_files, read_configs
from .problems import Problems


CARD_FILE = "README.md"


def is_built(path: str | os.PathLike) -> bool:
    """Returns `True` if a folder is one that a build writes: a card, and Parquet of entities; one may lack mentions."""
    path = Path(path)
    return (path / CARD_FILE).is_file() and any((path / "entities").glob("*.parquet"))


def read_folder(path: str | os.PathLike, **options) -> tuple[DatasetDict, Dataset]:
    """Mentions by split (none if the folder has no such config) and entities, memory-mapped.

    `load_dataset(path)` keeps what it has read under the folder's name and the front matter of its card, and does not
    notice other Parquet files. Here place and time of each file count.

    Args:
        path (`str` or `os.PathLike`): the folder, with a card which names the files of each split.
        options: those of `datasets.DatasetDict.from_parquet`, such as `cache_dir` or `num_proc`.

    Raises:
        `ValueError`: the card names no entities, or another number of rows than the files hold.
        `FileNotFoundError`: there are no files of a split.
    """
    path = Path(path).absolute()
    configs, infos = read_configs(DatasetCard.load(path / CARD_FILE).data)
    if "entities" not in configs:
        raise ValueError(f"{path / CARD_FILE} names no config `entities`: it must say which files hold them")
    problems = Problems(str(path), "A file is missing or was replaced: fetch or build the folder again.")
    tables = {}
    for config in ("mentions", "entities"):
        files = data_files(configs[config], path) if config in configs else {}
        tables[config] = DatasetDict.from_parquet(files, **options) if files else DatasetDict()
        recorded = infos[config].splits if config in infos else None
        for split, number in tables[config].num_rows.items():
            if recorded and split in recorded and recorded[split].num_examples != number:
                problems.add(
                    f"{config}, split {split!r}", f"{number:,} rows; the card says {recorded[split].num_examples:,}"
                )
    problems.raise_if_any()
    return tables["mentions"], tables["entities"]["train"]
