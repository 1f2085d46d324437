"""Environment of a measurement: versions, machine, commit."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch


@dataclass(frozen=True)
class Environment:
    """
    Environment in which a result was measured.

    Args:
        packages (`dict[str, str]`): Version of each package that can move a number.
        python (`str`): Version of Python.
        machine (`str`): Kind of machine, such as "2 CPU cores, x86_64". Never its name.
        torch_threads (`int`): Threads that torch computes with.
        git_commit (`str`, *optional*): Commit of the code, with "-dirty" where tracked files were changed.

    Example:

    ```python
    >>> from hf_mel.evaluation import Environment

    >>> Environment.collect(packages=["torch"]).packages.keys()
    dict_keys(['torch'])
    ```
    """

    packages: dict[str, str]
    python: str
    machine: str
    torch_threads: int
    git_commit: str | None = None

    @classmethod
    def collect(
        cls,
        packages: Sequence[str] = ("hf-mel", "torch", "transformers", "datasets", "numpy"),
        repository: str | Path | None = None,
    ) -> "Environment":
        """
        Look at this process and machine.

        Args:
            packages (sequence of `str`, *optional*):
                Distributions whose versions are recorded; one that is not installed is recorded as "not installed".
            repository (`str` or `Path`, *optional*):
                A folder in a git repository, whose commit is recorded. None where git or the repository is missing.
        """
        return cls(
            packages={name: _version(name) for name in packages},
            python=platform.python_version(),
            machine=machine_kind(),
            torch_threads=torch.get_num_threads(),
            git_commit=None if repository is None else git_commit(repository),
        )


def machine_kind() -> str:
    """The kind of machine in words, such as "2 CPU cores, x86_64" or "16 CPU cores, x86_64, 1 x NVIDIA H200"."""
    # A container may be given fewer cores than the machine has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind = f"{cores} CPU core{'s' if cores > 1 else ''}, {platform.machine()}"
    if torch.cuda.is_available():
        kind += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return kind


def git_commit(folder: str | Path) -> str | None:
    """The commit that `folder` has checked out, with "-dirty" where tracked files were changed; None outside git."""
    # An empty list of tags to consider makes `describe` name the commit itself.
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
