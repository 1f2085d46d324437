"""Exchange between the processes of one training."""

import torch
from accelerate import Accelerator

from ..encoding import Encodings
from ..models.encodings import map_tensors


class Processes:
    """Collectives over the processes of an `Accelerator`, which are the identity in a single process."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator, self.count, self.index = accelerator, accelerator.num_processes, accelerator.process_index

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """Sum over the processes of a tensor that has the same shape in all, on its own device."""
        if self.count == 1:
            return value
        return self.accelerator.reduce(value.to(self.accelerator.device), reduction="sum").to(value.device)

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, in their order; each process must have as many."""
        return value if self.count == 1 else self.accelerator.gather(value.to(self.accelerator.device).contiguous())

    def means(self, steps: list[dict[str, torch.Tensor]]) -> dict[str, float]:
        """Mean of each scalar over the steps and processes that report it."""
        found = {}
        for name in dict.fromkeys(name for step in steps for name in step):
            mean = torch.stack([step[name].float().cpu() for step in steps if name in step]).mean()
            found[name] = (self.sum(mean) / self.count).item()
        return found


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of the own rows is summed over all processes."""

    @staticmethod
    def forward(ctx, value: torch.Tensor, processes: Processes) -> torch.Tensor:
        ctx.processes, ctx.count = processes, len(value)
        return processes.gather(value)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        begin = ctx.processes.index * ctx.count
        return ctx.processes.sum(gradient)[begin : begin + ctx.count], None


def gather_with_gradient(encoded: Encodings, processes: Processes) -> Encodings:
    """Encodings of all processes, in their order; every process must have as many rows."""
    return map_tensors(
        lambda value: _Gather.apply(value, processes) if value.requires_grad else processes.gather(value), encoded
    )
