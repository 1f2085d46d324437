"""Writes the files of a retrieval task of mteb into a built data set: three configs, a task file and `eval.yaml`."""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, Image, SplitDict, SplitInfo, Value
from huggingface_hub import DatasetCard
from huggingface_hub.utils import validate_repo_id

from ..compat.datasets import add_configs
from ..data import MELData, load_data
from ..data.folders import CARD_FILE, is_built
from ..data.images import undecoded
from ..data.problems import listed
from ..data.shards import ShardWriter, described, file_digest
from ..data.tables import CHUNK
from .repository_files import EVAL_FILE, TASK_FILE, TaskFacts, eval_yaml, is_written_here, section, task_file


logger = logging.getLogger(__name__)

CONFIGS = ("corpus", "queries", "qrels")
_PARTIAL = ".mteb.tmp"  # a name that is never published
_SHARD_BYTES = 300_000_000
_TEXT = Value("string")
_CORPUS = {"id": _TEXT, "title": _TEXT, "text": _TEXT, "aliases": _TEXT}
_QUERIES = {"id": _TEXT, "text": _TEXT, "mention": _TEXT, "sentence": _TEXT, "start": Value("int64")}
_QRELS = {"query-id": _TEXT, "corpus-id": _TEXT, "score": Value("int64")}


@dataclass(frozen=True)
class MTEBExport:
    """
    Counts of [`write_mteb`].

    Args:
        tasks (`tuple[str, ...]`): Names of the classes in the task file.
        corpus (`int`): Documents, one an entity.
        queries (`dict[str, int]`): Queries of each split. Each has one relevant document.
        nil (`dict[str, int]`): NIL mentions of each split. They have no relevant document and are no queries.
    """

    tasks: tuple[str, ...]
    corpus: int
    queries: dict[str, int]
    nil: dict[str, int]


def write_mteb(folder: str | os.PathLike, repo_id: str) -> MTEBExport:
    """
    Adds the files of a retrieval task of mteb to a built data set.

    - `corpus/`, `queries/` and `qrels/`: configs that mteb reads. A document is an entity, a query is a mention. The text of a
      query is `"mention: sentence"`; mteb joins title and text of a document with a space. `aliases` (a list as JSON),
      `mention`, `sentence` and `start` (-1 where the mention is not in its sentence) are for [`MTEBModel`].
    - `mteb_tasks.py`: one task for texts (`t2t`) and, where both sides have pictures, one for texts with pictures (`it2it`).
    - `eval.yaml`: declares the repository as a benchmark of the Hub. One that was not written by this function is kept.
    - `README.md` gets the three configs and a section; the rest of the card stays.

    The same folder gives the same bytes. Files of an earlier call are replaced. A picture is stored a second time.

    Args:
        folder (`str` or `os.PathLike`):
            A folder that `hf-mel data build` or `hf-mel data import` wrote, with mentions.
        repo_id (`str`):
            `org/name` of the repository that it is published as. The task file loads the data from there, unless it is in
            the folder with the data.

    Returns:
        [`MTEBExport`].

    Raises:
        `ValueError`: no built data set, bad data, no mention with an entity, or the folder has files of these names that this
            function did not write.

    Example:

    ```python
    >>> from datasets import load_dataset
    >>> from hf_mel import build_dataset
    >>> from hf_mel.data import RawBenchmark
    >>> from hf_mel.mteb import write_mteb

    >>> mention = {"id": "m1", "mention": "kettle", "text": "The kettle is hot.", "entity_id": "A-1"}
    >>> raw = RawBenchmark({"test": [mention]}, lambda: iter([{"id": "A-1", "name": "Kettle"}]))
    >>> _ = build_dataset(raw, "kettles", name="kettles")
    >>> write_mteb("kettles", "org/kettles")
    MTEBExport(tasks=('KettlesT2TRetrieval',), corpus=1, queries={'test': 1}, nil={'test': 0})
    >>> load_dataset("./kettles", "queries", split="test")["text"][:]
    ['kettle: The kettle is hot.']
    ```
    """
    folder = Path(folder)
    validate_repo_id(repo_id)
    if not is_built(folder):
        raise ValueError(
            f"{folder} is no built data set: it needs {CARD_FILE} and entities/*.parquet. "
            "`hf-mel data build` and `hf-mel data import` write such a folder."
        )
    _check_place(folder)
    data = load_data(str(folder.absolute()))
    gold = {split: table["entity_id"][:] for split, table in data.mentions.items()}
    rows = {split: [row for row, each in enumerate(ids) if each is not None] for split, ids in gold.items()}
    rows = {split: numbers for split, numbers in rows.items() if numbers}
    if not rows:
        raise ValueError(f"{folder} has no mention with an entity: there is nothing to retrieve")
    card = DatasetCard.load(folder / CARD_FILE)
    with_pictures = _has_pictures(data, list(rows))
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    try:
        digests = _write_tables(partial, data, rows, any(with_pictures))
        content = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:32]
        facts = TaskFacts.of_card(card, repo_id, list(rows), all(with_pictures), content)
        (partial / TASK_FILE).write_text(task_file(facts), encoding="utf-8")
        (partial / EVAL_FILE).write_text(eval_yaml(facts), encoding="utf-8")
        (partial / CARD_FILE).write_text(_card(card, digests, facts), encoding="utf-8")
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    nil = {split: ids.count(None) for split, ids in gold.items()}
    return MTEBExport(tuple(facts.tasks), len(data.entities), {split: len(rows.get(split, ())) for split in gold}, nil)


def _check_place(folder: Path) -> None:
    """Raises a `ValueError` where files of somebody else would be replaced."""
    if is_written_here(folder / TASK_FILE):
        return
    taken = [name for name in (TASK_FILE, *CONFIGS) if (folder / name).exists()]
    if taken:
        raise ValueError(
            f"{folder} has {listed(taken)}, which were not written for mteb by hf_mel: rename or remove them, since the task "
            "needs these names"
        )


def _has_pictures(data: MELData, splits: list[str]) -> tuple[bool, bool]:
    """Returns whether any mention, and whether any entity, has a picture."""
    of_mentions = any("ok" in data.mentions[split].unique("image_status") for split in splits)
    return of_mentions, data.entities.has_images


# ---- Tables ----


def _write_tables(
    folder: Path, data: MELData, rows: dict[str, list[int]], pictures: bool
) -> dict[str, dict[str, list[str]]]:
    """Writes the three configs; returns digests of their files, by config and split."""
    image = {"image": Image()} if pictures else {}
    corpus, queries, qrels = Features(_CORPUS | image), Features(_QUERIES | image), Features(_QRELS)
    written = {"corpus": {"corpus": _write(folder, "corpus/corpus", corpus, _documents(data, corpus))}}
    written |= {"queries": {}, "qrels": {}}
    for split, numbers in rows.items():
        mentions = data.mentions[split].select(numbers)
        written["queries"][split] = _write(folder, f"queries/{split}", queries, _queries(mentions, queries))
        pairs = {"query-id": mentions["id"][:], "corpus-id": mentions["entity_id"][:], "score": [1] * len(mentions)}
        table = pa.table(pairs).cast(qrels.arrow_schema)
        written["qrels"][split] = _write(folder, f"qrels/{split}", qrels, iter([table]))
    return written


def _documents(data: MELData, features: Features) -> Iterator[pa.Table]:
    kb = data.entities
    pictures = undecoded(kb.dataset)
    for begin in range(0, len(kb), CHUNK):
        part = range(begin, min(begin + CHUNK, len(kb)))
        columns = {"id": [kb.ids[row] for row in part], "title": kb.names(part), "text": kb.texts(part)}
        columns["aliases"] = [json.dumps(aliases, ensure_ascii=False) for aliases in kb.aliases(part)]
        yield _table(columns, pictures, part, features)


def _queries(mentions: Dataset, features: Features) -> Iterator[pa.Table]:
    pictures = undecoded(mentions)
    for begin in range(0, len(mentions), CHUNK):
        part = range(begin, min(begin + CHUNK, len(mentions)))
        given = {name: mentions.select(part)[name][:] for name in ("id", "mention", "text", "start")}
        texts = [f"{mention}: {text}" for mention, text in zip(given["mention"], given["text"], strict=True)]
        columns = {"id": given["id"], "text": texts, "mention": given["mention"], "sentence": given["text"]}
        columns["start"] = [-1 if start is None else start for start in given["start"]]  # mteb refuses null
        yield _table(columns, pictures, part, features)


def _table(columns: dict, pictures: Dataset, rows: range, features: Features) -> pa.Table:
    if "image" in features:
        taken = pictures.select_columns(["image"]).with_format("arrow")[rows.start : rows.stop]
        columns = columns | {"image": taken.column("image")}
    return pa.table(columns).cast(features.arrow_schema)


def _write(folder: Path, name: str, features: Features, tables: Iterator[pa.Table]) -> list[str]:
    """Writes a split as shards; returns their digests."""
    writer = ShardWriter(features, lambda number: folder / f"{name}-{number:05d}.tmp", max_shard_bytes=_SHARD_BYTES)
    try:
        for table in tables:
            writer.write(table)
        paths = writer.finish()
    finally:
        writer.abandon()
    digests = [file_digest(path) for path in paths]
    for number, path in enumerate(paths):
        os.replace(path, folder / f"{name}-{number:05d}-of-{len(paths):05d}.parquet")
    return digests


# ---- Card ----


def _card(card: DatasetCard, digests: dict[str, dict[str, list[str]]], facts: TaskFacts) -> str:
    infos = {
        config: DatasetInfo(
            description=described(config, [each for split in splits.values() for each in split]),
            splits=SplitDict({split: SplitInfo(split) for split in splits}),
        )
        for config, splits in digests.items()
    }
    add_configs(card.data, infos, default="")
    begin, end = "<!-- mteb -->", "<!-- end of mteb -->"
    text = re.sub(rf"\n*{begin}.*?{end}\n*", "\n", card.text, flags=re.DOTALL).rstrip("\n")
    return f"---\n{card.data.to_yaml()}\n---\n{text}\n\n{begin}\n{section(facts)}\n{end}\n"


def _put_in_place(partial: Path, folder: Path) -> None:
    """
    Replaces the files of an earlier call. The task file comes first, so that a call that was interrupted can be repeated, and
    the card last, so that it never names files that are not there.
    """
    names = [TASK_FILE, EVAL_FILE]
    if (folder / EVAL_FILE).exists() and not is_written_here(folder / EVAL_FILE):
        logger.warning("%s was not written by hf_mel: it is kept as it is", folder / EVAL_FILE)
        names.remove(EVAL_FILE)
    for name in names:
        os.replace(partial / name, folder / name)
    for config in CONFIGS:
        (folder / config).mkdir(exist_ok=True)
        for old in (folder / config).glob("*.parquet"):
            old.unlink()
        for new in sorted((partial / config).iterdir()):
            os.replace(new, folder / config / new.name)
    os.replace(partial / CARD_FILE, folder / CARD_FILE)
