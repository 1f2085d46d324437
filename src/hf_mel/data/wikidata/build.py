"""The folder of a knowledge base from Wikidata, in two passes over what is kept and with labels in a table on disk."""

import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.utils import tqdm

from ..building.pool import Workers
from ..schema import ENTITY_FEATURES
from ..shards import file_digest
from ..url_names import shown_url
from .card import write_card
from .endpoint import fetch_entities
from .entities import BAD_LINES, FOLLOWED, read_batch, unpacked
from .findings import Findings
from .labels import LabelTable, label_key
from .options import WikidataOptions, check_endpoint, is_pid, is_qid
from .source import check_source, read_batches, read_qids
from .tables import EXTRA_FEATURES, TableWriter, label_batch, needed_ids


logger = logging.getLogger(__name__)

REPORT_FILE = "wikidata_report.json"
CUT_OFF = "the array that begins with [ is not closed by ] at the end: is the dump complete?"

_TABLES = {"entities": ENTITY_FEATURES, "wikidata": EXTRA_FEATURES}


def build_from_wikidata(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    languages: Sequence[str] = ("en",),
    properties: Sequence[str] = (),
    types: Sequence[str] = (),
    min_sitelinks: int = 0,
    endpoint: str | None = None,
    num_workers: int = 1,
    max_shard_bytes: int = 300_000_000,
    overwrite: bool = False,
) -> dict:
    """Writes entities of Wikidata as a folder that `KnowledgeBase.load` and `load_dataset` read.

    A dump is read once, a few megabytes at a time. Entities that pass the filters go to a temporary file next to `out`, and
    the label of every item and property to an SQLite table there. Then values get their labels from this table. So memory
    does not grow with the dump. The result is the same for any number of processes.

    Args:
        source (`str` or `os.PathLike`): a dump (`.json`), entities in JSON lines (`.jsonl`), both also with `.gz` or `.bz2`, or
            JSON of `Special:EntityData`; `"-"` is standard input. With `endpoint`, a text file with one QID a line.
        out (`str` or `os.PathLike`): the new folder. An entity's id is its QID.
        languages (`Sequence[str]`, *optional*, defaults to `("en",)`): the name and the description are those of the first
            language that has one, then `mul`. Aliases and further labels of all of them become aliases. Entities without
            a label in any of them are left out.
        properties (`Sequence[str]`, *optional*): their values become `attributes`, such as `"Occupation: painter."`;
            `"description"` among them puts the description there too.
        types (`Sequence[str]`, *optional*): keep direct instances (P31) of these only.
        min_sitelinks (`int`, *optional*, defaults to 0): keep entities with at least so many sitelinks.
        endpoint (`str`, *optional*): URL of the API from which the QIDs in `source` are fetched, such as
            `https://www.wikidata.org/w/api.php`. Without it, nothing is fetched.
        num_workers (`int`, *optional*, defaults to 1): processes that parse JSON.
        max_shard_bytes (`int`, *optional*, defaults to 300,000,000): when a Parquet file is full.
        overwrite (`bool`, *optional*, defaults to `False`): replace what an earlier run left at `out`.

    Returns:
        `dict`: what was read and left out, the same as `wikidata_report.json` in the folder. `cut_off` is true where the array
            of a dump is not closed; its entities are kept, and the log warns.

    Raises:
        `ValueError`: an option that is wrong, a damaged file, an endpoint that fails, or no entity that is kept.
        `FileNotFoundError`: there is no such file. `FileExistsError`: something lies at `out`.

    Example:

    ```python
    >>> import json
    >>> from pathlib import Path
    >>> from hf_mel import KnowledgeBase
    >>> from hf_mel.data import build_from_wikidata

    >>> labels = {code: {"language": code, "value": name} for code, name in {"en": "Vienna", "de": "Wien"}.items()}
    >>> _ = Path("cities.jsonl").write_text(json.dumps({"type": "item", "id": "Q1741", "labels": labels}))
    >>> report = build_from_wikidata("cities.jsonl", "cities", languages=["de", "en"])
    >>> report["entities"], report["bad_lines"]["count"]
    (1, 0)
    >>> kb = KnowledgeBase.load("cities")
    >>> kb.names(), kb.aliases()
    (['Wien'], [['Vienna']])
    ```
    """
    options = WikidataOptions(languages, properties, types, min_sitelinks)
    for name, value in (("num_workers", num_workers), ("max_shard_bytes", max_shard_bytes)):
        if value < 1:
            raise ValueError(f"{name}={value}: it must be at least 1")
    if endpoint is not None:
        check_endpoint(endpoint)
    check_source(source, endpoint)
    out = Path(out).absolute()
    _check_place(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary,
        Workers(num_workers) as workers,
    ):
        run = _Run(Path(temporary), options, endpoint, workers)
        run.read(source)
        if run.cut_off:
            logger.warning("%s: %s", source, CUT_OFF)
        counts = run.write(max_shard_bytes)
        report = run.report(source, counts)
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (run.result / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
        write_card(run.result, out.name, report, _TABLES)
        _put_in_place(run.result, out)
    return report


class _Run:
    """Both passes, with their files in a temporary folder."""

    def __init__(self, folder: Path, options: WikidataOptions, endpoint: str | None, workers: Workers):
        self.options, self.endpoint, self.workers = options, endpoint, workers
        self.kept, self.labels, self.result = folder / "kept", folder / "labels", folder / "result"
        self.findings = Findings()
        self.lines = self.records = 0
        self.cut_off = False

    # ---- First pass ----

    def read(self, source: str | os.PathLike) -> None:
        """Keeps entities that pass the filters, and the label of every item and property."""
        table = LabelTable(self.labels)
        try:
            with open(self.kept, "wb") as file, tqdm(unit=" entities", desc="Reading") as progress:
                tasks = ((first, lines, self.options) for first, lines in self._batches(source))
                for batch in self.workers.map(read_batch, tasks):
                    came_before = table.add(batch.labels, self.records) & set(batch.kept)
                    for row in sorted(came_before):
                        batch.findings.add("duplicate", batch.kept[row])
                    if len(batch.kept) > len(came_before):
                        head = json.dumps([len(batch.blob), self.records, sorted(came_before)])
                        file.write(head.encode() + b"\n" + batch.blob)
                    self.findings.update(batch.findings)
                    self.records += batch.read
                    progress.update(batch.read)
            if self.endpoint is not None:
                self._fetch_labels(table)
        finally:
            table.close()

    def _batches(self, source: str | os.PathLike) -> Iterator[tuple[int, list[bytes]]]:
        if self.endpoint is None:
            opening = last = b""
            for first, lines in read_batches(source):
                opening = opening or next(filter(None, map(bytes.strip, lines)), b"")
                last = next(filter(None, map(bytes.strip, reversed(lines))), last)
                self.lines += len(lines)
                yield first, lines
            is_array = opening.removeprefix(b"\xef\xbb\xbf").startswith(b"[")
            self.cut_off = is_array and not last.endswith(b"]")
            return
        ids = read_qids(source, self.findings)
        self.lines = len(ids)
        for number, answer in enumerate(fetch_entities(self.endpoint, ids, self.options.order), start=1):
            yield number, [answer]

    def _fetch_labels(self, table: LabelTable) -> None:
        """Asks the endpoint for the labels of types, values and properties that were not in the list."""
        needed: dict[str, None] = {}
        for blob, _, _ in self._spooled():
            needed |= dict.fromkeys(
                each for each in needed_ids(unpacked(blob), self.options) if is_qid(each) or is_pid(each)
            )
        missing = table.missing(map(label_key, needed))
        ids = [each for each in needed if label_key(each) in missing]
        plain = WikidataOptions(self.options.languages)
        for number, answer in enumerate(fetch_entities(self.endpoint, ids, self.options.order, "labels"), start=1):
            table.add(read_batch(number, [answer], plain).labels)

    def _spooled(self) -> Iterator[tuple[bytes, int, set[int]]]:
        """Kept batches: packed entities, records before them, and rows of entities that came before."""
        with open(self.kept, "rb") as file:
            while head := file.readline():
                size, first, came_before = json.loads(head)
                yield file.read(size), first, set(came_before)

    # ---- Second pass ----

    def write(self, max_shard_bytes: int) -> dict[str, Counter]:
        """Writes the tables with labels, and counts what is in them."""
        counts: dict[str, Counter] = {name: Counter() for name in ("languages", "with", "values_left_out")}
        writers = {
            name: TableWriter(features, self.result / name, max_shard_bytes) for name, features in _TABLES.items()
        }
        tasks = ((self.labels, *spooled, self.options) for spooled in self._spooled())
        try:
            with tqdm(unit=" entities", desc="Writing") as progress:
                for part in self.workers.map(label_batch, tasks):
                    writers["entities"].write(part.entities)
                    writers["wikidata"].write(part.extra)
                    self.findings.update(part.findings)
                    for name, counted in part.counts.items():
                        counts[name].update(counted)
                    progress.update(len(part.entities))
            if not writers["entities"].rows:
                raise ValueError(f"no entity is left of {self.records:,} that were read:{self._reasons()}")
            for writer in writers.values():
                writer.finish()
        finally:
            for writer in writers.values():
                writer.abandon()
        return counts

    # ---- Report ----

    def report(self, source: str | os.PathLike, counts: dict[str, Counter]) -> dict:
        """Counts of what was read, left out and written; the same for any number of processes, and on any day."""
        about = (BAD_LINES, FOLLOWED, "labels_not_found", "repeated_qids")
        left_out = {kind: entry for kind, entry in self.findings.to_dict().items() if kind not in about}
        files = sorted(self.result.glob("*/*.parquet"))
        return {
            "source": Path(source).name,
            "endpoint": shown_url(self.endpoint) if self.endpoint else None,
            "options": self.options.to_dict(),
            "lines": self.lines,
            "cut_off": self.cut_off,
            "entities_read": self.records,
            "entities": sum(counts["languages"].values()),
            "left_out": left_out,
            **{kind: self.findings.entry(kind) for kind in about},
            **{name: dict(sorted((+counted).items())) for name, counted in counts.items()},
            "files": [
                {
                    "file": file.relative_to(self.result).as_posix(),
                    "bytes": file.stat().st_size,
                    "sha256": file_digest(file),
                }
                for file in files
            ],
        }

    def _reasons(self) -> str:
        """Number of records for each reason of leaving them out, with the first of them."""
        lines = [
            f"  {self.findings.counts[kind]:,} {kind}, the first: {self.findings.named[kind][0]}"
            for kind in sorted(self.findings.counts)
        ]
        if self.cut_off:
            lines.append(f"  {CUT_OFF}")
        return "\n".join(["", *lines]) if lines else " the source is empty"


# ---- Places ----


def _check_place(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / REPORT_FILE).is_file():
        raise FileExistsError(f"{out} is there, and was not written by this command: choose another folder")
    if not overwrite:
        raise FileExistsError(f"{out} is written already: pass `overwrite=True` to replace it")


def _put_in_place(folder: Path, out: Path) -> None:
    """Moves the result to its place; what an earlier run left is removed only then."""
    if (out / REPORT_FILE).is_file():
        os.replace(out, folder.with_name("replaced"))  # removed together with the temporary folder
    elif out.is_dir():
        out.rmdir()  # it is empty
    shutil.move(folder, out)
