"""`hf-mel data build NAME`"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..data.benchmarks import BENCHMARKS
from ..data.problems import counted, listed, nearest
from .options import parse, print_error


_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass
class BuildOptions:
    """Options of `hf-mel data build`."""

    raw: str = field(metadata={"help": "Folder with the released files."})
    out: str = field(metadata={"help": "New folder. In the folder above it, load_dataset takes its name."})
    layout: str = field(default="auto", metadata={"help": "Layout of the released files; told from them by default."})
    captions: str | None = field(
        default=None, metadata={"help": "File with MELBench's captions, for the layout ghmfc."}
    )
    images: str | None = field(default=None, metadata={"help": "Folder of the pictures, where it is another."})
    text: str | None = field(default=None, metadata={"help": "Attributes of the entities: short or long."})
    split_by: str | None = field(
        default=None, metadata={"help": "Where a release has no splits, deal out by sentence or by mention."}
    )
    seed: int | None = field(default=None, metadata={"help": "Seed of splits that a release lacks."})
    num_proc: int = field(default=1, metadata={"help": "Processes that open pictures. The result is the same."})
    max_shard_size: str = field(default="300MB", metadata={"help": "When a Parquet file is full."})
    max_image_side: int | None = field(
        default=None, metadata={"help": "Scale pictures down to this many pixels; by default they stay as they are."}
    )
    drop_leaked: bool = field(
        default=False, metadata={"help": "Drop the captions of train that are also in another split, and count them."}
    )
    fetch_urls: bool = field(
        default=False, metadata={"help": "Fetch missing pictures that the release names by URL (layout kgmel)."}
    )
    no_pictures: bool = field(default=False, metadata={"help": "Read no pictures, as for a model of text alone."})
    strict: bool = field(
        default=False,
        metadata={
            "help": "Fail if a record cannot be used, or a picture is missing, unreadable or blank, and list all of them."
        },
    )
    restart: bool = field(default=False, metadata={"help": "Do not go on where an interrupted build stopped."})
    overwrite: bool = field(default=False, metadata={"help": "Replace what an earlier build left."})


def run(argv: list[str]) -> None:
    """Builds a benchmark and prints what was counted."""
    about = "Convert released files into a folder of Parquet that load_dataset reads."
    options, name = parse("data build", about, BuildOptions, argv, ("name", "wikimel, richpediamel, wikidiverse, ..."))
    if name not in BENCHMARKS:
        print_error(
            f"nothing is known of {name!r}{nearest(name, BENCHMARKS)}; its card will say what to add "
            f"(known are {listed(sorted(BENCHMARKS))})"
        )
    max_shard_bytes = size_in_bytes(options.max_shard_size)
    from ..data import build_benchmark

    report = build_benchmark(
        name,
        options.raw,
        options.out,
        options.layout,
        options={key: getattr(options, key) for key in ("captions", "images", "text", "split_by", "seed")}
        | ({"drop_leaked": True} if options.drop_leaked else {})
        | ({"fetch_urls": True} if options.fetch_urls else {})
        | ({"pictures": False} if options.no_pictures else {}),
        num_proc=options.num_proc,
        max_shard_bytes=max_shard_bytes,
        max_image_side=options.max_image_side,
        strict=options.strict,
        strict_images=options.strict,
        resume=not options.restart,
        overwrite=options.overwrite,
    )
    for line in summary_lines(report, Path(options.out)):
        print(line)


def size_in_bytes(text: str) -> int:
    """`"300MB"` or `"1.5 GiB"` as a number; a number alone is bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, re.IGNORECASE)
    unit = (match[2].upper() or "B") if match else ""
    if unit not in _UNITS:
        raise ValueError(f"--max_shard_size {text!r} is no size: write one such as 300MB or 1GiB")
    return int(float(match[1]) * _UNITS[unit])


def summary_lines(report: dict, out: Path) -> list[str]:
    """Mentions, entities, pictures by their state, and where the rest is told."""
    from ..data.building import REPORT_FILE
    from ..data.tables import folder_lines, of_folder

    lines = []
    for split, counts in report["splits"].items():
        noun = "mention" if counts["mentions"] == 1 else "mentions"
        lines.append(
            f"{split:<11} {counts['mentions']:>9,} {noun:<8}   {counts['nil']:>7,} NIL   pictures: {_states(counts['images'])}"
        )
    lines.append(f"{'entities':<11} {report['entities']:>9,}{'':>26}pictures: {_states(report['entity_images'])}")
    lines += left_out_lines(report)
    if "leaked_captions" in report:
        dropped = report["splits"]["train"]["leaked"]
        lines.append(
            f"{'dropped':<11} {dropped:>9,} mentions of train: their {report['leaked_captions']:,} captions are also in another split"
        )
    size = sum(file["bytes"] for file in report["files"]) / 1e6
    lines.append(f"{out}: {counted(len(report['files']), 'Parquet file')}, {size:,.1f} MB")
    lines += folder_lines(report["pictures"])
    files = [entry for entry in report["pictures"] if not of_folder(entry)]
    lines.append(f"{out / REPORT_FILE}: all counts, and {_broken(files)}")
    return lines


def left_out_lines(report: dict) -> list[str]:
    """Records that were left out, by split, and the first of them."""
    from ..data.layouts.left_out import place

    counts = {split: found.get("left_out", 0) for split, found in report["splits"].items()}
    counts |= report.get("other_records_left_out", {})
    if not any(counts.values()):
        return []
    by_split = ", ".join(f"{number:,} of {split}" for split, number in counts.items() if number)
    number = sum(counts.values())
    lines = [f"{'left out':<11} {number:>9,} record{'s' * (number > 1)} that cannot be used: {by_split}"]
    return lines + [f"{'':>12}{place(entry)}: {entry['reason']}" for entry in report["records_left_out"][:3]]


def _states(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "none"


def _broken(pictures: list[dict]) -> str:
    if not pictures:
        return "no broken picture"
    return f"each of {len(pictures):,} broken pictures" if len(pictures) > 1 else "the one broken picture"
