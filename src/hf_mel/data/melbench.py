"""Layout `melbench`: one file of captions, for WikiMEL `Wikidata-MEL.json`, for RichpediaMEL `Richpedia-MEL.json`."""

from collections.abc import Iterable
from pathlib import Path

from .conversion import (
    Caption,
    LayoutOptions,
    RawBenchmark,
    first_file,
    read_captions,
    read_named_entities,
    read_splits,
    require_files,
    split_by_hash,
)
from .problems import listed


CAPTION_FILES = ("Wikidata-MEL.json", "Richpedia-MEL.json")
TEXT_FILES = {"short": "qid2abs.json", "long": "qid2abs_long.json"}
_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def read_melbench(options: LayoutOptions) -> RawBenchmark:
    """Reads a MELBench folder, or its JSON file itself.

    Without a `splits.json` beside the captions, 70/10/20 % of the distinct sentences become train, validation and
    test by a hash of the seed. Without a `qid2ne.json` the knowledge base is the gold entities by name alone, which
    makes linking easier than against a real one: the report says `"knowledge_base": "gold entities"`.
    """
    path = _caption_file(options)
    captions = read_captions(path)
    splits_file = first_file([path.parent / "splits.json"])
    if splits_file is not None:
        splits, split_counts, unlisted = read_splits(splits_file, captions)
        counts = {"split_rule": splits_file.name, "captions_in_no_split": unlisted}
    else:
        splits, split_counts = split_by_hash(list(captions.values()), _SHARES, options.seed), {}
        counts = {"split_rule": "70/10/20 of the distinct sentences by hash", "seed": options.seed}
    names_file = first_file([path.parent / "qid2ne.json", path.parent / "input_data" / "qid2ne.json"])
    if names_file is not None:
        entities = read_named_entities(names_file, first_file([names_file.parent / TEXT_FILES[options.text]]))
    else:
        entities = gold_entities(captions.values())
    counts["knowledge_base"] = names_file.name if names_file is not None else "gold entities"
    return RawBenchmark(splits, entities, options.images or path.parent / "images", counts, split_counts)


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


def gold_entities(captions: Iterable[Caption]) -> dict[str, list]:
    """Entity columns from the gold answers; the first name of an entity is its name, others are aliases."""
    names: dict[str, dict[str, None]] = {}
    for caption in captions:
        for entity_id, name in zip(caption.answers, caption.names, strict=True):
            if entity_id is not None:
                names.setdefault(entity_id, {}).update({name: None} if name else {})
    return {
        "id": list(names),
        # An answer that is never named keeps an empty name, which the knowledge base refuses with its id.
        "name": [next(iter(found), "") for found in names.values()],
        "aliases": [list(found)[1:] for found in names.values()],
        "image_status": ["none"] * len(names),
        "source_row": list(range(len(names))),
    }
