"""Layout `fissfuse`: the release of FissFuse, which ThinkLinker also uses, for each of the three benchmarks.

A folder holds `entities.jsonl` (`qid`, `id`, `name`, `desc`), `<NAME>_{train,valid,test}.jsonl` (`mention_id`, `mentions`,
`sentence`, `imgPath`, `candidates`) and one HDF5 file with the pictures in its groups `entity_image`, by QID, and
`mention_image`, by the base name of `imgPath` up to its first dot.

The first of the `candidates` is the gold entity; a record names it nowhere else.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from datasets import Features, List, Value

from ..hdf5_pictures import StoredPicture, require_h5py
from ..problems import listed
from ..schema import SPLITS
from .base import LayoutOptions, RawBenchmark, add_offsets, is_nil, require_files, string_or_none
from .left_out import ENTITIES
from .names import benchmark_folders, choose_benchmark, entries, make_ids_unique, named, one_file_a_split, split_files
from .records import LeftOut, is_text, read_lines


_ENTITY_FILE = "entities.jsonl"
_SUFFIXES = (".h5", ".hdf5")
_ORDER = "by id; in the released files the gold entity is the first candidate of every mention"


def is_fissfuse(folder: Path) -> bool:
    """Returns `True` if the folder, or a folder in it, holds `entities.jsonl` and mentions of a benchmark."""
    return bool(benchmark_folders(folder, _ENTITY_FILE, "jsonl"))


def read_fissfuse(options: LayoutOptions) -> RawBenchmark:
    """Reads one benchmark; `raw_dir` is its folder, or that of several, among which `benchmark` chooses.

    The gold entity is the first candidate, or NIL. The column `candidates` has each candidate once, sorted by id: their
    released order would give the answer away. A mention whose gold entity is not in `entities.jsonl` is left out. An entity
    without a picture in the HDF5 file has none; a mention with `imgPath` must have one. `images` names another HDF5 file.
    """
    folder, benchmark, files = _find(options)
    pictures = options.images or _picture_file(folder, benchmark)
    if options.pictures and pictures.is_file():
        require_h5py(pictures)
    entities, known, counts, left_out = _read_entities(files[ENTITIES], pictures)
    mentions, split_counts = {}, {}
    for split in SPLITS:
        bad = LeftOut(split)
        mentions[split], split_counts[split] = _read_mentions(files[split], pictures, known, bad)
        left_out += bad.entries
    counts = {
        "benchmark": benchmark,
        "split_rule": listed(files[split].name for split in SPLITS),
        **make_ids_unique(mentions),
        "knowledge_base": _ENTITY_FILE,
        **counts,
        "candidates_sorted": _ORDER,
        "gold_first_in_released_candidates": sum(
            row["entity_id"] is not None for rows in mentions.values() for row in rows
        ),
    }
    features = Features({"candidates": List(Value("string"))})
    read = [*files.values(), *([pictures] if pictures.is_file() else [])]
    return RawBenchmark(mentions, entities, counts, split_counts, features, read, left_out)


# ---- Files ----


def _find(options: LayoutOptions) -> tuple[Path, str, dict[str, Path]]:
    """The folder of the benchmark, its name, and its files by `entities` and split."""
    folders = benchmark_folders(options.raw_dir, _ENTITY_FILE, "jsonl")
    if not folders:
        raise FileNotFoundError(
            f"layout 'fissfuse' needs files that are not there: {options.raw_dir / _ENTITY_FILE}, and files such as "
            "WIKIDIVERSE_train.jsonl beside it. `raw_dir` must be the folder of a benchmark, or that of several such folders."
        )
    benchmark = choose_benchmark("fissfuse", options.raw_dir, folders, options.benchmark)
    if len(folders[benchmark]) > 1:
        raise ValueError(f"{benchmark} lies in {listed(folders[benchmark])}: pass one of them as `raw_dir`")
    folder = folders[benchmark][0]
    splits = one_file_a_split(split_files(folder, "jsonl")[benchmark])
    files = {ENTITIES: named(folder, _ENTITY_FILE)}
    for split, name in zip(SPLITS, ("train", "valid", "test"), strict=True):
        files[split] = splits[split] if split in splits else folder / f"{benchmark.upper()}_{name}.jsonl"
    require_files("fissfuse", files.values(), f"{folder} must be the folder of {benchmark} of the release.")
    return folder, benchmark, files


def _picture_file(folder: Path, benchmark: str) -> Path:
    """The HDF5 file of the folder; the released name if there is none."""
    found = [folder / name for name in entries(folder) if name.lower().endswith(_SUFFIXES)]
    if len(found) > 1:
        raise ValueError(f"{listed(found)} are HDF5 files: name the one with the pictures by `images=`")
    return found[0] if found else folder / f"{benchmark}_image.h5"


# ---- Mentions ----


def _read_mentions(path: Path, pictures: Path, known: dict[str, str], bad: LeftOut) -> tuple[list[dict], dict]:
    """Rows of one split, and counts; records that cannot be used are added to `bad`."""
    rows, captions = [], []
    counts = {"candidates_repeated": 0, "candidates_not_in_kb": 0}
    for number, record in read_lines(path, bad):
        fault = _fault(record, known)
        if fault is not None:
            bad.add(f"{path.name}, line {number}", fault)
            continue
        gold, *others = record["candidates"]
        gold = None if is_nil(gold) else gold.strip()
        candidates = {name.strip() for name in [gold, *others] if not is_nil(name)}
        counts["candidates_repeated"] += sum(not is_nil(name) for name in record["candidates"]) - len(candidates)
        counts["candidates_not_in_kb"] += len(candidates - known.keys())
        stem = (record["imgPath"] or "").rsplit("/", 1)[-1].partition(".")[0]
        captions.append((string_or_none(record["sentence"]), record["imgPath"]))
        rows.append(
            {
                "id": str(record["mention_id"]),
                "mention": string_or_none(record["mentions"]),
                "text": string_or_none(record["sentence"]),
                "image": StoredPicture(str(pictures), "mention_image", stem) if stem else None,
                "entity_id": gold,
                "entity_name": known.get(gold),
                "candidates": sorted(candidates),
            }
        )
    return rows, {"captions": add_offsets(rows, captions), **counts}


def _fault(record: dict, known: dict[str, str]) -> str | None:
    """Returns the reason for which a mention cannot be used; `None` if it can."""
    for name in ("mention_id", "mentions", "sentence", "imgPath", "candidates"):
        if name not in record:
            return f"`{name}` is missing"
    if not isinstance(record["mention_id"], str | int) or isinstance(record["mention_id"], bool):
        return f"`mention_id` is {record['mention_id']!r:.60}, neither a number nor a string"
    if not isinstance(record["imgPath"], str | None):
        return f"`imgPath` is {record['imgPath']!r:.60}, not a string"
    candidates = record["candidates"]
    if not isinstance(candidates, list) or not all(isinstance(each, str) for each in candidates):
        return f"`candidates` is {candidates!r:.60}, not a list of ids"
    if not candidates:
        return "`candidates` is empty, and the first one is the gold entity"
    if not is_nil(candidates[0]) and candidates[0].strip() not in known:
        return f"its gold entity, {candidates[0]!r:.60}, is not in {_ENTITY_FILE}"
    return None


# ---- Entities ----


def _read_entities(
    path: Path, pictures: Path
) -> tuple[Callable[[], Iterator[dict]], dict[str, str], dict, list[dict]]:
    """A function that gives the rows, the name of each id, counts, and what is left out. Only ids and names are kept."""
    bad, known, used, repeated = LeftOut(ENTITIES), {}, set(), 0
    for number, record in read_lines(path, bad):
        fault = _entity_fault(record)
        if fault is not None:
            bad.add(f"{path.name}, line {number}", fault)
        elif record["qid"].strip() in known:
            repeated += 1
        else:
            known[record["qid"].strip()] = record["name"]
            used.add(number)
    if not known:
        raise ValueError(
            f"{path} holds no entity that can be used" + (f": {bad.entries[0]['reason']}" if bad.entries else "")
        )

    def entities() -> Iterator[dict]:
        for number, record in read_lines(path):
            if number in used:
                qid = record["qid"].strip()
                yield {
                    "id": qid,
                    "name": record["name"],
                    "description": record.get("desc") or None,
                    "image": StoredPicture(str(pictures), "entity_image", qid, named=False),
                    "source_row": record.get("id"),
                }

    return entities, known, {"repeated_entities": repeated}, bad.entries


def _entity_fault(record: dict) -> str | None:
    """Returns the reason for which an entity cannot be used; `None` if it can."""
    for name in ("qid", "name"):
        if not is_text(record.get(name)):
            return f"`{name}` is {record.get(name)!r:.60}, which is no text"
    if not isinstance(record.get("desc"), str | None):
        return f"`desc` is {record['desc']!r:.60}, not a string"
    if not isinstance(record.get("id"), int | None) or isinstance(record.get("id"), bool):
        return f"`id` is {record['id']!r:.60}, not the number of a row"
    return None
