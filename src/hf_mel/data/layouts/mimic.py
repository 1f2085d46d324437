"""Layout `mimic`: the cleaned release of MIMIC, also that of M3EL, for each of the three benchmarks.

A folder holds `kb_entity.json`, `qid2id.json`, `<name>_{train,dev,test}.json` with one mention a record, and the pictures
in `kb_image/` and `mention_image/`. Names of files and folders are spelled in several ways (`wiki_diverse_train.json` and
`WikiDiverse_train.json`, `mention_image` and `mention_images`); all are understood.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from ..problems import Problems, listed
from ..schema import SPLITS
from .base import (
    LayoutOptions,
    PictureFolder,
    RawBenchmark,
    add_offsets,
    is_nil,
    read_json,
    require_files,
    stream_array,
    string_or_none,
)
from .names import (
    benchmark_folders,
    choose_benchmark,
    leads_out,
    make_ids_unique,
    named,
    one_file_a_split,
    picture_folder,
    split_files,
    unquoted,
)


logger = logging.getLogger(__name__)

KB_FILE = "kb_entity.json"
_ROWS_FILE = "qid2id.json"
_SPLIT_FILES = {"wikimel": "WIKIMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "wiki_diverse"}
KB_PICTURES = ("kb_image", "kb_images")
_PICTURES = ("mention_image", "mention_images")
_CURE = "Fetch the file again, or correct these records."


def is_mimic(folder: Path) -> bool:
    """Returns `True` if the folder, or a folder in it, holds the entities and mentions of a benchmark."""
    return bool(benchmark_folders(folder, KB_FILE, "json"))


def read_mimic(options: LayoutOptions) -> RawBenchmark:
    """Reads one benchmark; `raw_dir` is its folder, or that of several, among which `benchmark` chooses.

    Names are unquoted. `attr` becomes `attributes`, `desc` the `description`, `instance` the type, `id` the
    `source_row`; the first picture of `image_list` is the entity's. The picture of a mention is the base name of its
    `imgPath` up to the first dot, with `.jpg`. The release has no offsets: among the records of a split that share
    sentence and picture, the n-th with the same mention takes its n-th occurrence.
    """
    folder, benchmark, files = _find(options)
    pictures = options.images or picture_folder(folder, _PICTURES)
    entities, counts = read_kb(files["kb"], files["rows"], folder)
    problems = Problems(str(folder), _CURE)
    found = {split: _read_mentions(files[split], PictureFolder(pictures), problems) for split in SPLITS}
    problems.raise_if_any()
    mentions = {split: rows for split, (rows, _) in found.items()}
    counts = {
        "benchmark": benchmark,
        "split_rule": listed(files[split].name for split in SPLITS),
        **make_ids_unique(mentions),
        "knowledge_base": files["kb"].name,
        **counts,
    }
    split_counts = {split: split_count for split, (_, split_count) in found.items()}
    read = [path for path in files.values() if path.is_file()]
    return RawBenchmark(mentions, entities, counts, split_counts, files=read)


# ---- Files ----


def _find(options: LayoutOptions) -> tuple[Path, str, dict[str, Path]]:
    """The folder of the benchmark, its name, and its files by `kb`, `rows` and split."""
    folders = benchmark_folders(options.raw_dir, KB_FILE, "json")
    if not folders:
        names = listed(f"{name}_{{train,dev,test}}.json" for name in _SPLIT_FILES.values())
        raise FileNotFoundError(
            f"layout 'mimic' needs files that are not there: {options.raw_dir / KB_FILE}, and one of {names} beside it. "
            f"`raw_dir` must be the folder of a benchmark, or that of several such folders."
        )
    benchmark = choose_benchmark("mimic", options.raw_dir, folders, options.benchmark)
    if len(folders[benchmark]) > 1:
        raise ValueError(f"{benchmark} lies in {listed(folders[benchmark])}: pass one of them as `raw_dir`")
    folder = folders[benchmark][0]
    splits = one_file_a_split(split_files(folder, "json")[benchmark])
    files = {"kb": named(folder, KB_FILE)}
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        files[split] = splits[split] if split in splits else folder / f"{_SPLIT_FILES[benchmark]}_{name}.json"
    require_files("mimic", files.values(), f"{folder} must be the folder of {benchmark} of the release.")
    return folder, benchmark, {**files, "rows": named(folder, _ROWS_FILE)}


# ---- Mentions ----


def _read_mentions(path: Path, pictures: PictureFolder, problems: Problems) -> tuple[list[dict], dict]:
    """Rows of one split, and counts; what is wrong with its records is added to `problems`."""
    rows, captions, stems = [], [], defaultdict(set)
    for number, record in enumerate(stream_array(path), 1):
        if not _fields_fit(record, f"{path.name}, record {number}", problems):
            continue
        base_name = (record["imgPath"] or "").rsplit("/", 1)[-1]
        stem = base_name.partition(".")[0]
        if base_name:
            stems[stem].add(base_name)
        gold = record["answer"]
        sentence, mention = string_or_none(record["sentence"]), string_or_none(record["mentions"])
        captions.append((sentence, record["imgPath"]))
        rows.append(
            {
                "id": str(record["id"]),
                "mention": mention and unquoted(mention),
                "text": sentence,
                "image": pictures.path(stem) if base_name else None,
                "entity_id": None if is_nil(gold) else gold.strip(),
                "entity_name": None if is_nil(gold) or not record["entities"] else unquoted(record["entities"]),
            }
        )
    number = add_offsets(rows, captions)
    shared = sum(len(names) for names in stems.values() if len(names) > 1)
    return rows, {"captions": number, "pictures_sharing_a_file": shared}


def _fields_fit(record: dict, where: str, problems: Problems) -> bool:
    before = len(problems)
    for name in ("id", "sentence", "imgPath", "mentions", "entities", "answer"):
        if name not in record:
            problems.add(where, f"`{name}` is missing")
    for name in ("imgPath", "entities", "answer"):
        if not isinstance(record.get(name), str | None):
            problems.add(where, f"`{name}` is {record[name]!r:.60}, not a string")
    if "id" in record and (not isinstance(record["id"], str | int) or isinstance(record["id"], bool)):
        problems.add(where, f"`id` is {record['id']!r:.60}, neither a number nor a string")
    return len(problems) == before


# ---- Entities ----


def read_kb(path: Path, rows_file: Path, folder: Path) -> tuple[Callable[[], Iterator[dict]], dict]:
    """The entities of `kb_entity.json`, each time from the file, and counts of what is odd about them.

    Args:
        path (`Path`), rows_file (`Path`): `kb_entity.json`, and `qid2id.json` which may be missing.
        folder (`Path`): where the folder of the entities' pictures is.

    Returns:
        a function that gives an iterator over the rows, and a `dict` of counts.

    Raises:
        `ValueError`: lists every record with a missing or malformed field.
    """
    pictures = picture_folder(folder, KB_PICTURES)
    row_of = read_json(rows_file) if rows_file.is_file() else None
    left_out, counts = _check_kb(path, row_of)

    def entities() -> Iterator[dict]:
        for position, record in enumerate(stream_array(path)):
            if position not in left_out:
                yield _entity_row(record, pictures)

    return entities, counts


def _entity_row(record: dict, pictures: Path) -> dict:
    types = record.get("instance") or []
    images = record.get("image_list") or []
    return {
        "id": record["qid"].strip(),
        "name": unquoted(record["entity_name"]),
        "description": record.get("desc") or None,
        "attributes": record.get("attr") or None,
        "types": types if isinstance(types, list) else [types],
        "image": pictures / images[0] if images else None,
        "source_row": record["id"],
    }


def _check_kb(path: Path, row_of: dict | None) -> tuple[set[int], dict]:
    """Positions of the records that are left out, and counts; only ids are kept in memory.

    Of records with the same QID that one stays whose row `qid2id.json` names, else the first.
    """
    problems = Problems(str(path), _CURE)
    place: dict[str, tuple[int, int]] = {}
    left_out: set[int] = set()
    repeated: list[str] = []
    counts = {"entities_with_a_picture_name": 0, "further_entity_pictures": 0, "records_that_are_no_entity": 0}
    for position, record in enumerate(stream_array(path)):
        if not _entity_fits(record, f"record {position + 1}", problems):
            continue
        images = record.get("image_list") or []
        counts["entities_with_a_picture_name"] += bool(images)
        counts["further_entity_pictures"] += max(0, len(images) - 1)
        counts["records_that_are_no_entity"] += record.get("type", "entity") != "entity"
        qid = record["qid"].strip()
        if qid not in place:
            place[qid] = position, record["id"]
            continue
        repeated.append(qid)
        right = record["id"] == (row_of or {}).get(qid) != place[qid][1]
        left_out.add(place[qid][0] if right else position)
        if right:
            place[qid] = position, record["id"]
    problems.raise_if_any()
    counts["repeated_entities"] = len(repeated)
    if repeated:
        logger.warning("%s: duplicate ids %s; one record of each is used", path, listed(sorted(set(repeated))))
    return left_out, {**counts, **_compare_rows(path, {qid: row for qid, (_, row) in place.items()}, row_of)}


def _entity_fits(record: dict, where: str, problems: Problems) -> bool:
    before = len(problems)
    for name in ("qid", "entity_name"):
        if not (isinstance(record.get(name), str) and record[name].strip()):
            problems.add(where, f"`{name}` is {record.get(name)!r:.60}, which is no text")
    where = f"{where} ({record['qid']!r:.40})" if isinstance(record.get("qid"), str) else where
    if not isinstance(record.get("id"), int) or isinstance(record["id"], bool):
        problems.add(where, f"`id` is {record.get('id')!r:.60}, not the number of a row")
    for name in ("attr", "desc"):
        if not isinstance(record.get(name), str | None):
            problems.add(where, f"`{name}` is {record[name]!r:.60}, not a string")
    for name in ("instance", "image_list"):
        value = record.get(name)
        text = value is None or (name == "instance" and isinstance(value, str))
        if not text and not (isinstance(value, list) and all(isinstance(item, str) and item for item in value)):
            problems.add(where, f"`{name}` is {value!r:.60}, not a list of strings")
        elif name == "image_list" and any(leads_out(image) for image in value or []):
            problems.add(where, f"`image_list` is {value!r:.60}, which leads out of the folder of pictures")
    return len(problems) == before


def _compare_rows(path: Path, rows: dict[str, int], row_of: dict | None) -> dict:
    """Reports differences between `qid2id.json` and the entities; `nil` is not expected to be one."""
    if row_of is None:
        return {"qid2id": "not there"}
    differences = {
        "entities_not_in_it": [qid for qid in rows if qid not in row_of],
        "no_entity": [qid for qid in row_of if qid not in rows and not is_nil(qid)],
        "other_row": [qid for qid, row in rows.items() if qid in row_of and row_of[qid] != row],
    }
    for name, qids in differences.items():
        if qids:
            what = f"{path.name} and {_ROWS_FILE} differ, {name.replace('_', ' ')}"
            logger.warning("%s: %d of %d: %s", what, len(qids), len(rows), listed(qids, 5))
    return {"qid2id": {name: len(qids) for name, qids in differences.items()}}
