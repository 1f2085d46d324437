"""Layout `wikidiverse`: the original release, by captions (passage level) or by mentions with ten candidates each.

Passage level, `{train,valid,test}.json`: `[sentence, image URL, topic, [[mention, type, start, end, link], ...]]`.
Mention level, `{train,valid,test}_w_10cands.json`: `[sentence, image URL, mention, type, left context, right context,
link, candidates, topic, start, end]`. Entities are tables of lines split by `@@@@`, if they are there at all.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datasets import Features, List, Value

from ..problems import Problems, listed
from ..schema import SPLITS
from .base import SPLIT_NAMES, LayoutOptions, RawBenchmark, is_nil, require_files, stream_array, string_or_none
from .names import choose_benchmark, entries, one_file_a_split, picture_folder, plain
from .wikidiverse_entities import WikimediaPictures, name_of, read_entities, title_of


BENCHMARK = "wikidiverse"
PICTURES = ("wikinewsImgs", "images", "mention_images", "mention_image")
ENTITY_PICTURES = ("entity_images", "entity_image", "wikipediaImgs", "kb_image", "kb_images")
CANDIDATES = Features({"candidates": List(Value("string"))})

_SPLIT_FILE = re.compile(rf"({'|'.join(SPLIT_NAMES)})(_w_\d+cands)?\.json", re.IGNORECASE)
_PASSAGE = ("sentence", "image_url", "topic", "mentions")
_ANNOTATION = ("mention", "mention_type", "start", "end", "entity")
_MENTION = ("sentence", "image_url", "mention", "mention_type", "left_context", "right_context", "entity", "candidates",
            "topic", "start", "end")  # fmt: skip
_LEVELS = {len(_PASSAGE): "passage", len(_MENTION): "mention"}
_FILES = {"passage": "{}.json", "mention": "{}_w_10cands.json"}
_COUNTS = ("captions", "captions_without_mention", "gold_links_repaired", "gold_links_not_to_wikipedia",
           "offsets_not_at_the_mention")  # fmt: skip
_CURE = "Fetch the file again, or correct these records."


class Annotation(NamedTuple):
    """One mention as either level has it; `place` is its number, within a caption after the caption's."""

    place: str
    sentence: str | None
    image_url: str | None
    topic: str | None
    mention: str | None
    mention_type: str | None
    start: int
    end: int
    entity: str | None
    candidates: list[str]


def is_wikidiverse(folder: Path) -> bool:
    """Returns `True` if the folder, or a folder in it, holds captions or mentions as lists."""
    return bool(_files(folder))


def read_wikidiverse(options: LayoutOptions) -> RawBenchmark:
    """Reads the mention level if it is there, else the passage level.

    An entity's id is the title in its Wikipedia URL, unquoted and with `_`; its name has blanks. Typos in gold links are
    repaired and counted. Offsets that do not lead to the mention become null and are counted. The candidates stay a
    column of ids, in their order. The knowledge base is that of the tables `entity2desc` and `entity2imgs`, together with
    those entities that only the annotations name; without tables it is the gold entities and the candidates.
    """
    choose_benchmark(BENCHMARK, options.raw_dir, [BENCHMARK], options.benchmark)
    level, files = _find(options.raw_dir)
    folder = options.images or _picture_folder(options.raw_dir, files["train"].parent)
    pictures = WikimediaPictures(folder)
    problems = Problems(str(options.raw_dir), _CURE)
    found = {split: _read_split(split, files[split], level, pictures, problems) for split in SPLITS}
    problems.raise_if_any()
    mentions = {split: rows for split, (rows, _) in found.items()}
    texts, images = (_table(options.raw_dir, name) for name in ("entity2desc", "entity2im"))
    entity_folder = picture_folder(options.raw_dir, ENTITY_PICTURES)
    golds = {row["entity_id"]: None for rows in mentions.values() for row in rows if row["entity_id"] is not None}
    candidates = {name: None for rows in mentions.values() for row in rows for name in row.get("candidates", ())}
    entities, kb_counts = read_entities(texts, images, WikimediaPictures(entity_folder, folder), golds, candidates)
    tables = [path for path in (texts, images) if path is not None]
    counts = {
        "benchmark": BENCHMARK,
        "level": level,
        "split_rule": listed(files[split].name for split in SPLITS),
        "knowledge_base": listed(path.name for path in tables)
        or f"gold entities{' and candidates' * (level == 'mention')}",
        **kb_counts,
    }
    split_counts = {split: split_count for split, (_, split_count) in found.items()}
    extra = CANDIDATES if level == "mention" else Features()
    return RawBenchmark(mentions, entities, counts, split_counts, extra, [*files.values(), *tables])


# ---- Files ----


def _places(folder: Path) -> list[Path]:
    """The folder and the folders in it."""
    return [folder, *(folder / name for name in entries(folder) if (folder / name).is_dir())]


def _files(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Files by level and split."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for place in _places(folder):
        for name in entries(place):
            match = _SPLIT_FILE.fullmatch(name)
            level = _level(place / name) if match is not None else None
            if level is not None:
                found[level][SPLIT_NAMES[match[1].lower()]].append(place / name)
    return found


def _level(path: Path) -> str | None:
    """The level of a file by its first record, without reading on; `None` if it is another layout's."""
    with open(path, "rb") as file:
        # Other layouts have a train.json too, which may be long; an array of arrays is known by its first bytes.
        if not re.match(rb"(\xef\xbb\xbf)?\s*\[\s*\[", file.read(256)):
            return None
    try:
        return _LEVELS.get(len(next(stream_array(path, list))))
    except ValueError:
        return None


def _find(folder: Path) -> tuple[str, dict[str, Path]]:
    """The level that is read, and its file by split."""
    found = _files(folder)
    level = "mention" if "mention" in found else "passage"
    splits = one_file_a_split(found[level])
    place = next((path.parent for path in splits.values()), folder)
    names = zip(SPLITS, ("train", "valid", "test"), strict=True)
    files = {split: splits[split] if split in splits else place / _FILES[level].format(name) for split, name in names}
    require_files(BENCHMARK, files.values(), f"{folder} must be the folder of the original release.")
    unknown = [path for split, path in files.items() if split not in splits]
    if unknown:
        raise ValueError(f"{listed(unknown)}: the first record is neither a caption nor a mention; fetch it again")
    return level, files


def _picture_folder(folder: Path, place: Path) -> Path:
    """Returns the folder of the mentions' pictures: the folder itself, or one next to the annotations."""
    found = picture_folder(folder, PICTURES)
    beside = picture_folder(place, PICTURES)
    return beside if beside.is_dir() and not found.is_dir() else found


def _table(folder: Path, name: str) -> Path | None:
    found = [
        place / entry
        for place in _places(folder)
        for entry in entries(place)
        if name in plain(entry) and entry.lower().endswith((".tsv", ".txt", ".csv"))
    ]
    if len(found) > 1:
        raise ValueError(f"{listed(found)} are tables of one kind: keep one of them")
    return found[0] if found else None


# ---- Mentions ----


def _read_split(
    split: str, path: Path, level: str, pictures: WikimediaPictures, problems: Problems
) -> tuple[list[dict], dict]:
    counts = dict.fromkeys(_COUNTS, 0)
    captions: set[tuple] = set()
    rows = []
    for found in (_passages if level == "passage" else _mentions)(path, problems, counts):
        captions.add((found.sentence, found.image_url))
        gold, repaired = (None, False) if is_nil(found.entity) else title_of(found.entity)
        fits = (found.sentence or "")[found.start : found.end] == found.mention
        counts["gold_links_repaired"] += repaired
        counts["gold_links_not_to_wikipedia"] += "://" in (gold or "")
        counts["offsets_not_at_the_mention"] += not fits
        rows.append(
            {
                "id": f"{split}-{found.place}",
                "mention": found.mention,
                "text": found.sentence,
                "start": found.start if fits else None,
                "end": found.end if fits else None,
                "mention_type": found.mention_type or None,
                "image": pictures.path(found.image_url) if found.image_url else None,
                "entity_id": gold,
                "entity_name": gold and name_of(gold),
                "topic": found.topic or None,
            }
        )
        if level == "mention":
            rows[-1]["candidates"] = [title_of(link)[0] for link in found.candidates]
    if level == "mention":
        del counts["captions_without_mention"]  # this level does not have them
        counts["captions"] = len(captions)
        counts["gold_among_candidates"] = sum(row["entity_id"] in row["candidates"] for row in rows)
    return rows, counts


def _passages(path: Path, problems: Problems, counts: dict) -> Iterator[Annotation]:
    for number, record in enumerate(stream_array(path, list)):
        where = f"{path.name}, record {number + 1}"
        counts["captions"] += 1
        if not _fits(record, _PASSAGE, where, problems):
            continue
        sentence, image_url, topic, mentions = record
        counts["captions_without_mention"] += not mentions
        for position, fields in enumerate(mentions):
            inner = f"{where}, mention {position + 1}"
            if not isinstance(fields, list):
                problems.add(inner, f"is {fields!r:.60}, not a list of fields")
            elif _fits(fields, _ANNOTATION, inner, problems):
                mention, *rest = fields
                yield Annotation(
                    f"{number}-{position}",
                    string_or_none(sentence),
                    image_url,
                    topic,
                    string_or_none(mention),
                    *rest,
                    [],
                )


def _mentions(path: Path, problems: Problems, counts: dict) -> Iterator[Annotation]:
    for number, record in enumerate(stream_array(path, list)):
        if _fits(record, _MENTION, f"{path.name}, record {number + 1}", problems):
            named = dict(zip(_MENTION, record, strict=True))
            named |= {name: string_or_none(named[name]) for name in ("sentence", "mention")}
            yield Annotation(str(number), **{name: named[name] for name in Annotation._fields[1:]})


def _fits(values: list, names: tuple[str, ...], where: str, problems: Problems) -> bool:
    """Returns `True` if a record has these fields, each of its type; adds the faults to `problems`."""
    if len(values) != len(names):
        problems.add(where, f"has {len(values)} fields, not {len(names)} ({listed(names)})")
        return False
    before = len(problems)
    for name, value in zip(names, values, strict=True):
        if name in ("sentence", "mention"):
            continue  # one that is no text is left out later
        if name in ("start", "end"):
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                problems.add(where, f"`{name}` is {value!r:.60}, not an offset")
        elif name in ("left_context", "right_context", "mentions", "candidates"):
            if not isinstance(value, list):
                problems.add(where, f"`{name}` is {value!r:.60}, not a list")
            elif name == "candidates" and not all(isinstance(link, str) and title_of(link)[0] for link in value):
                problems.add(where, f"`{name}` is {value!r:.60}, not a list of links")
        elif not isinstance(value, str | None):
            problems.add(where, f"`{name}` is {value!r:.60}, not a string")
        elif name == "entity" and not is_nil(value) and not title_of(value)[0]:
            problems.add(where, f"`{name}` is {value!r:.60}, which names no title")
    return len(problems) == before
