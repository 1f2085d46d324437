"""
Registers the models and the pipeline with transformers without importing either.

The public way, `AutoConfig.register(...)`, needs the classes, whose import takes seconds. Here the tables that it fills are
replaced by tables that import the classes on the first look-up; their import then registers them the public way.
Private are the names of these tables, in `_TABLES`.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, MutableMapping
from types import ModuleType
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec


MODEL_TYPES = ("pgmel", "mimic", "m3el", "melov", "ghmfc", "single_stream", "pgmel_generator", "bag_of_tokens")
"""The values of `model_type` that `hf_mel.models` registers."""

_TASKS = ("multimodal-entity-linking",)
_MODELS, _PIPELINE = "hf_mel.models", "hf_mel.linking.pipeline"

# Module of transformers: object, its attribute with the table, keys that are added to it, module that adds them. The keys of
# processors are configuration classes, which exist only after the import; transformers lists the table to find a processor by
# the name of its class. The table of `AutoModel` has such keys, too, and is read with a configuration at hand.
_TABLES: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "transformers.models.auto.configuration_auto": ("CONFIG_MAPPING", "_extra_content", MODEL_TYPES, _MODELS),
    "transformers.models.auto.processing_auto": ("PROCESSOR_MAPPING", "_extra_content", (), _MODELS),
    "transformers.pipelines": ("PIPELINE_REGISTRY", "supported_tasks", _TASKS, _PIPELINE),
}


def register_lazily() -> None:
    """
    Makes the Auto classes and [`~transformers.pipeline`] find what this package registers, without importing it now.
    transformers is not imported either: its tables are replaced as soon as it has made them.
    """
    for name in _TABLES:
        after_import(name, _replace_table)


def _replace_table(module: ModuleType) -> None:
    owner, attribute, added, filled_by = _TABLES[module.__name__]
    table = getattr(getattr(module, owner), attribute)
    if not isinstance(table, FilledOnDemand):
        setattr(getattr(module, owner), attribute, FilledOnDemand(table, added, filled_by))


class FilledOnDemand(MutableMapping):
    """
    A table that imports a module, which adds entries to the table, before one of these is read or all entries are listed.

    Args:
        table (`dict`):
            The entries so far.
        added (`tuple`):
            Keys of the entries that the module adds.
        module (`str`):
            Name of the module. To import it again is cheap, and waits if another thread is importing it.
    """

    def __init__(self, table: dict, added: tuple[str, ...], module: str):
        self.table = table
        self.added = added
        self.module = module

    def __getitem__(self, key: Any) -> Any:
        if key not in self.table and key in self.added:
            importlib.import_module(self.module)
        return self.table[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.table[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.table[key]

    def __iter__(self) -> Iterator:
        importlib.import_module(self.module)
        return iter(self.table)

    def __len__(self) -> int:
        importlib.import_module(self.module)
        return len(self.table)

    def __repr__(self) -> str:
        return repr(self.table)


# ---- After an import ----
#
# Finder and loader do not inherit from `importlib.abc`, whose import takes as long as that of the rest of this package.


def after_import(name: str, call: Callable[[ModuleType], None]) -> None:
    """
    Calls a function with a module: now if the module is imported, otherwise as soon as it will be.

    Args:
        name (`str`): Full name of the module. A module that is never imported costs nothing.
        call (`Callable`): Takes the module. It must not import anything, since others are in the middle of their imports.
    """
    if name in sys.modules:
        call(importlib.import_module(name))  # waits where another thread is importing it
    else:
        sys.meta_path.insert(0, _Finder(name, call))


class _Finder:
    """Finds one module as the other finders do, and adds the call to its loader."""

    def __init__(self, name: str, call: Callable[[ModuleType], None]):
        self.name = name
        self.call = call

    def find_spec(self, fullname, path=None, target=None) -> "ModuleSpec | None":
        if fullname != self.name:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader:
    """Loads a module as its own loader does, then makes the call. The module keeps no trace of it."""

    def __init__(self, loader: "Loader", finder: _Finder):
        self.loader = loader
        self.finder = finder

    def create_module(self, spec: "ModuleSpec") -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        self.finder.call(module)
