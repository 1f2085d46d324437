"""The one place that touches what transformers and datasets may change: a file for each subject."""

from typing import TYPE_CHECKING

from ..lazy import lazy_exports


_EXPORTS = {
    "registration": ["register_lazily"],
    "trainer": ["HookedTrainer", "PRIVATE_HOOKS", "enable_activation_checkpointing"],
}

if TYPE_CHECKING:  # `as` exports a name from a typed package
    # isort: off
    from .registration import register_lazily as register_lazily
    from .trainer import (
        PRIVATE_HOOKS as PRIVATE_HOOKS,
        HookedTrainer as HookedTrainer,
        enable_activation_checkpointing as enable_activation_checkpointing,
    )
    # isort: on
else:
    __getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
