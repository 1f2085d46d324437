"""What the steps report between two lines of the log."""

from collections import defaultdict

import torch

from .processes import Processes


class StepMetrics:
    """Values of each step by name; they stay where they are computed until they are asked for."""

    def __init__(self):
        self._values: dict[str, list[torch.Tensor]] = defaultdict(list)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, name: str, value: torch.Tensor) -> None:
        """One step's value."""
        self._values[name].append(value)

    def means(self, processes: Processes) -> dict[str, float]:
        """The means since the last call, over steps and processes."""
        means = {name: torch.stack([v.float().cpu() for v in values]).mean() for name, values in self._values.items()}
        self._values.clear()
        return {name: (processes.sum(mean) / processes.count).item() for name, mean in means.items()}
