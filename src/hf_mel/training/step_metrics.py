"""Means of the values that the training steps report between two lines of the log."""

from collections import defaultdict

import torch
from transformers.utils import logging

from .processes import Processes


logger = logging.get_logger(__name__)

COLLAPSED = 0.1  # H(p) / log N below which the generator always picks the same


class StepMetrics:
    """Values of each step by name; they stay on their device until they are asked for."""

    def __init__(self):
        self._values: dict[str, list[torch.Tensor]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, values: dict[str, torch.Tensor]) -> None:
        """The values of one step."""
        for name, value in values.items():
            self._values[name].append(value)

    def means(self, processes: Processes) -> dict[str, float]:
        """The means since the last call, over steps and processes. Warns of a generator that always picks the same."""
        means = {name: torch.stack([v.float().cpu() for v in values]).mean() for name, values in self._values.items()}
        self._values.clear()
        found = {name: (processes.sum(mean) / processes.count).item() for name, mean in means.items()}
        if found.get("generator_entropy", 1.0) < COLLAPSED:
            logger.warning(
                f"the generator is collapsing: its entropy is {found['generator_entropy']:.3f} of that of a uniform "
                "choice. Raise `entropy_weight`, `entropy_floor` or `policy_temperature`."
            )
        return found
