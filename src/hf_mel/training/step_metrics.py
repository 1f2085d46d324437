"""Means of the values that the training steps report between two lines of the log."""

import torch
from transformers.utils import logging

from .processes import Processes


logger = logging.get_logger(__name__)

COLLAPSED = 0.1  # H(p) / log N below which the generator always picks the same


def mean_values(steps: list[dict[str, torch.Tensor]], processes: Processes) -> dict[str, float]:
    """
    The mean of each value over the steps and processes that report it. Warns of a generator that always picks the same.

    Args:
        steps (`list[dict[str, torch.Tensor]]`): Scalars of each step by name.
        processes ([`Processes`]): The processes of the training.
    """
    found = {}
    for name in dict.fromkeys(name for step in steps for name in step):
        mean = torch.stack([step[name].float().cpu() for step in steps if name in step]).mean()
        found[name] = (processes.sum(mean) / processes.count).item()
    if found.get("generator_entropy", 1.0) < COLLAPSED:
        logger.warning(
            f"the generator is collapsing: its entropy is {found['generator_entropy']:.3f} of that of a uniform "
            "choice. Raise `entropy_weight`, `entropy_floor` or `policy_temperature`."
        )
    return found
