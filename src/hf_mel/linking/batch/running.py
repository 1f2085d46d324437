"""A whole file linked: read, linked a part at a time, noted in a journal, and at the end written in one step."""

import filecmp
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from transformers.utils.logging import tqdm

from ...data.own.reading import Checked
from ...version import __version__
from ..linked_mention import LinkedMention, MentionQuery
from .formats import RDF, WRITERS, RdfNames, format_of
from .formats.rdf import import_rdflib
from .inputs import QueryReader, TableInput
from .journal import REJECTS, STATE, Journal, locked_folder, sync_folder
from .rows import Part, RowPreparer


logger = logging.getLogger(__name__)

DECIMALS = 6
"""Numbers are rounded to so many decimals: the digits after them depend on which mentions were encoded together."""
_SHOWN = 5
_BATCHES = 4  # of the linker in a part, which sorts the mentions of a part by length


class LinksQueries(Protocol):
    """The part of [`Linker`] that is used here, in addition to what [`identity`] reads."""

    batch_size: int

    def link_queries(
        self, queries: Sequence[MentionQuery], *, top_k: int, threshold: float | None, score_threshold: float | None,
        types: Sequence[str] | None, entity_ids: Sequence[str] | None,
    ) -> list[LinkedMention]: ...  # fmt: skip


@dataclass(frozen=True)
class BatchOptions:
    """
    Options of [`~Linker.link_queries`], which apply to all rows.

    Args:
        top_k (`int`, *optional*, defaults to 5):
            Candidates of each mention.
        threshold (`float`, *optional*), score_threshold (`float`, *optional*):
            A mention is NIL if the probability that its entity is a candidate, or the score of the best one, is lower.
        types (`Sequence[str]`, *optional*), entity_ids (`Sequence[str]`, *optional*):
            Only entities of these types, or these entities, are candidates.
        prediction_set (`float`, *optional*):
            Error rate of the prediction set of each mention.
    """

    top_k: int = 5
    threshold: float | None = None
    score_threshold: float | None = None
    types: Sequence[str] | None = None
    entity_ids: Sequence[str] | None = None
    prediction_set: float | None = None


@dataclass(frozen=True)
class BatchReport:
    """
    Summary of a linked file.

    Args:
        output (`Path`), rejects (`Path`):
            The results, and the rows that were rejected, a JSON object a line; without a rejected row there is no such file.
        rows (`int`):
            Rows of the input, with rejected ones.
        rejected (`int`):
            Rows that were not linked because something is wrong with them.
        without_mention (`int`):
            Rows in which no mention was found.
        mentions (`int`):
            Mentions that were linked: lines of the results.
        nil (`int`):
            How many of these are NIL.
        undecided (`int`):
            For how many there were neither probabilities nor a threshold to decide that by.
        not_in_text (`int`):
            How many do not stand in their text.
        images (`dict[str, int]`):
            Rows that were linked by the state of their picture; only `"ok"` ones were linked with one.
        resumed (`int`):
            Rows that an earlier run had done.
        reasons (`tuple[str, ...]`):
            Why the first five rows were rejected.
        more_rejected (`int`):
            Rejected rows of which `reasons` has nothing.
    """

    output: Path
    rejects: Path
    rows: int
    rejected: int
    without_mention: int
    mentions: int
    nil: int
    undecided: int
    not_in_text: int
    images: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    reasons: tuple[str, ...] = ()
    more_rejected: int = 0


def link_file(
    linker: LinksQueries | Callable[[], LinksQueries],
    source: TableInput | str | os.PathLike,
    output: str | os.PathLike,
    *,
    options: BatchOptions | None = None,
    rejects: str | os.PathLike | None = None,
    format: str | None = None,
    rdf: RdfNames | None = None,
    chunk_size: int = 1_000,
    overwrite: bool = False,
    restart: bool = False,
    progress: bool = False,
) -> BatchReport:
    """
    Links every row of a file, in its order, in memory that does not grow with it (but for the ids, which must differ).

    A row that cannot be linked does not stop the others: it becomes a line of the file of rejected rows, with the reason.
    What is done is noted every `chunk_size` rows in a hidden folder beside the output. After an interruption the same call
    goes on from there and gives the same bytes as an undisturbed one; with another input, other options or another model,
    index or calibration it starts anew, and the log says so. The output appears in one step when all is done.

    Args:
        linker ([`Linker`] or `Callable`):
            Links the mentions; or what makes one, which is called when everything else was found to be in order.
        source ([`TableInput`], `str` or `os.PathLike`):
            The rows.
        output (`str` or `os.PathLike`):
            The file of the results.
        options ([`BatchOptions`], *optional*):
            How they are linked.
        rejects (`str` or `os.PathLike`, *optional*):
            The file of rejected rows, which is written only if there are any; `<output>.rejects.jsonl` by default.
        format (`str`, *optional*):
            `"jsonl"`, `"csv"`, `"tsv"`, `"parquet"`, `"nt"` or `"jsonld"`; by default as the suffix of `output` says.
        rdf ([`RdfNames`], *optional*):
            What things are called in linked data.
        chunk_size (`int`, *optional*, defaults to 1000):
            After about so many rows what is done is noted. Results do not depend on it.
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace the files that are there.
        restart (`bool`, *optional*, defaults to `False`):
            Do not go on from what an interrupted run left.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        [`BatchReport`]: what was counted.

    Raises:
        `ValueError`: a table without the columns that are needed, or one that changes while it is read.
        `FileExistsError`: the output is there already. `BlockingIOError`: another process is writing it.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_mel import Linker, PGMELConfig, PGMELModel, MELProcessor, make_miniature, make_miniature_tokenizer
    >>> from hf_mel.linking.batch import link_file

    >>> kb = make_miniature(num_entities=10, num_train=5, num_validation=5, num_test=5).entities
    >>> tower = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> processor = MELProcessor(tokenizer=make_miniature_tokenizer(), max_length=32)
    >>> linker = Linker(PGMELModel(PGMELConfig(text_config=tower)), processor, kb)
    >>> _ = Path("mentions.csv").write_text("id,mention,text\\n1,painter,A painter came.\\n2,,Nobody came.\\n")
    >>> report = link_file(linker, "mentions.csv", "linked.jsonl")
    >>> report.mentions, report.rejected, report.reasons
    (1, 1, ("line 3: `mention` is missing or empty (id '2')",))
    ```
    """
    source = source if isinstance(source, TableInput) else TableInput(source)
    options = options or BatchOptions()
    output, rejects = _places(source, Path(output), rejects)
    form = format_of(output, format)
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    if form in RDF and rdf is None:
        raise ValueError(f"format {form!r} names things by IRIs: say where yours begin (`rdf`, --base_iri)")
    if form == "nt":
        import_rdflib()
    reader = source.open()
    names = replace(rdf, found=source.find_mentions is not None) if rdf is not None else None
    with locked_folder(output.with_name(f".{output.name}.partial"), output) as folder:
        if not (folder / STATE).exists():
            _refuse_existing(rejects, output, overwrite)
        linker = linker() if callable(linker) else linker
        run = _Run(linker, source, reader, options, chunk_size, progress)
        journal = Journal(folder, run.fingerprint, restart)
        if not journal.complete:
            _refuse_existing(rejects, output, overwrite)
        resumed = journal.rows
        try:
            if not journal.complete:
                run.fill(journal)
            _publish_rejects(folder / REJECTS, rejects, overwrite)
            written = folder / f"output.{form}"
            WRITERS[form](journal.results(), written, names)
            _publish(written, output, overwrite)
            journal.remove()
        finally:
            journal.close()
    return _report(output, rejects, journal.counts, resumed)


class _Run:
    """Rows to results, noted in a journal."""

    def __init__(self, linker, source: TableInput, reader: QueryReader, options: BatchOptions, chunk_size, progress):
        self.linker, self.source, self.reader, self.options = linker, source, reader, options
        self.chunk_size, self.progress = chunk_size, progress
        # Mentions that are encoded together are always the same, however often the run was interrupted.
        self.part_size = _BATCHES * linker.batch_size
        self._input = reader.fingerprint()
        parts = {
            "version": __version__,
            "input": self._input | source.describe(),
            "options": asdict(options) | {"part": self.part_size},
            **identity(linker),
        }
        self.fingerprint = {
            name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            for name, value in parts.items()
        }

    def fill(self, journal: Journal) -> None:
        """Links the rows that are left."""
        if journal.rows:
            logger.warning("%d rows are done: going on from there", journal.rows)
        journal.open()
        counts, rows, noted = Counter(journal.counts), journal.rows, journal.rows
        records = islice(self._records(), journal.rows, None)
        bar = tqdm(desc="Linking", unit=" rows", initial=rows, disable=not self.progress)
        with bar:
            for part in RowPreparer(self.reader, self.source.allow_missing_images).parts(records, self.part_size):
                journal.add(self._linked(part, counts), part.rejects())
                rows += len(part.rows)
                bar.update(len(part.rows))
                if rows - noted >= self.chunk_size:
                    journal.commit(rows, counts)
                    noted = rows
        if not rows:
            raise ValueError(f"{self.reader.source.subject} holds no mention")
        if self.reader.fingerprint() != self._input:
            raise ValueError(f"{self.reader.source.subject} changed while it was read: run the command again")
        journal.commit(rows, counts, complete=True)
        journal.close()

    def _records(self) -> Iterator[Checked]:
        return self.reader.checked(whole=True)

    def _linked(self, part: Part, counts: Counter) -> list[str]:
        queries = part.queries(self.source, counts)
        options = {name: getattr(self.options, name) for name in BatchOptions.__dataclass_fields__}
        found = self.linker.link_queries(queries, **options) if queries else []
        lines = []
        for query, linked in zip(queries, found, strict=True):
            counts["mentions"] += 1
            counts["nil"] += bool(linked.is_nil)
            counts["undecided"] += linked.is_nil is None
            result = _rounded(linked.to_dict() | {"id": query.id})
            lines.append(json.dumps(result, ensure_ascii=False, allow_nan=False))
        return lines


def identity(linker) -> dict[str, Any]:
    """Returns everything that the answers of a linker depend on, as plain values."""
    manifest = linker.index.manifest
    return {
        "model": {**linker.setup, "processor": manifest.processor["fingerprint"], "backend": linker.backend.name},
        "device": linker.model.device.type,
        "index": {
            "generation": manifest.generation,
            "shards": [[shard.vector_sha256, shard.table_sha256] for shard in manifest.shards],
            "removed": [manifest.removed_file, manifest.num_removed],
        },
        "calibration": linker.calibration.to_dict() if linker.calibration is not None else None,
    }


def _rounded(value):
    if isinstance(value, float):
        return round(value, DECIMALS) + 0.0  # no negative zero
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


# ---- Places ----


def _places(source: TableInput, output: Path, rejects: str | os.PathLike | None) -> tuple[Path, Path]:
    """Returns the paths of both output files, after checking that they can be written."""
    if output.is_dir():
        raise IsADirectoryError(f"the output {output} is a folder: name a file")
    rejects = Path(rejects) if rejects is not None else output.with_name(f"{output.name}.rejects.jsonl")
    places = {"output": output, "file of rejected rows": rejects}
    for name, path in places.items():
        if path.is_dir():
            raise IsADirectoryError(f"the {name} {path} is a folder: name a file")
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} for {path.name}: make it first")
    if output.absolute() == rejects.absolute():
        raise ValueError(f"{output} is to hold both the results and the rejected rows: name two files")
    given = source.source
    if isinstance(given, (str, os.PathLike)) and Path(given).exists():
        for name, path in places.items():
            if path.exists() and os.path.samefile(path, given):
                raise ValueError(f"the {name} {path} is the input, too: name another file")
    return output, rejects


def _refuse_existing(rejects: Path, output: Path, overwrite: bool) -> None:
    for path in (output, rejects):
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} is there already: choose another name, or pass `overwrite=True`")


def _publish(written: Path, target: Path, overwrite: bool) -> None:
    """Puts a copy of a finished file in its place in one step. What is there already stays if it is the same."""
    if target.exists() and not overwrite:
        if not filecmp.cmp(written, target, shallow=False):
            raise FileExistsError(f"{target} is there already: move it away, or pass `overwrite=True`")
        return
    temporary = target.with_name(f".{target.name}.tmp")
    with open(written, "rb") as old, open(temporary, "wb") as new:
        while block := old.read(2**20):
            new.write(block)
        new.flush()
        os.fsync(new.fileno())
    os.replace(temporary, target)
    sync_folder(target.absolute().parent)


def _publish_rejects(written: Path, target: Path, overwrite: bool) -> None:
    """Without a rejected row there is no such file: one of an earlier run is removed."""
    if written.stat().st_size or (target.exists() and not overwrite):
        _publish(written, target, overwrite)
    else:
        target.unlink(missing_ok=True)


def _report(output: Path, rejects: Path, counts: Mapping[str, int], resumed: int) -> BatchReport:
    first = []
    if rejects.exists():
        with open(rejects, encoding="utf-8") as file:
            first = [json.loads(line) for line in islice(file, _SHOWN)]
    reasons = (f"{entry['place']}: {problem['reason']}" for entry in first for problem in entry["problems"])
    images = {name.removeprefix("image_"): number for name, number in counts.items() if name.startswith("image_")}
    names = ("rows", "rejected", "without_mention", "mentions", "nil", "undecided", "not_in_text")
    numbers = {name: counts.get(name, 0) for name in names}
    return BatchReport(
        output,
        rejects,
        **numbers,
        images=images,
        resumed=resumed,
        reasons=tuple(reasons),
        more_rejected=numbers["rejected"] - len(first),
    )
