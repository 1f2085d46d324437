"""Packages whose names are imported on first use (PEP 562)."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def lazy_exports(
    package: str, exports: dict[str, list[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """
    Returns `__getattr__`, `__dir__` and `__all__` of a package that imports its submodules on first use, by their own name or
    that of something in them.

    Type checkers do not see the table: the package repeats it as imports under `TYPE_CHECKING`, and a test compares both.

    Args:
        package (`str`):
            The `__name__` of the package.
        exports (`dict[str, list[str]]`):
            The public names in each submodule. A name must not be that of a submodule, which would replace it.

    Example:

    ```py
    __getattr__, __dir__, __all__ = lazy_exports(__name__, {"linker": ["Linker"], "spans": ["Span", "find_mentions"]})
    ```
    """
    submodule_of = {name: submodule for submodule, names in exports.items() for name in names}
    public = sorted(submodule_of)

    def __getattr__(name: str) -> Any:
        if name in exports:
            return importlib.import_module(f".{name}", package)
        if name not in submodule_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{submodule_of[name]}", package), name)
        setattr(sys.modules[package], name, value)  # the next access does not come here
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public})

    return __getattr__, __dir__, public
