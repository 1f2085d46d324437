"""Layout `ghmfc`: names and attributes of the entities, and splits.

WikiMEL: `input_data/{qid2ne,qid2abs,splits}.json` over the captions of MELBench, which lie elsewhere.
Richpedia-MEL: `train.json` and `test.json` hold the captions themselves. GHMFC replaced most of their sentences; with
`captions`, those of MELBench are read in their place.
Pictures are `images/<caption id>.jpg`. In Richpedia-MEL a caption's id is its gold entity; its picture is the
mention's all the same, and the entities have none.
"""

from pathlib import Path

from ..problems import listed
from .base import (
    Caption,
    LayoutOptions,
    PictureFolder,
    RawBenchmark,
    caption_rows,
    deal_out,
    first_file,
    read_captions,
    read_named_entities,
    read_splits,
    require_files,
)
from .melbench import CAPTION_FILES, TEXT_FILES
from .names import choose_benchmark


_VALIDATION_FILES = ("dev.json", "val.json", "valid.json", "validation.json")


def is_ghmfc(folder: Path) -> bool:
    """Returns `True` if the folder holds the entity names of the release, and splits or captions."""
    inner = folder / "input_data" if (folder / "input_data").is_dir() else folder
    splits = ("splits.json", "train.json", "test.json")
    return (inner / "qid2ne.json").is_file() and any((inner / name).is_file() for name in splits)


def read_ghmfc(options: LayoutOptions) -> RawBenchmark:
    """Reads either form; `train.json` or `test.json` in the folder tells that it is Richpedia-MEL's."""
    folder = options.raw_dir
    there = []
    if any((folder / name).is_file() for name in ("splits.json", "input_data/splits.json")):
        there.append("wikimel")
    if any((folder / name).is_file() for name in ("train.json", "test.json")):
        there.append("richpediamel")
    # Without any of these files, reading says what is missing.
    benchmark = choose_benchmark("ghmfc", folder, there or ["wikimel"], options.benchmark)
    raw = _read_richpediamel(options) if benchmark == "richpediamel" else _read_wikimel(options)
    raw.counts = {"benchmark": benchmark, **raw.counts}
    return raw


def _read_wikimel(options: LayoutOptions) -> RawBenchmark:
    folder = options.raw_dir / "input_data" if (options.raw_dir / "input_data").is_dir() else options.raw_dir
    files = [folder / name for name in ("qid2ne.json", TEXT_FILES[options.text], "splits.json")]
    require_files(
        "ghmfc",
        files,
        f"{options.raw_dir} must be the WikiMEL folder of the release, or hold train.json and test.json.",
    )
    captions_file = _find_captions(options)
    captions = read_captions(captions_file)
    splits, split_counts, unlisted = read_splits(folder / "splits.json", captions)
    counts = {"split_rule": "splits.json", "captions_in_no_split": unlisted}
    return _raw(options, folder, splits, counts, split_counts, [captions_file, *files])


def _find_captions(options: LayoutOptions) -> Path:
    if options.captions is not None:
        require_files("ghmfc", [options.captions], "`captions=` must name the MELBench file Wikidata-MEL.json.")
        return options.captions
    raw_dir = options.raw_dir
    folders = (raw_dir, raw_dir / "input_data", raw_dir / "melbench", raw_dir.parent / "melbench")
    found = first_file(folder / CAPTION_FILES["wikimel"] for folder in folders)
    if found is None:
        raise FileNotFoundError(
            f"layout 'ghmfc' of WikiMEL holds no sentences: its splits.json counts the captions of {CAPTION_FILES['wikimel']} "
            f"(MELBench), which is not in {listed(folders)}. Pass its path as `captions=`."
        )
    return found


def _read_richpediamel(options: LayoutOptions) -> RawBenchmark:
    folder = options.raw_dir
    files = [folder / name for name in ("train.json", "test.json", "qid2ne.json", TEXT_FILES[options.text])]
    require_files("ghmfc", files, f"{folder} must be the Richpedia-MEL folder of the release.")
    paths = {"train": folder / "train.json", "test": folder / "test.json"}
    validation_file = first_file(folder / name for name in _VALIDATION_FILES)
    if validation_file is not None:
        paths = {"train": paths["train"], "validation": validation_file, "test": paths["test"]}
        files.append(validation_file)
    splits, counts = {split: list(read_captions(path).values()) for split, path in paths.items()}, {}
    if options.captions is not None:
        splits, counts = _of_melbench(options.captions, splits)
        files.append(options.captions)
    rule = listed(path.name for path in paths.values())
    if validation_file is None:
        shares = {"train": 1 - options.validation_share, "validation": options.validation_share}
        carved = deal_out(splits["train"], shares, options.seed, lambda caption: caption.sentence)
        splits = {**carved, "test": splits["test"]}
        rule += f"; validation is {options.validation_share:.0%} of train's sentences by hash"
        counts |= {"seed": options.seed, "validation_carved_from_train": len(splits["validation"])}
    split_counts = {split: {"captions": len(captions)} for split, captions in splits.items()}
    return _raw(options, folder, splits, {"split_rule": rule, **counts}, split_counts, files)


def _of_melbench(path: Path, splits: dict[str, list[Caption]]) -> tuple[dict[str, list[Caption]], dict]:
    """The captions of MELBench in place of those with the same ids, and counts; ids that it lacks are left out.

    Raises:
        `ValueError`: it has none of the ids of a split.
    """
    require_files("ghmfc", [path], "`captions=` must name the MELBench file Richpedia-MEL.json.")
    captions = read_captions(path)
    found = {split: [captions[each.id] for each in old if each.id in captions] for split, old in splits.items()}
    for split, kept in found.items():
        if not kept:
            raise ValueError(
                f"{path} has no caption of the split {split!r}: `captions=` must name the MELBench file Richpedia-MEL.json"
            )
    kept = sum(map(len, found.values()))
    unknown = sum(map(len, splits.values())) - kept
    counts = {"captions_file": path.name, "unknown_captions": unknown, "captions_in_no_split": len(captions) - kept}
    return found, counts


def _raw(options: LayoutOptions, folder: Path, splits: dict, counts: dict, split_counts: dict, files: list[Path]):
    pictures = PictureFolder(options.images or options.raw_dir / "images")
    entities = read_named_entities(folder / "qid2ne.json", folder / TEXT_FILES[options.text])
    mentions = {split: caption_rows(captions, pictures.path) for split, captions in splits.items()}
    return RawBenchmark(mentions, lambda: iter(entities), counts, split_counts, files=files)
