"""Common parts of the layouts: captions, splits, picture folders, and the result of a reader."""

import codecs
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import ijson
from datasets import Features

from ..mention_checks import locate_mentions
from ..problems import Problems, listed
from ..schema import SPLITS


_NIL = ("nil", "null", "none", "")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp")
SPLIT_NAMES = {"train": "train", "dev": "validation", "val": "validation", "valid": "validation"}
SPLIT_NAMES |= {"validation": "validation", "test": "test"}

_KINDS = {dict: "an object with fields", list: "a list of fields"}
_CHOICES = {"text": ("short", "long"), "split_by": ("sentence", "mention")}

Item = TypeVar("Item")


@dataclass(frozen=True)
class LayoutOptions:
    """Options of a reader; the arguments of [`load_layout`]."""

    raw_dir: Path
    benchmark: str | None = None
    captions: Path | None = None
    images: Path | None = None
    text: str = "short"
    seed: int = 0
    split_by: str = "sentence"
    validation_share: float = 0.1
    pictures: bool = True

    def __post_init__(self):
        for name, valid in _CHOICES.items():
            if getattr(self, name) not in valid:
                raise ValueError(f"{name}={getattr(self, name)!r}: use one of {listed(valid)}")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share={self.validation_share} must lie between 0 and 1")


@dataclass(frozen=True)
class Caption:
    """A sentence with its mentions: `mentions`, `names` and `answers` run in parallel; an answer `None` is NIL.

    A sentence or mention that is no string is `None`; `leave_out_unusable` removes its rows.
    """

    id: str
    sentence: str | None
    mentions: list[str | None]
    names: list[str | None]
    answers: list[str | None]


@dataclass
class RawBenchmark:
    """Result of a reader; no picture has been opened yet.

    Args:
        mentions (`dict[str, list[dict]]`): rows by split, with the keys of `MENTION_FEATURES` but `image_status`; a key
            that is not there is null. `image` is a path, encoded bytes, or `None` where the release names no picture.
        entities (`Callable`): gives an iterator over the rows of the knowledge base, a new one each time, with the keys
            of `ENTITY_FEATURES` but `image_status`. It never holds all of a large knowledge base.
        counts (`dict`): what was read and left out, for the report.
        split_counts (`dict[str, dict]`): the same for each split.
        extra_features (`Features`): columns of the mentions which the schema does not have.
        files (`list[Path]`): the files that were read, pictures aside: if they change, so does the benchmark.
        left_out (`list[dict]`): records that cannot be used: `split` (`"entities"` for one of the knowledge base), `record`
            (its id or line) and `reason`.
        picture_urls (`dict[Path, str]`): URL of the pictures of mentions, by their file, where the release names both.
    """

    mentions: dict[str, list[dict]]
    entities: Callable[[], Iterator[dict]]
    counts: dict = field(default_factory=dict)
    split_counts: dict[str, dict] = field(default_factory=dict)
    extra_features: Features = field(default_factory=Features)
    files: list[Path] = field(default_factory=list)
    left_out: list[dict] = field(default_factory=list)
    picture_urls: dict[Path, str] = field(default_factory=dict)


# ---- Reading ----


def require_files(layout: str, files: Iterable[Path], hint: str) -> None:
    """Raises one `FileNotFoundError` that names every file which is missing."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"layout {layout!r} needs files that are not there: {listed(missing)}. {hint}")


def first_file(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)


def stream_array(path: Path, kind: type = dict) -> Iterator:
    """The records of a JSON array, one at a time, so that a file of any size takes little memory.

    Args:
        path (`Path`): the file.
        kind (`type`, *optional*, defaults to `dict`): what a record is: a `dict` of fields, or a `list`.

    Raises:
        `ValueError`: names the file, and the record after which it cannot be read.
    """
    number = 0
    try:
        with open(path, "rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            for record in ijson.items(file, "item", use_float=True):
                number += 1
                if not isinstance(record, kind):
                    raise ValueError(f"{path}: record {number} is {record!r:.60}, not {_KINDS[kind]}")
                yield record
    except ijson.JSONError as error:
        raise ValueError(f"{path} is not whole JSON after record {number} ({error}); fetch it again") from error
    if number == 0:
        raise ValueError(f"{path} holds no array of records; fetch it again")


def read_json(path: Path) -> dict:
    """A JSON object from a file; a key that stands twice is an error, because one of its values would be lost.

    Raises:
        `ValueError`: names the file, and the position or the repeated keys.
    """
    repeated: list[str] = []

    def unique(pairs: list[tuple]) -> dict:
        result = dict(pairs)
        if len(result) < len(pairs):
            repeated.extend(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        return result

    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not whole JSON: {error.msg} in line {error.lineno}, column {error.colno}; fetch it again"
        ) from error
    if repeated:
        raise ValueError(f"{path}: duplicate keys {listed(repeated)}; keep one of each")
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not an object of records by id")
    return content


def read_captions(path: Path) -> dict[str, Caption]:
    """Captions by id from `{"id", "sentence", "mentions", "entities", "answer"}`, in lists or (one mention) strings.

    Raises:
        `ValueError`: lists every caption that lacks a field, whose lists differ in length, or whose gold is no string.
    """
    problems = Problems(
        str(path), "Each caption needs `sentence`, and `mentions`, `entities`, `answer` of one length."
    )
    captions = {}
    for key, record in read_json(path).items():
        caption = _caption(key, record, problems)
        if caption is not None:
            captions[key] = caption
    problems.raise_if_any()
    return captions


def _caption(key: str, record, problems: Problems) -> Caption | None:
    before = len(problems)
    where = f"caption {key!r}"
    if not isinstance(record, dict):
        problems.add(where, f"is {type(record).__name__}, not an object with fields")
        return None
    for name in ("sentence", "mentions", "entities", "answer"):
        if name not in record:
            problems.add(where, f"`{name}` is missing")
    if len(problems) > before:
        return None
    lists = {name: _as_list(record[name]) for name in ("mentions", "entities", "answer")}
    if len({len(values) for values in lists.values()}) > 1:
        problems.add(where, ", ".join(f"{len(values)} `{name}`" for name, values in lists.items()) + " do not match")
    for name in ("entities", "answer"):
        for value in lists[name]:
            if value is not None and not isinstance(value, str):
                problems.add(where, f"`{name}` holds {value!r}, which is no text")
    if len(problems) > before:
        return None
    answers = [None if is_nil(value) else value.strip() for value in lists["answer"]]
    mentions = [string_or_none(mention) for mention in lists["mentions"]]
    names = [name or None for name in lists["entities"]]
    return Caption(key, string_or_none(record["sentence"]), mentions, names, answers)


def string_or_none(value) -> str | None:
    """A mention or sentence as a reader hands it on: what is no string becomes `None`, which is left out later."""
    return value if isinstance(value, str) else None


def is_nil(answer: str | None) -> bool:
    """Returns `True` if an answer means that the knowledge base has no entity for the mention."""
    return answer is None or answer.strip().lower() in _NIL


def _as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def read_splits(path: Path, captions: dict[str, Caption]) -> tuple[dict[str, list[Caption]], dict[str, dict], int]:
    """Captions by split from `{"train": [ids], "dev": [..], "test": [..]}`.

    Ids without a caption are left out and counted: released split files name captions that the release does not hold.

    Returns:
        captions by split, counts by split, and the number of captions that are in no split.
    """
    problems = Problems(str(path), "Give each caption id one place in `train`, `dev` or `test`.")
    content = read_json(path)
    for name, ids in content.items():
        if name not in SPLIT_NAMES:
            problems.add(f"split {name!r}", "is unknown")
        elif not (isinstance(ids, list) and all(isinstance(caption_id, str) for caption_id in ids)):
            problems.add(f"split {name!r}", "is not a list of ids")
    problems.raise_if_any()
    place: dict[str, str] = {}
    splits: dict[str, list[Caption]] = {split: [] for split in SPLITS}
    counts: dict[str, dict] = {split: {"listed_captions": 0, "unknown_captions": 0} for split in SPLITS}
    for name, ids in content.items():
        split = SPLIT_NAMES[name]
        for caption_id in ids:
            if caption_id in place:
                problems.add(f"split {name!r}", f"caption {caption_id!r} is already in {place[caption_id]!r}")
                continue
            place[caption_id] = name
            counts[split]["listed_captions"] += 1
            if caption_id in captions:
                splits[split].append(captions[caption_id])
            else:
                counts[split]["unknown_captions"] += 1
    problems.raise_if_any()
    for split, found in splits.items():
        counts[split]["captions"] = len(found)
    return splits, counts, sum(caption_id not in place for caption_id in captions)


def deal_out(
    items: Sequence[Item], shares: dict[str, float], seed: int, key: Callable[[Item], Hashable]
) -> dict[str, list[Item]]:
    """Deals items out by a hash of the seed and their key; items of one key stay together.

    Args:
        items (`Sequence`): what to deal out; each split keeps their order.
        shares (`dict[str, float]`): share of the distinct keys by split; the first split takes what is left.
        seed (`int`): another seed gives another split; no random generator is used.
        key (`Callable`): what stays together, such as the sentence of a caption.
    """

    def rank(value: Hashable) -> bytes:
        return hashlib.sha256(f"{seed}:{value}".encode("utf-8", "surrogatepass")).digest()

    order = sorted({key(item) for item in items}, key=rank)
    first, *others = shares
    split_of, taken = {}, 0
    for split in others:
        number = round(shares[split] * len(order))
        split_of.update(dict.fromkeys(order[taken : taken + number], split))
        taken += number
    result: dict[str, list[Item]] = {split: [] for split in shares}
    for item in items:
        result[split_of.get(key(item), first)].append(item)
    return result


def read_named_entities(names_file: Path, text_file: Path | None) -> list[dict]:
    """Rows of entities from `qid2ne` (id -> name) and `qid2abs` (id -> attributes)."""
    names = read_json(names_file)
    texts = read_json(text_file) if text_file is not None else {}
    problems = Problems(str(names_file), "Each id needs a name, and each attribute text an id that has one.")
    for entity_id, name in names.items():
        if not entity_id.strip():
            problems.add(f"name {name!r}", "has an empty id")
        if not isinstance(name, str) or not name.strip():
            problems.add(f"entity {entity_id!r}", f"has no name ({name!r})")
    for entity_id, text in texts.items():
        if entity_id not in names:
            problems.add(f"entity {entity_id!r}", f"is in {text_file.name}, but has no name")
        if text is not None and not isinstance(text, str):
            problems.add(
                f"entity {entity_id!r}", f"has attributes in {text_file.name} that are no text ({text!r:.60})"
            )
    problems.raise_if_any()
    return [
        {"id": entity_id, "name": name, "attributes": texts.get(entity_id) or None, "source_row": row}
        for row, (entity_id, name) in enumerate(names.items())
    ]


# ---- Mentions and their pictures ----


class PictureFolder:
    """Pictures `<caption id>.jpg` of a folder, which is listed once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._files: dict[str, dict[str, str]] = {}
        if folder.is_dir():
            for name in os.listdir(folder):
                stem, suffix = os.path.splitext(name)
                self._files.setdefault(stem, {})[suffix.lower()] = name

    def path(self, caption_id: str) -> Path:
        """The file of a caption; the released name `<id>.jpg` if there is none."""
        files = self._files.get(caption_id, {})
        suffix = next((suffix for suffix in _SUFFIXES if suffix in files), None)
        return self.folder / (files[suffix] if suffix else f"{caption_id}.jpg")


def add_offsets(rows: list[dict], captions: Sequence[Hashable]) -> int:
    """Finds the mention of each row in its text, and sets `start` and `end`; null where it does not stand there literally.

    Args:
        rows (`list[dict]`): rows with one mention each, changed in place.
        captions (`Sequence[Hashable]`): the caption of each row: the n-th of equal mentions takes the n-th occurrence.

    Returns:
        `int`: the number of captions.
    """
    members = defaultdict(list)
    for row, caption in zip(rows, captions, strict=True):
        members[caption].append(row)
    for same in members.values():
        spans = locate_mentions(same[0]["text"], [row["mention"] for row in same])
        for row, span in zip(same, spans, strict=True):
            row |= {"start": span and span[0], "end": span and span[1]}
    return len(members)


def caption_rows(captions: Iterable[Caption], picture_of: Callable[[str], Path | None]) -> list[dict]:
    """One row a mention. Its id is `<caption id>-<position in the caption>`, its picture that of the caption's id."""
    return [
        {
            "id": f"{caption.id}-{position}",
            "mention": caption.mentions[position],
            "text": caption.sentence,
            "start": span and span[0],
            "end": span and span[1],
            "image": picture_of(caption.id),
            "entity_id": caption.answers[position],
            "entity_name": caption.names[position],
        }
        for caption in captions
        for position, span in enumerate(locate_mentions(caption.sentence, caption.mentions))
    ]
