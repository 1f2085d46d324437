"""Private parts of `datasets`: the description of Parquet files in a card, and the builder of a data set by name."""

import importlib
import os

from datasets import DatasetInfo, load, packaged_modules
from datasets.data_files import DataFilesDict, sanitize_patterns
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData


def add_configs(data: DatasetCardData, infos: dict[str, DatasetInfo], default: str) -> None:
    """Writes the fields `configs` and `dataset_info` of a card, as `push_to_hub` would.

    Args:
        data (`DatasetCardData`): gets the fields.
        infos (`dict[str, DatasetInfo]`): by config, with description, features, splits and sizes; without sizes, only the
            files are told. Those of a split are `<config>/<split>-*`.
        default (`str`): the config that is loaded if none is named.
    """
    configs = {
        name: {
            **({"description": info.description} if info.description else {}),
            "data_files": [{"split": split, "path": f"{name}/{split}-*"} for split in info.splits],
            **({"default": True} if name == default else {}),
        }
        for name, info in infos.items()
    }
    known = {name: info for name, info in infos.items() if info.dataset_size is not None}
    DatasetInfosDict(known).to_dataset_card_data(data)
    MetadataConfigs(configs).to_dataset_card_data(data)


def read_configs(data: DatasetCardData) -> tuple[dict[str, dict], dict[str, DatasetInfo]]:
    """The configs and infos that `load_dataset` finds in a card; it refuses malformed ones."""
    return dict(MetadataConfigs.from_dataset_card_data(data)), dict(DatasetInfosDict.from_dataset_card_data(data))


def data_files(config: dict, folder: str | os.PathLike) -> dict[str, list[str]]:
    """The files of each split that a config of a card in this folder names.

    Raises:
        `FileNotFoundError`: a pattern fits no file.
    """
    patterns = sanitize_patterns(config["data_files"])
    found = {split: list(files) for split, files in DataFilesDict.from_patterns(patterns, str(folder)).items()}
    for split, files in found.items():
        if not files:
            raise FileNotFoundError(f"{folder} holds no file {' or '.join(patterns[split])} (split {split!r})")
    return found


# ---- Registered builders ----

_REGISTERED: dict[str, str] = {}


class _Factory(load.PackagedDatasetModuleFactory):
    """Finds builders that are registered without looking at files; any other name is left to `datasets`.

    Without `data_files`, the original lists `data_dir` with all its subfolders at every call, also when the result is
    cached: 20 seconds for 20,000 pictures. It also reports the name to a server, which is no business of anybody.
    """

    def __init__(self, name: str, data_dir=None, data_files=None, download_config=None, download_mode=None):
        if name not in _REGISTERED:
            super().__init__(name, data_dir, data_files, download_config, download_mode)
            return
        if data_files is not None:
            raise ValueError(f"{name!r} reads the released files of a folder: pass `data_dir`, not `data_files`")
        self.name = name

    def get_module(self) -> load.DatasetModule:
        if self.name not in _REGISTERED:
            return super().get_module()
        module, digest = packaged_modules._PACKAGED_DATASETS_MODULES[self.name]
        return load.DatasetModule(module, digest, {"data_files": DataFilesDict(), "dataset_name": self.name})


def register_builder(name: str, module: str, digest: str) -> None:
    """Makes `load_dataset(name, data_dir=...)` use the builder class of a module.

    Args:
        name (`str`): what is loaded. It then hides a folder or a repository of this bare name.
        module (`str`): the module with the builder class.
        digest (`str`): hash of its code, which becomes part of the cache path.

    Raises:
        `ValueError`: `datasets` itself has a builder of this name.
    """
    if name in packaged_modules._PACKAGED_DATASETS_MODULES and name not in _REGISTERED:
        raise ValueError(f"`datasets` has a builder {name!r} already")
    importlib.import_module(module)  # an error here is better than one in `load_dataset`
    _REGISTERED[name] = module
    packaged_modules._PACKAGED_DATASETS_MODULES[name] = (module, digest)
    load.PackagedDatasetModuleFactory = _Factory
