"""The one place that touches what transformers and datasets may change: a file for each of them."""

import importlib
from typing import TYPE_CHECKING


# On first use only: the Trainer takes seconds to import, and who reads data needs none.
_FILE_OF = {
    "HookedTrainer": "trainer",
    "PRIVATE_HOOKS": "trainer",
    "enable_activation_checkpointing": "trainer",
}

if TYPE_CHECKING:
    from .trainer import PRIVATE_HOOKS, HookedTrainer, enable_activation_checkpointing

__all__ = sorted(_FILE_OF)


def __getattr__(name: str):
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_FILE_OF[name]}", __name__), name)
    globals()[name] = value  # so that the next access skips this function
    return value
