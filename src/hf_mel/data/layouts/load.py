"""The one way in to every released layout.

A layout is a file of its own with two functions, one that recognises a folder and one from
[`~hf_mel.data.layouts.base.LayoutOptions`] to [`~hf_mel.data.layouts.base.RawBenchmark`], and a line in `LAYOUTS`.

Example:

```python
>>> import json, tempfile
>>> from pathlib import Path
>>> from hf_mel.data import load_layout

>>> temporary = tempfile.TemporaryDirectory()
>>> folder = Path(temporary.name)
>>> captions = {
...     str(i): {"sentence": f"Ada at desk {i}", "mentions": ["Ada"], "entities": ["Ada Lovelace"], "answer": ["Q7259"]}
...     for i in range(10)
... }
>>> _ = (folder / "Wikidata-MEL.json").write_text(json.dumps(captions))
>>> data = load_layout("melbench", folder)
>>> data.mentions.num_rows
{'train': 7, 'validation': 1, 'test': 2}
>>> data.entities
KnowledgeBase(1 entities, text_field='description', 0 with a picture)
>>> data.report["splits"]["test"]["images"]
{'missing_file': 2}
```
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset, DatasetDict, Features

from ..checks import check_mentions
from ..knowledge_base import KnowledgeBase
from ..mel_data import MELData
from ..own.urls import FetchLimits
from ..problems import listed, nearest
from ..schema import ENTITY_FEATURES, MENTION_FEATURES
from ..tables import PictureRule, condensed, missing_folders, refuse_broken, summary, table_in_memory
from .base import LayoutOptions, RawBenchmark
from .fetching import fetch_missing
from .fissfuse import is_fissfuse, read_fissfuse
from .ghmfc import is_ghmfc, read_ghmfc
from .kgmel import is_kgmel, read_kgmel
from .left_out import drop_leaked_captions, leave_out_pictures, leave_out_unusable
from .melart import is_melart, read_melart
from .melbench import is_melbench, read_melbench
from .merlin import is_merlin, merlin_rows, read_merlin
from .mimic import is_mimic, read_mimic
from .wikidiverse import is_wikidiverse, read_wikidiverse


logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """Detection and reader of one layout."""

    fits: Callable[[Path], bool]
    read: Callable[[LayoutOptions], RawBenchmark]


LAYOUTS: dict[str, Layout] = {
    "fissfuse": Layout(is_fissfuse, read_fissfuse),
    "ghmfc": Layout(is_ghmfc, read_ghmfc),
    "kgmel": Layout(is_kgmel, read_kgmel),
    "melart": Layout(is_melart, read_melart),
    "melbench": Layout(is_melbench, read_melbench),
    "merlin": Layout(is_merlin, read_merlin),
    "mimic": Layout(is_mimic, read_mimic),
    "wikidiverse": Layout(is_wikidiverse, read_wikidiverse),
}
AUTO = "auto"


def load_layout(
    layout: str,
    raw_dir: str | os.PathLike,
    *,
    benchmark: str | None = None,
    captions: str | os.PathLike | None = None,
    images: str | os.PathLike | None = None,
    text: str = "short",
    seed: int = 0,
    split_by: str = "sentence",
    validation_share: float = 0.1,
    strict: bool = False,
    drop_leaked: bool = False,
    pictures: bool = True,
    fetch_urls: bool | FetchLimits = False,
    strict_images: bool = False,
    check_images: bool = False,
    validate: bool = True,
) -> MELData:
    """Reads the released files of a benchmark into the one schema; everything stays in memory, nothing is written.

    Pictures are kept as paths. Those that the release lacks get the status `missing_file`, are counted and listed in
    the report and named in the log.

    Args:
        layout (`str`): a name in `LAYOUTS`, or `"auto"`: the one that fits the files.
        raw_dir (`str` or `os.PathLike`): the folder with the released files.
        benchmark (`str`, *optional*): which benchmark to read where the folder holds several: `"wikimel"`,
            `"richpediamel"` or `"wikidiverse"`.
        captions (`str` or `os.PathLike`, *optional*): MELBench's `Wikidata-MEL.json` or `Richpedia-MEL.json`, for the
            `ghmfc` layout. That of WikiMEL holds no sentences; by default they are looked for in `raw_dir` and in
            `melbench` in or beside it. That of RichpediaMEL has other sentences than MELBench, which are read unless
            `captions` is given.
        images (`str` or `os.PathLike`, *optional*): folder of the mentions' pictures, by default that of the release:
            `images`, `mention_image`, `mention_images` or `wikinewsImgs` in `raw_dir`. In the layout `fissfuse` the HDF5 file.
        text (`str`, *optional*, defaults to `"short"`): attributes from `qid2abs.json` (`"short"`) or
            `qid2abs_long.json` (`"long"`, only in Richpedia-MEL).
        seed (`int`, *optional*, defaults to 0): for the splits that a release lacks. They are dealt out by hash.
        split_by (`str`, *optional*, defaults to `"sentence"`): what is dealt out where MELBench's files come without
            splits: `"sentence"`, so that no sentence stands in two splits, or `"mention"`, which gives the sizes that
            are published (18,092, 2,585 and 5,169 mentions of WikiMEL) and lets sentences leak.
        validation_share (`float`, *optional*, defaults to 0.1): how much of train becomes validation where a `ghmfc`
            release has none.
        strict (`bool`, *optional*, defaults to `False`): raise if a mention or its sentence is no text, such as two line
            breaks, or if a record of JSON lines cannot be used. Without, it is left out, counted (`left_out` of each split,
            `other_records_left_out`) and named (`records_left_out`).
        drop_leaked (`bool`, *optional*, defaults to `False`): drop the mentions of train whose caption is in another split,
            too, by its words. They are counted: `leaked` of train, `leaked_captions`.
        pictures (`bool`, *optional*, defaults to `True`): read the pictures. `False` reads none, as for a model of text alone:
            every record has the status `none`.
        fetch_urls (`bool` or [`FetchLimits`], *optional*, defaults to `False`): fetch the pictures whose file is missing and
            whose URL the release has, as KGMEL does. They are kept in the cache of Hugging Face.
        strict_images (`bool`, *optional*, defaults to `False`): raise if a picture is missing or unreadable.
        check_images (`bool`, *optional*, defaults to `False`): decode every picture once, to find the unreadable
            and blank ones; otherwise only the presence of the files is looked at.
        validate (`bool`, *optional*, defaults to `True`): refuse mentions that cannot be trained or evaluated on; see
            [`check_mentions`].

    Returns:
        [`MELData`]: `mentions` with the splits train, validation and test; `entities`; `report` with all counts, and
        with `pictures`, a list of all that are missing, unreadable or blank.

    Raises:
        `ValueError`: an unknown layout, malformed files, a gold id that is not among the entities, an empty split.
        `FileNotFoundError`: names every file that is missing.
    """
    layout, raw = read_layout(
        layout,
        raw_dir,
        benchmark=benchmark,
        captions=captions,
        images=images,
        text=text,
        seed=seed,
        split_by=split_by,
        validation_share=validation_share,
        strict=strict,
        drop_leaked=drop_leaked,
        pictures=pictures,
        fetch_urls=fetch_urls,
    )
    return _loaded(layout, raw, PictureRule(check=check_images), strict_images, validate)


def load_merlin(
    tables: Mapping[str, Dataset | DatasetDict],
    *,
    strict: bool = False,
    pictures: bool = True,
    strict_images: bool = False,
    check_images: bool = False,
    validate: bool = True,
) -> MELData:
    """Loads MERLIN from what `load_dataset` returns; a local copy of its files is read by [`load_layout`].

    Args:
        tables (`Mapping[str, Dataset or DatasetDict]`): the data of each language.
        strict, pictures, strict_images, check_images, validate: as in [`load_layout`].

    Example:

    ```py
    >>> from datasets import load_dataset
    >>> from hf_mel.data import load_merlin

    >>> data = load_merlin({language: load_dataset("neulab/merlin", language) for language in ("hi", "ja")})
    ```
    """
    raw = merlin_rows(tables)
    leave_out_unusable(raw, "tables (layout 'merlin')", strict)
    if not pictures:
        leave_out_pictures(raw)
    return _loaded("merlin", raw, PictureRule(check=check_images), strict_images, validate)


def read_layout(
    layout: str,
    raw_dir: str | os.PathLike,
    *,
    strict: bool = False,
    drop_leaked: bool = False,
    pictures: bool = True,
    fetch_urls: bool | FetchLimits = False,
    **options,
) -> tuple[str, RawBenchmark]:
    """Returns the layout that fits, and the usable rows that its reader finds: the first step of [`load_layout`].

    Args:
        layout (`str`), raw_dir (`str` or `os.PathLike`), strict (`bool`), drop_leaked (`bool`), pictures (`bool`), fetch_urls:
            as in [`load_layout`].
        options: `benchmark`, `captions`, `images`, `text`, `seed`, `split_by` and `validation_share`, as there.
    """
    if layout != AUTO and layout not in LAYOUTS:
        raise ValueError(
            f"unknown layout {layout!r}{nearest(layout, LAYOUTS) or '.'} Known are {listed(sorted(LAYOUTS))}."
        )
    raw_dir = Path(raw_dir).absolute()  # picture paths must survive a change of the working directory
    if not raw_dir.exists():
        raise FileNotFoundError(f"no folder {raw_dir}: `raw_dir` must hold the released files of a benchmark")
    for name in ("captions", "images"):
        if options.get(name) is not None:
            options[name] = Path(options[name]).absolute()
    layout = detect_layout(raw_dir) if layout == AUTO else layout
    raw = LAYOUTS[layout].read(LayoutOptions(raw_dir=raw_dir, pictures=pictures, **options))
    leave_out_unusable(raw, f"{raw_dir} (layout {layout!r})", strict)
    if drop_leaked:
        drop_leaked_captions(raw)
    if not pictures:
        leave_out_pictures(raw)
    elif fetch_urls:
        fetch_missing(raw, fetch_urls)
    return layout, raw


def detect_layout(raw_dir: str | os.PathLike) -> str:
    """The layout whose files lie in a folder.

    Raises:
        `ValueError`: none fits, or several do.
    """
    found = [name for name, layout in LAYOUTS.items() if layout.fits(Path(raw_dir))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"{raw_dir} holds the files of no known layout ({listed(sorted(LAYOUTS))})")
    raise ValueError(f"{raw_dir} holds the files of several layouts ({listed(found)}): name one, as `layout=`")


def _loaded(layout: str, raw: RawBenchmark, rule: PictureRule, strict_images: bool, validate: bool) -> MELData:
    data = _assemble(raw, rule, strict_images)
    data.report = {"layout": layout, **data.report}
    if validate:
        checked = check_mentions(data.mentions, data.entities)
        for split, counts in checked.pop("splits").items():
            data.report["splits"][split] = {**counts, **data.report["splits"][split]}
        data.report |= checked
    return data


def _assemble(raw: RawBenchmark, rule: PictureRule, strict_images: bool) -> MELData:
    features = Features({**MENTION_FEATURES, **raw.extra_features})
    tables, counts, pictures = {}, {}, []
    for split, rows in raw.mentions.items():
        tables[split], log = table_in_memory(rows, features, rule)
        pictures += log.entries("mentions", split)
        counts[split] = {**raw.split_counts.get(split, {}), "images": dict(sorted(log.by_status.items()))}
    entities, log = table_in_memory(raw.entities(), ENTITY_FEATURES, rule)
    pictures += log.entries("entities", "train")
    if strict_images:
        refuse_broken(pictures)
    pictures = condensed(pictures)
    if pictures:
        level = logging.ERROR if missing_folders(pictures) else logging.WARNING
        logger.log(level, "%s; their records count as having none", summary(pictures))
    kb = KnowledgeBase(entities)
    report = {
        **raw.counts,
        "entities": len(kb),
        "entity_images": dict(sorted(log.by_status.items())),
        "text_field": kb.text_field,
        "splits": counts,
        "pictures": pictures,
    }
    return MELData(DatasetDict(tables), kb, report)
