"""`hf-mel data check DIR|NAME`"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.benchmarks import BENCHMARKS
from ..data.problems import listed, nearest
from .options import parse


if TYPE_CHECKING:
    from ..data import MELData
    from ..doctor import Diagnosis


@dataclass
class DataCheckOptions:
    """Options of `hf-mel data check`."""

    raw: str | None = field(
        default=None, metadata={"help": "Folder with the released files of the benchmark that is named."}
    )
    layout: str | None = field(
        default=None, metadata={"help": "Layout of the released files; by default the one that fits."}
    )
    json: str | None = field(default=None, metadata={"help": "File for the findings as JSON."})
    html: str | None = field(default=None, metadata={"help": "File for a page with pictures to look at."})
    no_pictures: bool = field(default=False, metadata={"help": "Leave the pictures out."})
    strict: bool = field(default=False, metadata={"help": "Warnings count as errors for the exit status."})


ABOUT = (
    "Look for what is wrong with a benchmark: a folder (released files, or what `hf-mel data build` wrote) or a name. "
    "Exit status 0: nothing is wrong; 1: errors were found; 2: the command cannot be run."
)


def run(argv: list[str]) -> int:
    """Prints the report; the exit status says whether something is wrong."""
    positional = ("target", f"A folder, or a name: {', '.join(BENCHMARKS)}.")
    options, target = parse("data check", ABOUT, DataCheckOptions, argv, positional)
    _check_usage(target, options)
    diagnosis = _diagnosis(target, options)
    for path, form in ((options.json, diagnosis.to_json), (options.html, diagnosis.to_html)):
        if path is not None:
            Path(path).write_text(form(), encoding="utf-8", errors="backslashreplace")
    _print(diagnosis.to_text())
    return int(diagnosis.is_wrong(options.strict))


def _check_usage(target: str, options: DataCheckOptions) -> None:
    """Checks what would otherwise fail after minutes, or look like a fault of the data."""
    from ..data import EMBEDDED, LAYOUTS

    names = {**BENCHMARKS, **EMBEDDED}
    if target not in names and not Path(target).exists():
        near = nearest(target, names)
        raise FileNotFoundError(f"{target!r} is neither a folder nor a benchmark{near} (known are {listed(names)})")
    if options.raw is not None and target not in names:
        raise ValueError(f"--raw belongs to a benchmark's name ({listed(names)}); {target!r} is a folder already")
    if options.raw is not None and not Path(options.raw).exists():
        raise FileNotFoundError(f"no folder {options.raw}: `--raw` must hold the released files of {target}")
    if options.layout is not None and options.layout not in LAYOUTS:
        raise ValueError(
            f"unknown layout {options.layout!r}{nearest(options.layout, LAYOUTS)} (known are {listed(LAYOUTS)})"
        )
    for path in (options.json, options.html):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise FileNotFoundError(f"no folder {Path(path).parent} for {Path(path).name}: make it first")


def _diagnosis(target: str, options: DataCheckOptions) -> "Diagnosis":
    from datasets.exceptions import DatasetGenerationError

    from ..doctor import diagnose, unreadable

    place = options.raw or target
    subject = target if options.raw is None else f"{target} ({options.raw})"
    try:
        data = _read(target, options)
    except (ValueError, FileNotFoundError, DatasetGenerationError) as error:
        if not Path(place).exists():
            raise  # a name that needs a folder: not a fault of any data
        # `datasets` says what is wrong with a file only in the cause.
        return unreadable(subject, f"{error}\n{error.__cause__ or ''}")
    return diagnose(data, pictures=not options.no_pictures, subject=subject)


def _read(target: str, options: DataCheckOptions) -> "MELData":
    """Gold ids that are unknown and the like are to be reported, not refused; pictures are decoded by the doctor."""
    from ..data import EMBEDDED, load_data, load_layout
    from ..data.folders import is_built
    from ..doctor import check_parquet_files

    layout, how = options.layout or "auto", {"pictures": not options.no_pictures, "validate": False}
    if options.raw is not None:
        return load_layout(layout, options.raw, benchmark=target, **how)
    if target in EMBEDDED or not Path(target).exists():
        return load_data(target, options.layout, validate=False)
    if layout == "auto" and is_built(target):
        check_parquet_files(target)
        return load_data(target, validate=False)
    return load_layout(layout, target, **how)


def _print(text: str) -> None:
    """Text in any script on a terminal of any encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="")
