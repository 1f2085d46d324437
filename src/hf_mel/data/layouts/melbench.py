"""Layout `melbench`: one file of captions, for WikiMEL `Wikidata-MEL.json`, for RichpediaMEL `Richpedia-MEL.json`."""

from collections.abc import Iterable
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


CAPTION_FILES = ("Wikidata-MEL.json", "Richpedia-MEL.json")
TEXT_FILES = {"short": "qid2abs.json", "long": "qid2abs_long.json"}
# What stays together when mentions are dealt out: a row's sentence, or nothing but itself.
_UNITS = {"sentence": "sentence", "mention": "id"}
_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def is_melbench(folder: Path) -> bool:
    """Whether the folder holds a caption file of MELBench."""
    return any((folder / name).is_file() for name in CAPTION_FILES)


def read_melbench(options: LayoutOptions) -> RawBenchmark:
    """Reads a MELBench folder, or its JSON file itself.

    Without a `splits.json` beside the captions, 70/10/20 % become train, validation and test by a hash of the seed: of
    the distinct sentences, or with `split_by="mention"` of the mentions, as the sizes of published splits suggest; then
    mentions of one sentence stand in several splits. Without a `qid2ne.json` the knowledge base is the gold entities by
    name alone, which makes linking easier than against a real one: the report says `"knowledge_base": "gold entities"`.
    """
    path = _caption_file(options)
    captions = read_captions(path)
    pictures = PictureFolder(options.images or path.parent / "images")
    files = [path]
    splits_file = first_file([path.parent / "splits.json"])
    if splits_file is not None:
        splits, split_counts, unlisted = read_splits(splits_file, captions)
        mentions = {split: caption_rows(found, pictures) for split, found in splits.items()}
        counts = {"split_rule": splits_file.name, "captions_in_no_split": unlisted}
        files.append(splits_file)
    else:
        unit = _UNITS[options.split_by]
        mentions = deal_out(caption_rows(captions.values(), pictures), _SHARES, options.seed, lambda row: row[unit])
        split_counts = {split: {"captions": _captions_of(rows)} for split, rows in mentions.items()}
        counts = {"split_rule": f"70/10/20 of the distinct {options.split_by}s by hash", "seed": options.seed}
    names_file = first_file([path.parent / "qid2ne.json", path.parent / "input_data" / "qid2ne.json"])
    if names_file is not None:
        text_file = first_file([names_file.parent / TEXT_FILES[options.text]])
        entities = read_named_entities(names_file, text_file)
        files += [names_file, *([text_file] if text_file else [])]
    else:
        entities = gold_entities(captions.values())
    counts["knowledge_base"] = names_file.name if names_file is not None else "gold entities"
    return RawBenchmark(mentions, lambda: iter(entities), counts, split_counts, files=files)


def _captions_of(rows: list[dict]) -> int:
    return len({row["id"].rpartition("-")[0] for row in rows})


def _caption_file(options: LayoutOptions) -> Path:
    if options.captions is not None:
        require_files("melbench", [options.captions], "`captions=` must name the MELBench file.")
        return options.captions
    if options.raw_dir.is_file():
        return options.raw_dir
    found = [options.raw_dir / name for name in CAPTION_FILES if (options.raw_dir / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{options.raw_dir} holds {listed(path.name for path in found)}: pass one as `captions=`")
    if not found:
        wanted = " or ".join(str(options.raw_dir / name) for name in CAPTION_FILES)
        raise FileNotFoundError(f"layout 'melbench' needs a file that is not there: {wanted}. Pass it as `captions=`.")
    return found[0]


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
