"""Layout `melbench`: one file of captions, for WikiMEL `Wikidata-MEL.json`, for RichpediaMEL `Richpedia-MEL.json`."""

from collections.abc import Iterable
from pathlib import Path

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
from .names import choose_benchmark


CAPTION_FILES = {"wikimel": "Wikidata-MEL.json", "richpediamel": "Richpedia-MEL.json"}
TEXT_FILES = {"short": "qid2abs.json", "long": "qid2abs_long.json"}
# What stays together when mentions are dealt out: a row's sentence, or nothing but itself.
_UNITS = {"sentence": "text", "mention": "id"}
_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def is_melbench(folder: Path) -> bool:
    """Returns `True` if the folder holds a caption file of MELBench."""
    return any((folder / name).is_file() for name in CAPTION_FILES.values())


def read_melbench(options: LayoutOptions) -> RawBenchmark:
    """Reads a MELBench folder, or its JSON file itself; `benchmark` chooses if both files are there.

    Without a `splits.json` beside the captions, 70/10/20 % become train, validation and test by a hash of the seed: of
    the distinct sentences, or with `split_by="mention"` of the mentions, as the sizes of published splits suggest; then
    mentions of one sentence stand in several splits. Without a `qid2ne.json` the knowledge base is the gold entities by
    name alone, which makes linking easier than against a real one: the report says `"knowledge_base": "gold entities"`.
    """
    benchmark, path = _caption_file(options)
    captions = read_captions(path)
    pictures = PictureFolder(options.images or path.parent / "images")
    files = [path]
    splits_file = first_file([path.parent / "splits.json"])
    if splits_file is not None:
        splits, split_counts, unlisted = read_splits(splits_file, captions)
        mentions = {split: caption_rows(found, pictures.path) for split, found in splits.items()}
        counts = {"split_rule": splits_file.name, "captions_in_no_split": unlisted}
        files.append(splits_file)
    else:
        unit = _UNITS[options.split_by]
        mentions = deal_out(
            caption_rows(captions.values(), pictures.path), _SHARES, options.seed, lambda row: row[unit]
        )
        split_counts = {split: {"captions": _captions_of(rows)} for split, rows in mentions.items()}
        counts = {"split_rule": f"70/10/20 of the distinct {options.split_by}s by hash", "seed": options.seed}
    names_file = first_file([path.parent / "qid2ne.json", path.parent / "input_data" / "qid2ne.json"])
    if names_file is not None:
        text_file = first_file([names_file.parent / TEXT_FILES[options.text]])
        entities = read_named_entities(names_file, text_file)
        files += [names_file, *([text_file] if text_file else [])]
    else:
        entities = gold_entities(captions.values())
    counts = {"benchmark": benchmark, **counts} if benchmark is not None else counts
    counts["knowledge_base"] = names_file.name if names_file is not None else "gold entities"
    return RawBenchmark(mentions, lambda: iter(entities), counts, split_counts, files=files)


def _captions_of(rows: list[dict]) -> int:
    return len({row["id"].rpartition("-")[0] for row in rows})


def _caption_file(options: LayoutOptions) -> tuple[str | None, Path]:
    """The benchmark, `None` where a file of another name does not tell it, and its captions."""
    path = options.captions
    if path is not None:
        require_files("melbench", [path], "`captions=` must name the MELBench file.")
    elif options.raw_dir.is_file():
        path = options.raw_dir
    if path is not None:
        there = [name for name, file in CAPTION_FILES.items() if file == path.name]
        return (choose_benchmark("melbench", path, there, options.benchmark) if there else options.benchmark), path
    found = {name: options.raw_dir / file for name, file in CAPTION_FILES.items()}
    found = {name: file for name, file in found.items() if file.is_file()}
    if not found:
        wanted = " or ".join(str(options.raw_dir / name) for name in CAPTION_FILES.values())
        raise FileNotFoundError(f"layout 'melbench' needs a file that is not there: {wanted}. Pass it as `captions=`.")
    benchmark = choose_benchmark("melbench", options.raw_dir, found, options.benchmark)
    return benchmark, found[benchmark]


def gold_entities(captions: Iterable[Caption]) -> list[dict]:
    """Rows of entities from the gold answers; the first name of an entity is its name, others are aliases."""
    names: dict[str, dict[str, None]] = {}
    for caption in captions:
        for entity_id, name in zip(caption.answers, caption.names, strict=True):
            if entity_id is not None:
                names.setdefault(entity_id, {}).update({name: None} if name else {})
    return [
        # An answer that is never named keeps an empty name, which the knowledge base refuses with its id.
        {"id": entity_id, "name": next(iter(found), ""), "aliases": list(found)[1:], "source_row": row}
        for row, (entity_id, found) in enumerate(names.items())
    ]
