"""Layout `kgmel`: captions with lists of mentions in `<benchmark>.json`, splits in `ids_split_mappings.json`.

A caption is `{"id", "sentence", "imgPath", "mention": [..], "entity": [..], "answer": [..], "img-url"}`. The mapping names
the ids of each split of each benchmark, and may name one in several splits.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ..problems import Problems, listed
from ..schema import SPLITS
from ..url_names import is_url
from .base import (
    SPLIT_NAMES,
    Caption,
    LayoutOptions,
    RawBenchmark,
    caption_rows,
    first_file,
    is_nil,
    read_json,
    require_files,
    stream_array,
    string_or_none,
)
from .melbench import gold_entities
from .mimic import KB_FILE, read_kb
from .names import (
    BENCHMARKS,
    choose_benchmark,
    entries,
    leads_out,
    make_ids_unique,
    picture_folder,
    plain,
)


logger = logging.getLogger(__name__)

MAPPING_FILE = "ids_split_mappings.json"
_MAPPING_PLACES = (MAPPING_FILE, f"mapping/{MAPPING_FILE}")
_PICTURES = ("mention_image", "mention_images", "image", "images")
_CAPTION_FILES = {"wikimel": "WikiMEL.json", "richpediamel": "RichpediaMEL.json", "wikidiverse": "WikiDiverse.json"}
_FIELDS = ("id", "sentence", "imgPath", "mention", "entity", "answer")
_CURE = "Fetch the file again, or correct these records."


def is_kgmel(folder: Path) -> bool:
    """Returns `True` if the folder holds captions and the mapping of their ids to splits."""
    return first_file(folder / name for name in _MAPPING_PLACES) is not None and bool(_captions(folder))


def read_kgmel(options: LayoutOptions) -> RawBenchmark:
    """Reads one benchmark; `benchmark` chooses if there are several.

    A caption that the mapping names in several splits is in all of them, as in the release, and is counted: the release does
    not say to which split a mention of it belongs. With `fetch_urls`, pictures that are missing are fetched from their `img-url`.
    Without a `kb_entity.json` beside the captions, the knowledge base is the gold entities with their names alone. Linking is
    then easier than with a real one.
    """
    benchmark, path, mapping = _find(options)
    captions, image_of, url_of = _read_captions(path)
    splits, counts, split_counts = _read_mapping(mapping, benchmark, captions)
    pictures = options.images or _picture_folder(options.raw_dir, benchmark)

    def picture_of(caption_id: str) -> Path | None:
        return pictures / image_of[caption_id] if image_of[caption_id] else None

    mentions = {split: caption_rows(splits[split], picture_of) for split in SPLITS}
    entities, kb_counts = _knowledge_base(options.raw_dir, captions)
    kb_file = options.raw_dir / KB_FILE
    counts = {
        "benchmark": benchmark,
        "split_rule": mapping.name,
        **make_ids_unique(mentions),
        **counts,
        **kb_counts,
    }
    files = [path, mapping, *([kb_file] if kb_file.is_file() else [])]
    urls = {pictures / image_of[key]: url for key, url in url_of.items() if image_of[key]}
    return RawBenchmark(mentions, entities, counts, split_counts, files=files, picture_urls=urls)


def _find(options: LayoutOptions) -> tuple[str, Path, Path]:
    """The benchmark, its captions, and the mapping."""
    folder, asked = options.raw_dir, plain(options.benchmark or "wikidiverse")
    mapping = first_file(folder / name for name in _MAPPING_PLACES) or folder / MAPPING_FILE
    paths = _captions(folder)
    if not paths:
        paths = {asked: folder / _CAPTION_FILES.get(asked, "WikiDiverse.json")}
    benchmark = choose_benchmark("kgmel", folder, paths, options.benchmark)
    require_files(
        "kgmel", [paths[benchmark], mapping], f"{folder} must be the folder with the captions of the release."
    )
    return benchmark, paths[benchmark], mapping


def _knowledge_base(folder: Path, captions: dict[str, Caption]) -> tuple[Callable[[], Iterator[dict]], dict]:
    """The entities of `kb_entity.json` if it is there, else the gold ones; and counts."""
    if (folder / KB_FILE).is_file():
        entities, counts = read_kb(folder / KB_FILE, folder / "qid2id.json", folder)
        return entities, {"knowledge_base": KB_FILE, **counts}
    golds = gold_entities(captions.values())
    return lambda: iter(golds), {"knowledge_base": "gold entities"}


def _captions(folder: Path) -> dict[str, Path]:
    """The file of captions of each benchmark."""
    files = {plain(Path(name).stem): folder / name for name in entries(folder) if name.lower().endswith(".json")}
    return {benchmark: files[benchmark] for benchmark in BENCHMARKS if benchmark in files}


def _picture_folder(folder: Path, benchmark: str) -> Path:
    """`mention_image/`, or that of the benchmark in it: `image/WikiDiverse/`."""
    found = picture_folder(folder, _PICTURES)
    inner = picture_folder(found, (Path(_CAPTION_FILES[benchmark]).stem,))
    return inner if inner.is_dir() else found


# ---- Files ----


def _read_captions(path: Path) -> tuple[dict[str, Caption], dict[str, str | None], dict[str, str]]:
    """Captions by id, the name of each one's picture, and its URL where there is one."""
    problems = Problems(str(path), _CURE)
    captions: dict[str, Caption] = {}
    images: dict[str, str | None] = {}
    urls: dict[str, str] = {}
    for number, record in enumerate(stream_array(path), 1):
        if not _fits(record, f"record {number}", problems):
            continue
        key = str(record["id"])
        if key in captions:
            problems.add(f"record {number}", f"`id` {key} is that of another record too")
        answers = [None if is_nil(answer) else answer.strip() for answer in record["answer"]]
        names = [name or None if answer else None for name, answer in zip(record["entity"], answers, strict=True)]
        mentions = [string_or_none(mention) for mention in record["mention"]]
        captions[key] = Caption(key, string_or_none(record["sentence"]), mentions, names, answers)
        images[key] = record["imgPath"]
        if is_url(record.get("img-url")):
            urls[key] = record["img-url"]
    problems.raise_if_any()
    return captions, images, urls


def _fits(record: dict, where: str, problems: Problems) -> bool:
    before = len(problems)
    for name in _FIELDS:
        if name not in record:
            problems.add(where, f"`{name}` is missing")
    if len(problems) > before:
        return False
    if not isinstance(record["id"], str | int) or isinstance(record["id"], bool):
        problems.add(where, f"`id` is {record['id']!r:.60}, neither a number nor a string")
    if not isinstance(record["imgPath"], str | None) or leads_out(record["imgPath"] or ""):
        problems.add(where, f"`imgPath` is {record['imgPath']!r:.60}, not the name of a file")
    lists = {name: record[name] for name in ("mention", "entity", "answer")}
    for name, values in lists.items():
        strings = isinstance(values, list) and all(isinstance(value, str | None) for value in values)
        if not strings and not (name == "mention" and isinstance(values, list)):
            problems.add(where, f"`{name}` is {values!r:.60}, not a list of strings")
    if len(problems) == before and len({len(values) for values in lists.values()}) > 1:
        problems.add(where, ", ".join(f"{len(values)} `{name}`" for name, values in lists.items()) + " do not match")
    return len(problems) == before


def _read_mapping(
    path: Path, benchmark: str, captions: dict[str, Caption]
) -> tuple[dict[str, list[Caption]], dict, dict[str, dict]]:
    """Captions by split, counts, and counts by split."""
    problems = Problems(str(path), "Give each benchmark its `train`, `val` and `test`, as lists of ids.")
    found = {plain(name): content for name, content in read_json(path).items()}
    if benchmark not in found:
        raise ValueError(f"{path} has splits of {listed(sorted(found))}, none of {benchmark}")
    if not isinstance(found[benchmark], dict):
        raise ValueError(f"{path}: {benchmark} is {found[benchmark]!r:.60}, not an object of ids by split")
    ids: dict[str, list[str]] = {}
    for name, content in found[benchmark].items():
        where = f"{benchmark}, split {name!r}"
        if name not in SPLIT_NAMES:
            problems.add(where, "is unknown")
        elif not (isinstance(content, list) and all(isinstance(key, str | int) for key in content)):
            problems.add(where, "is not a list of ids")
        elif SPLIT_NAMES[name] in ids:
            problems.add(where, "is there under another name too")
        else:
            ids[SPLIT_NAMES[name]] = [str(key) for key in content]
            for key, number in Counter(ids[SPLIT_NAMES[name]]).items():
                if number > 1:
                    problems.add(where, f"names caption {key} {number} times")
    for split in SPLITS:
        if split not in ids and not len(problems):
            problems.add(benchmark, f"has no split for {split}")
    problems.raise_if_any()
    places = Counter(key for split in SPLITS for key in ids[split] if key in captions)
    shared = [key for key, number in places.items() if number > 1]
    if shared:
        logger.warning("%s: captions %s are in several splits, and are read into each", path, listed(shared))
    splits = {split: [captions[key] for key in ids[split] if key in captions] for split in SPLITS}
    split_counts = {
        split: {
            "captions": len(splits[split]),
            "listed_captions": len(ids[split]),
            "unknown_captions": len(ids[split]) - len(splits[split]),
        }
        for split in SPLITS
    }
    in_none = sum(key not in places for key in captions)
    return splits, {"captions_in_several_splits": len(shared), "captions_in_no_split": in_none}, split_counts
