"""`hf-mel env`"""

from dataclasses import dataclass

from .options import parse


PACKAGES = (
    "hf-mel",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "huggingface_hub",
    "evaluate",
    "safetensors",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "pillow",
    "pyarrow",
)


@dataclass
class EnvOptions:
    """`hf-mel env` has no options."""


def run(argv: list[str]) -> None:
    """Prints versions and the kind of machine."""
    parse("env", "Print versions and machine, for a bug report.", EnvOptions, argv)
    from ..evaluation import Environment

    found = Environment.collect(packages=PACKAGES)
    rows = {**found.packages, "python": found.python, "machine": found.machine, "torch threads": found.torch_threads}
    for name, value in rows.items():
        print(f"{name:<16} {value}")
