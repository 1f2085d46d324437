"""The one way in to every released layout.

A layout is a function from [`~hf_mel.data.conversion.LayoutOptions`] to
[`~hf_mel.data.conversion.RawBenchmark`], in a file of its own, and a line in `LAYOUTS`.

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

import os
from collections.abc import Callable
from pathlib import Path

from .checks import check_mentions
from .conversion import LayoutOptions, RawBenchmark, assemble
from .ghmfc import read_ghmfc
from .mel_data import MELData
from .melbench import TEXT_FILES, read_melbench
from .problems import listed, nearest


LAYOUTS: dict[str, Callable[[LayoutOptions], RawBenchmark]] = {
    "ghmfc": read_ghmfc,
    "melbench": read_melbench,
}


def load_layout(
    layout: str,
    raw_dir: str | os.PathLike,
    *,
    captions: str | os.PathLike | None = None,
    images: str | os.PathLike | None = None,
    text: str = "short",
    seed: int = 0,
    validation_share: float = 0.1,
    strict_images: bool = False,
    check_images: bool = False,
) -> MELData:
    """Reads the released files of a benchmark into the one schema; everything stays in memory, nothing is written.

    Pictures are kept as paths. Those that the release lacks get the status `missing_file`, are counted in the report
    and named in the log.

    Args:
        layout (`str`): `"ghmfc"` (WikiMEL or Richpedia-MEL) or `"melbench"`.
        raw_dir (`str` or `os.PathLike`): the folder with the released files.
        captions (`str` or `os.PathLike`, *optional*): MELBench's `Wikidata-MEL.json`. The `ghmfc` layout of WikiMEL
            holds no sentences; by default they are looked for in `raw_dir` and in `melbench` in or beside it.
        images (`str` or `os.PathLike`, *optional*): folder of the pictures, `<raw_dir>/images` by default.
        text (`str`, *optional*, defaults to `"short"`): attributes from `qid2abs.json` (`"short"`) or
            `qid2abs_long.json` (`"long"`, only in Richpedia-MEL).
        seed (`int`, *optional*, defaults to 0): for the splits that a release lacks. They are dealt out by hash.
        validation_share (`float`, *optional*, defaults to 0.1): how much of train becomes validation where a `ghmfc`
            release has none.
        strict_images (`bool`, *optional*, defaults to `False`): raise if a picture is missing or unreadable.
        check_images (`bool`, *optional*, defaults to `False`): decode every picture once, to find the unreadable
            and blank ones; otherwise only the presence of the files is looked at.

    Returns:
        [`MELData`]: `mentions` with the splits train, validation and test; `entities`; `report` with all counts. The
        id of a mention is `<caption id>-<position in the caption>`.

    Raises:
        `ValueError`: an unknown layout, malformed files, a gold id that is not among the entities, an empty split.
        `FileNotFoundError`: names every file that is missing.
    """
    options = _options(layout, raw_dir, captions, images, text, seed, validation_share)
    data = assemble(LAYOUTS[layout](options), strict_images=strict_images, check_images=check_images)
    checked = check_mentions(data.mentions, data.entities)
    for split, counts in checked.pop("splits").items():
        data.report["splits"][split] = {**counts, **data.report["splits"][split]}
    data.report = {"layout": layout, **data.report, **checked}
    return data


def _options(layout: str, raw_dir, captions, images, text: str, seed: int, validation_share: float) -> LayoutOptions:
    if layout not in LAYOUTS:
        raise ValueError(
            f"unknown layout {layout!r}{nearest(layout, LAYOUTS) or '.'} Known are {listed(sorted(LAYOUTS))}."
        )
    if text not in TEXT_FILES:
        raise ValueError(f"text={text!r}: use one of {listed(TEXT_FILES)}")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share={validation_share} must lie between 0 and 1")
    raw_dir = Path(raw_dir).absolute()  # picture paths must survive a change of the working directory
    if not raw_dir.exists():
        raise FileNotFoundError(f"no folder {raw_dir}: `raw_dir` must hold the released files of layout {layout!r}")
    return LayoutOptions(
        raw_dir=raw_dir,
        captions=Path(captions) if captions is not None else None,
        images=Path(images).absolute() if images is not None else None,
        text=text,
        seed=seed,
        validation_share=validation_share,
    )
