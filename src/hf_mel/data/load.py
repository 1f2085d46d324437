"""One way in to every benchmark, whatever form it has: a name, released files, a built folder, or a Hub repository."""

import json
import os
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset

from .benchmarks import BENCHMARKS
from .building import REPORT_FILE
from .checks import check_mentions
from .emojimel import load_emojimel
from .folders import is_built, read_folder
from .knowledge_base import KnowledgeBase
from .layouts import LAYOUTS, load_layout
from .mel_data import MELData
from .miniature import make_miniature
from .problems import listed, nearest


EMBEDDED = {"emojimel": load_emojimel, "miniature": make_miniature}
"""Benchmarks that are part of the package."""

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xlsm")
"""Suffixes of own tables, which no release of a benchmark consists of."""


def load_benchmark(
    name: str,
    *,
    raw_dir: str | os.PathLike | None = None,
    path: str | os.PathLike | None = None,
    repo_id: str | None = None,
    layout: str = "auto",
    **options,
) -> MELData:
    """Loads a benchmark from its released files, from a folder that was built from them, or from the Hub.

    Args:
        name (`str`): `"wikimel"`, `"richpediamel"`, `"wikidiverse"`, `"merlin"`, `"melart"`; or `"emojimel"` or `"miniature"`, which are part of
            the package and need no more.
        raw_dir (`str` or `os.PathLike`, *optional*): the folder with the released files. They are read, nothing is
            written.
        path (`str` or `os.PathLike`, *optional*): a folder written by [`build_benchmark`] or `hf-mel data build`.
        repo_id (`str`, *optional*): a dataset on the Hub which holds such a folder.
        layout (`str`, *optional*, defaults to `"auto"`): that of the files in `raw_dir`.
        options: with `raw_dir` those of [`load_layout`], such as `images` or `strict_images`; with `path` those of
            `datasets.DatasetDict.from_parquet`, such as `cache_dir`; with `repo_id` those of `datasets.load_dataset`, such
            as `revision` or `token`; for the benchmarks of the package those of [`load_emojimel`] or [`make_miniature`].

    Returns:
        [`MELData`]: mentions, entities, and a report of what was counted when the files were read or built.

    Raises:
        `ValueError`: an unknown name, no place or several, or files that cannot be used.
        `FileNotFoundError`: nothing at the given place.

    Example:

    ```python
    >>> from hf_mel import load_benchmark

    >>> data = load_benchmark("miniature", num_entities=10, num_train=50, num_validation=5, num_test=5)
    >>> data.mentions["train"].num_rows, len(data.entities)
    (50, 10)
    >>> load_benchmark("wikimell", path="data/wikimel")
    Traceback (most recent call last):
        ...
    ValueError: unknown benchmark 'wikimell'; did you mean 'wikimel'? Known are ...
    ```
    """
    known = {**BENCHMARKS, **EMBEDDED}
    if name not in known:
        raise ValueError(
            f"unknown benchmark {name!r}{nearest(name, known) or '.'} Known are {listed(sorted(known))}. "
            "For files of your own, use `load_data(folder)`."
        )
    places = {"raw_dir": raw_dir, "path": path, "repo_id": repo_id}
    given = [place for place, value in places.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{name!r} is to be loaded from {listed(given)}: pass one of them")
    if raw_dir is not None:
        return load_layout(layout, raw_dir, **{"benchmark": name, **options})
    if path is not None:
        return _from_folder(Path(path), **options)
    if repo_id is not None:
        return _from_hub(repo_id, **options)
    if name in EMBEDDED:
        return EMBEDDED[name](**options)
    raise ValueError(
        f"{name!r} is not part of the package: pass `raw_dir`, the folder with its released files, `path`, a folder built "
        f"from them (`hf-mel data build {name} --raw RAW --out {name}`), or `repo_id`, a dataset on the Hub"
    )


def load_data(
    target: str | os.PathLike, layout: str | None = None, *, check_images: bool = False, validate: bool = True
) -> MELData:
    """Loads whatever `target` is: a benchmark of the package by its name, a built folder, or released files.

    Args:
        target (`str` or `os.PathLike`): `"emojimel"` or `"miniature"`; a folder with `README.md` and Parquet (without
            mentions, there are no splits); or a folder (or file) with released files. A folder that is called like a benchmark is meant by `"./emojimel"`.
        layout (`str`, *optional*): of released files; by default it is told from the files.
        check_images (`bool`, *optional*, defaults to `False`): decode every picture of released files once, to find the
            unreadable and blank ones. In a built folder this is done.
        validate (`bool`, *optional*, defaults to `True`): refuse mentions that cannot be trained or evaluated on; see
            [`check_mentions`].

    Returns:
        [`MELData`]: mentions, entities and report.

    Example:

    ```python
    >>> from hf_mel import load_data

    >>> data = load_data("miniature")
    >>> len(data.entities)
    160
    ```
    """
    layout = layout or "auto"
    if isinstance(target, str) and target in EMBEDDED and layout == "auto":
        return EMBEDDED[target]()
    path = Path(target)
    if not path.exists():
        raise FileNotFoundError(_nothing_there(target))
    if path.suffix.lower() in TABLES:
        raise ValueError(
            f"{target} is one table: `hf-mel data import` turns tables of entities and mentions into a folder; give that folder"
        )
    if layout == "auto" and is_built(path):
        return _from_folder(path, validate=validate)
    return load_layout(layout, path, check_images=check_images, validate=validate)


def _nothing_there(target: str | os.PathLike) -> str:
    if str(target) in BENCHMARKS:
        return (
            f"{str(target)!r} is a benchmark that is not part of the package: give the folder with its released files, or "
            "one that was built from them"
        )
    near = nearest(str(target), EMBEDDED)
    return f"no folder {target}{near}. Give released files, a built folder, or one of {listed(sorted(EMBEDDED))}"


def _from_folder(path: Path, *, validate: bool = True, **options) -> MELData:
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}: `path` must be one that `hf-mel data build` wrote")
    if not is_built(path):
        fitting = [name for name, layout in LAYOUTS.items() if layout.fits(path)]
        hint = f" It holds released files (layout {listed(fitting)}): pass it as `raw_dir`." if fitting else ""
        raise ValueError(f"{path} is no built benchmark: it needs README.md and entities/*.parquet.{hint}")
    report_file = path / REPORT_FILE
    report = json.loads(report_file.read_text(encoding="utf-8")) if report_file.is_file() else {}
    return _checked(*read_folder(path, **options), report, validate)


def _from_hub(repo_id: str, *, validate: bool = True, **options) -> MELData:
    mentions = load_dataset(repo_id, "mentions", **options)
    return _checked(mentions, load_dataset(repo_id, "entities", split="train", **options), {}, validate)


def _checked(mentions: DatasetDict, entities: Dataset, report: dict, validate: bool) -> MELData:
    kb = KnowledgeBase(entities)
    if validate:
        checked = check_mentions(mentions, kb)
        report = report or {"entities": len(kb), "text_field": kb.text_field, **checked}
    return MELData(mentions, kb, report)
