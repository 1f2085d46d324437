"""Layout `melart`: MELArt, sentences about paintings whose depicted entities are linked to Wikidata.

`melart_annotations.json` has a record for each painting, by its QID: `title`, `img_url`, `split`, and for visual and for
contextual sentences `<kind>_sentences` and `<kind>_el_matches`, a list of `{"qid", "text", "start", "end"}` for each
sentence. `el_candidates.jsonl` has the entities: `qid`, `labels` (`main`, `alt`), `description`, `types`, `images`. Pictures
of paintings and entities lie in `images/files/`. All of it may lie in a folder `output_files`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from datasets import Features, Value

from ..schema import SPLITS
from .base import SPLIT_NAMES, LayoutOptions, RawBenchmark, read_json, require_files, string_or_none
from .left_out import ENTITIES, NO_SPLIT
from .names import choose_benchmark, leads_out, unquoted
from .records import LeftOut, is_text, read_lines


BENCHMARK = "melart"
_MENTIONS, _ENTITIES = "melart_annotations.json", "el_candidates.jsonl"
_KINDS = ("visual", "contextual")


def is_melart(folder: Path) -> bool:
    """Returns `True` if the folder, or `output_files` in it, holds annotations and candidates of MELArt."""
    place = _place(folder)
    return (place / _MENTIONS).is_file() and (place / _ENTITIES).is_file()


def read_melart(options: LayoutOptions) -> RawBenchmark:
    """Reads paintings and candidates. The picture of a mention is that of its painting.

    The column `sentence_type` says whether a sentence is visual or contextual. Offsets that do not lead to the mention become
    null and are counted. A mention whose gold entity is not among the candidates is left out, and so is a candidate without
    any English label.
    """
    choose_benchmark(BENCHMARK, options.raw_dir, [BENCHMARK], options.benchmark)
    folder = _place(options.raw_dir)
    files = [folder / _MENTIONS, folder / _ENTITIES]
    require_files(
        BENCHMARK, files, f"{options.raw_dir} must be the folder of the release, or hold it in output_files."
    )
    pictures = _Pictures(options.images or _picture_folder(folder))
    entities, names, counts, left_out = _read_entities(files[1], pictures)
    bad = {split: LeftOut(split) for split in (*SPLITS, NO_SPLIT)}
    mentions: dict[str, list[dict]] = {split: [] for split in SPLITS}
    split_counts = {split: {"captions": 0, "paintings": 0, "offsets_not_at_the_mention": 0} for split in SPLITS}
    for painting, record in read_json(files[0]).items():
        split = SPLIT_NAMES.get(record.get("split")) if _has_split(record) else None
        if split is None:
            bad[NO_SPLIT].add(f"painting {painting}", "has no `split` that is train, val or test")
            continue
        fault = _painting_fault(record)
        if fault is not None:
            bad[split].add(f"painting {painting}", fault)
            continue
        split_counts[split]["paintings"] += 1
        mentions[split] += _rows(painting, record, names, pictures, split_counts[split], bad[split])
    counts = {
        "benchmark": BENCHMARK,
        "split_rule": f"`split` in {_MENTIONS}",
        "knowledge_base": _ENTITIES,
        **counts,
    }
    left_out += [entry for each in bad.values() for entry in each.entries]
    features = Features({"sentence_type": Value("string")})
    return RawBenchmark(mentions, entities, counts, split_counts, features, files, left_out)


# ---- Files ----


def _place(folder: Path) -> Path:
    return folder / "output_files" if (folder / "output_files" / _MENTIONS).is_file() else folder


def _picture_folder(folder: Path) -> Path:
    images = folder / "images"
    return images if images.is_dir() and not (images / "files").is_dir() else images / "files"


class _Pictures:
    """Files by the URL of a picture, whose last part is their quoted name, with `_` or spaces."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._names = set(os.listdir(folder)) if folder.is_dir() else set()

    def first(self, urls: list[str]) -> Path | None:
        """The file of the first URL that has one, else what the first should have."""
        names = [name for url in urls if (name := unquoted(url.rsplit("/", 1)[-1])) and not leads_out(name)]
        spellings = [spelling for name in names for spelling in (name, name.replace("_", " "), name.replace(" ", "_"))]
        found = next((name for name in spellings if name in self._names), next(iter(names), None))
        return self.folder / found if found else None


def _id(value: str) -> str:
    """`Q345` for `http://www.wikidata.org/entity/Q345`."""
    return value.strip().rsplit("/", 1)[-1]


# ---- Mentions ----


def _has_split(record) -> bool:
    return isinstance(record, dict) and isinstance(record.get("split"), str)


def _painting_fault(record: dict) -> str | None:
    """Returns the reason for which a painting cannot be used; `None` if it can."""
    if not isinstance(record.get("img_url"), str | None):
        return f"`img_url` is {record['img_url']!r:.60}, not a string"
    for kind in _KINDS:
        sentences, matches = record.get(f"{kind}_sentences"), record.get(f"{kind}_el_matches")
        if not isinstance(sentences, list) or not isinstance(matches, list):
            return f"`{kind}_sentences` and `{kind}_el_matches` are not both lists"
        if len(sentences) != len(matches) or not all(isinstance(each, list) for each in matches):
            return f"`{kind}_el_matches` has no list of matches for each of {len(sentences)} `{kind}_sentences`"
    return None


def _rows(
    painting: str, record: dict, names: dict[str, str], pictures: _Pictures, counts: dict, bad: LeftOut
) -> Iterator[dict]:
    """The rows of a painting; matches that cannot be used are added to `bad`."""
    image = pictures.first([record["img_url"]] if record.get("img_url") else [])
    for kind in _KINDS:
        pairs = zip(record[f"{kind}_sentences"], record[f"{kind}_el_matches"], strict=True)
        for number, (sentence, matches) in enumerate(pairs):
            counts["captions"] += bool(matches)
            for position, match in enumerate(matches):
                key = f"{painting}-{kind[0]}{number}-{position}"
                fault = _match_fault(match, names)
                if fault is not None:
                    bad.add(key, fault)
                    continue
                start, end = match.get("start"), match.get("end")
                text, gold = string_or_none(sentence), _id(match["qid"])
                fits = (
                    type(start) is int and type(end) is int and 0 <= start and (text or "")[start:end] == match["text"]
                )
                counts["offsets_not_at_the_mention"] += not fits
                yield {
                    "id": key,
                    "mention": string_or_none(match["text"]),
                    "text": text,
                    "start": start if fits else None,
                    "end": end if fits else None,
                    "image": image,
                    "entity_id": gold,
                    "entity_name": names[gold],
                    "sentence_type": kind,
                }


def _match_fault(match, names: dict[str, str]) -> str | None:
    """Returns the reason for which a match cannot be used; `None` if it can."""
    if not isinstance(match, dict):
        return f"is {match!r:.60}, not an object with fields"
    for name in ("qid", "text"):
        if name not in match:
            return f"`{name}` is missing"
    if not is_text(match["qid"]):
        return f"`qid` is {match['qid']!r:.60}, which is no text"
    if _id(match["qid"]) not in names:
        return f"its gold entity, {_id(match['qid'])!r:.60}, is not in {_ENTITIES}"
    return None


# ---- Entities ----


def _read_entities(
    path: Path, pictures: _Pictures
) -> tuple[Callable[[], Iterator[dict]], dict[str, str], dict, list[dict]]:
    """A function that gives the rows, the name of each id, counts, and what is left out. Only ids and names are kept."""
    bad, names, used = LeftOut(ENTITIES), {}, set()
    counts = {"repeated_entities": 0, "entities_named_by_another_label": 0, "further_entity_pictures": 0}
    for number, record in read_lines(path, bad):
        fault = _entity_fault(record)
        if fault is not None:
            bad.add(f"{path.name}, line {number}", fault)
        elif _id(record["qid"]) in names:
            counts["repeated_entities"] += 1
        else:
            names[_id(record["qid"])] = _labels(record)[0]
            counts["entities_named_by_another_label"] += not is_text(record["labels"].get("main"))
            counts["further_entity_pictures"] += max(0, len(record.get("images") or []) - 1)
            used.add(number)
    if not names:
        reason = f": {bad.entries[0]['reason']}" if bad.entries else ""
        raise ValueError(f"{path} holds no entity that can be used{reason}")

    def entities() -> Iterator[dict]:
        for number, record in read_lines(path):
            if number in used:
                name, *aliases = _labels(record)
                yield {
                    "id": _id(record["qid"]),
                    "name": name,
                    "aliases": aliases,
                    "description": record.get("description") or None,
                    "types": list((record.get("types") or {}).values()),
                    "image": pictures.first(record.get("images") or []),
                    "source_row": number - 1,
                }

    return entities, names, counts, bad.entries


def _labels(record: dict) -> list[str]:
    """The main label, if there is one, and the others."""
    labels = record["labels"]
    return list(dict.fromkeys(filter(is_text, [labels.get("main"), *(labels.get("alt") or [])])))


def _entity_fault(record: dict) -> str | None:
    """Returns the reason for which a candidate cannot be used; `None` if it can."""
    if not is_text(record.get("qid")):
        return f"`qid` is {record.get('qid')!r:.60}, which is no text"
    labels, types, images = record.get("labels"), record.get("types"), record.get("images")
    if not isinstance(labels, dict) or not isinstance(labels.get("alt"), list | None):
        return f"`labels` is {labels!r:.60}, not an object with `main` and `alt`"
    if not _labels(record):
        return f"({_id(record['qid'])}) has no label"
    if not isinstance(record.get("description"), str | None):
        return f"`description` is {record['description']!r:.60}, not a string"
    if not isinstance(types, dict | None) or not all(isinstance(each, str) for each in (types or {}).values()):
        return f"`types` is {types!r:.60}, not an object of labels"
    if not isinstance(images, list | None) or not all(isinstance(each, str) for each in images or ()):
        return f"`images` is {images!r:.60}, not a list of URLs"
    return None
