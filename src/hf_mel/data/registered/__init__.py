"""The benchmarks as names that `datasets.load_dataset` knows by itself, if asked for."""

import hashlib
from pathlib import Path

from ...compat.datasets import register_builder
from ...version import __version__
from ..benchmarks import BENCHMARKS


def register_datasets() -> list[str]:
    """Lets `datasets.load_dataset` convert released files, in this process and until it ends.

    After it, `load_dataset("wikimel", data_dir=RAW)` reads the files in `RAW` as [`load_layout`] does, decodes each
    picture once to learn its `image_status`, and keeps the result in the cache of `datasets`; pictures stay the files
    they are. `load_dataset("wikimel", "entities", data_dir=RAW)` gives the knowledge base. Further arguments, such as
    `layout`, `images` or `text`, are those of [`load_layout`]. The conversion is done again when the files have changed.
    `load_dataset("emojimel")` needs no folder.

    The names hide folders and Hub repositories that are called the same: load a folder as `"./wikimel"`. `datasets`
    has no public way to do this, so nothing is registered unless this function is called.

    Returns:
        `list[str]`: the names.

    Example:

    ```py
    >>> import hf_mel
    >>> from datasets import load_dataset

    >>> hf_mel.register_datasets()
    ['wikimel', 'richpediamel', 'wikidiverse', 'merlin', 'melart', 'emojimel']
    >>> mentions = load_dataset("wikimel", data_dir="raw/WikiMEL")
    >>> entities = load_dataset("wikimel", "entities", data_dir="raw/WikiMEL", split="train")
    ```
    """
    digest = _code_digest()
    for name in BENCHMARKS:
        register_builder(name, f"{__name__}.builder", digest)
    return list(BENCHMARKS)


def _code_digest() -> str:
    """Of the code that converts: what another version of it has cached is not taken."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
