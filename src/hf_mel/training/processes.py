"""Exchange between the processes of one training."""

import numpy as np
import torch
from accelerate import Accelerator

from ..encoding import Encoded


class Processes:
    """
    Collectives that are the identity in a single process.

    Args:
        accelerator (`accelerate.Accelerator`): The Trainer's.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.count = accelerator.num_processes
        self.index = accelerator.process_index

    @property
    def position(self) -> tuple[int, int]:
        """Index and number of the processes."""
        return self.index, self.count

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """Sum over the processes of a tensor that has the same shape in all, on the device where it was."""
        if self.count == 1:
            return value
        return self.accelerator.reduce(value.to(self.accelerator.device), reduction="sum").to(value.device)

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, in their order; each process must have as many."""
        return value if self.count == 1 else self.accelerator.gather(value.contiguous())

    def gather_array(self, array: np.ndarray) -> np.ndarray:
        """[`gather`] for a NumPy array."""
        if self.count == 1:
            return array
        return self.gather(torch.from_numpy(array).to(self.accelerator.device)).cpu().numpy()


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of the own rows is the sum over what all processes did with them."""

    @staticmethod
    def forward(ctx, value: torch.Tensor, processes: Processes) -> torch.Tensor:
        ctx.processes, ctx.count = processes, len(value)
        return processes.gather(value)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        begin = ctx.processes.index * ctx.count
        return ctx.processes.sum(gradient)[begin : begin + ctx.count], None


def gather_with_gradient(encoded: Encoded, processes: Processes) -> Encoded:
    """Encodings of all processes, in their order; every process must have as many rows."""
    return encoded.map(
        lambda value: _Gather.apply(value, processes) if value.requires_grad else processes.gather(value)
    )
