"""A benchmark as a folder of Parquet with a card, which `load_dataset` reads as it is, here and on the Hub."""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from datasets import Features
from datasets.utils import tqdm
from filelock import FileLock, Timeout

from ...version import __version__
from ..benchmarks import BENCHMARKS, Benchmark
from ..folders import CARD_FILE
from ..layouts import RawBenchmark
from ..layouts.load import read_layout
from ..problems import Problems
from ..schema import ENTITY_FEATURES, MENTION_FEATURES
from ..tables import PictureRule, condensed, missing_folders, refusal, summary
from .build_checks import check_rows, check_written, dataset_infos
from .card import render_card
from .pool import Workers
from .state import LOCK_FILE, STATE_FILE, BuildState
from .writing import write_table


logger = logging.getLogger(__name__)

REPORT_FILE = "build_report.json"
_PACKAGES = ("datasets", "pyarrow", "pillow")  # other versions of these may write other bytes


@dataclass(frozen=True)
class _Job:
    """Arguments of one build."""

    raw: RawBenchmark
    name: str
    raw_dir: Path | None
    origin: dict
    info: Benchmark | None
    max_shard_bytes: int
    max_image_side: int | None

    @property
    def mention_features(self) -> Features:
        return Features({**MENTION_FEATURES, **self.raw.extra_features})

    def features(self, table: str) -> Features:
        return ENTITY_FEATURES if table.startswith("entities/") else self.mention_features

    def rows(self) -> dict:
        """By table, a function that gives its rows anew."""
        tables = {f"mentions/{split}": rows.__iter__ for split, rows in self.raw.mentions.items()}
        return {**tables, "entities/train": self.raw.entities}

    def fingerprint(self) -> str:
        """Of options, versions and input files; rows and pictures are looked at shard by shard."""
        files = []
        for file in self.raw.files:
            found = Path(file).stat()
            files.append([str(file), found.st_size, found.st_mtime_ns])
        content = [
            self.name, self.origin, self.max_shard_bytes, self.max_image_side, _versions(), files,
            str(self.mention_features),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def build_dataset(
    raw: RawBenchmark,
    out: str | os.PathLike,
    *,
    name: str,
    raw_dir: str | os.PathLike | None = None,
    origin: dict | None = None,
    info: Benchmark | None = None,
    num_proc: int = 1,
    max_shard_bytes: int = 300_000_000,
    max_image_side: int | None = None,
    strict_images: bool = False,
    resume: bool = True,
    overwrite: bool = False,
) -> dict:
    """Writes a benchmark as Parquet with its pictures inside, and a card, for `load_dataset`.

    Rows are handled a hundred at a time, so memory does not grow with the benchmark. Every picture is decoded once: one
    that is missing, damaged or blank becomes null, with its `image_status`, and is counted and named in the report.
    The same input gives the same bytes, whatever `num_proc` is and however often the build was interrupted. Nothing
    lies at `out` before all of it is written and has been read back.

    Args:
        raw ([`RawBenchmark`]): what to write.
        out (`str` or `os.PathLike`): the new folder. Its name is what `load_dataset` is told in the folder above.
        name (`str`): what the benchmark is called.
        raw_dir (`str` or `os.PathLike`, *optional*): pictures are named in the report relative to this folder.
        origin (`dict`, *optional*): `layout` and `options` that `raw` was read with, for report and card.
        info ([`Benchmark`], *optional*): what is known of the benchmark, by default what `BENCHMARKS` has under `name`.
        num_proc (`int`, *optional*, defaults to 1): processes that open pictures.
        max_shard_bytes (`int`, *optional*, defaults to 300,000,000): when a Parquet file is full.
        max_image_side (`int`, *optional*): pictures with a longer side are scaled down to it; by default the bytes stay
            as they are.
        strict_images (`bool`, *optional*, defaults to `False`): raise if any picture is missing, unreadable or blank.
        resume (`bool`, *optional*, defaults to `True`): go on where an interrupted build of the same files with the same
            options stopped. Anything else starts anew.
        overwrite (`bool`, *optional*, defaults to `False`): replace what an earlier build left at `out`.

    Returns:
        `dict`: what was read, counted, left out and found broken; the same as `build_report.json` in the folder.

    Raises:
        `ValueError`: mentions or entities that cannot be used (all are listed), or broken pictures with `strict_images`.
        `FileNotFoundError`: with `strict_images`, if a picture is missing.
        `FileExistsError`: something lies at `out`.
        `RuntimeError`: another process is building the same folder, or one of the processes was killed.

    Example:

    ```python
    >>> from datasets import load_dataset
    >>> from hf_mel import build_dataset
    >>> from hf_mel.data import RawBenchmark

    >>> mention = {"id": "m1", "mention": "kettle", "text": "The kettle is hot.", "entity_id": "A-1"}
    >>> raw = RawBenchmark({"train": [mention]}, lambda: iter([{"id": "A-1", "name": "Kettle"}]))
    >>> report = build_dataset(raw, "kitchen", name="kitchen")
    >>> load_dataset("./kitchen", "mentions", split="train")["entity_id"][:]
    ['A-1']
    ```
    """
    for option, value in (
        ("num_proc", num_proc),
        ("max_shard_bytes", max_shard_bytes),
        ("max_image_side", max_image_side),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{option}={value}: it must be at least 1")
    out = Path(out).absolute()
    _check_place(out, overwrite)
    job = _Job(
        raw, name, Path(raw_dir).absolute() if raw_dir is not None else None, origin or {},
        info or BENCHMARKS.get(name), max_shard_bytes, max_image_side,
    )  # fmt: skip
    counts, fingerprints = check_rows(raw, job.mention_features)
    folder = out.with_name(f".{out.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(f"another process is building {out} at the moment: wait for it, or stop it") from None
    try:
        report = _build(job, folder, counts, fingerprints, num_proc, strict_images, resume)
        (folder / STATE_FILE).unlink(missing_ok=True)
        (folder / LOCK_FILE).unlink(missing_ok=True)
        _put_in_place(folder, out)
    finally:
        lock.release()
    if report["pictures"]:
        level = logging.ERROR if missing_folders(report["pictures"]) else logging.WARNING
        logger.log(
            level, "%s; their records have none. All are named in %s", summary(report["pictures"]), out / REPORT_FILE
        )
    return report


def build_benchmark(
    name: str, raw_dir: str | os.PathLike, out: str | os.PathLike, layout: str = "auto", *,
    options: dict | None = None, strict: bool = False, **build_options,
) -> dict:  # fmt: skip
    """Converts the released files of a benchmark into a folder for `load_dataset`.

    Args:
        name (`str`): the benchmark, a name in `BENCHMARKS`; any other gets a card that says what to add.
        raw_dir (`str` or `os.PathLike`): the folder with the released files.
        out (`str` or `os.PathLike`): the new folder.
        layout (`str`, *optional*, defaults to `"auto"`): as in [`load_layout`].
        options (`dict`, *optional*): `captions`, `images`, `text`, `seed`, `split_by` and `validation_share` of
            [`load_layout`], `pictures` (`False` reads none), `fetch_urls` and `drop_leaked`.
        strict (`bool`, *optional*, defaults to `False`): as in [`load_layout`]: raise if a mention or its sentence is no
            text, instead of leaving it out.
        build_options: those of [`build_dataset`].

    Returns:
        `dict`: the report of [`build_dataset`].

    Example:

    ```python
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from datasets import load_dataset
    >>> from hf_mel.data.building import build_benchmark

    >>> temporary = tempfile.TemporaryDirectory()
    >>> raw = Path(temporary.name) / "raw"
    >>> raw.mkdir()
    >>> captions = {
    ...     str(i): {"sentence": f"Ada at desk {i}", "mentions": ["Ada"], "entities": ["Ada Lovelace"], "answer": ["Q7259"]}
    ...     for i in range(10)
    ... }
    >>> _ = (raw / "Wikidata-MEL.json").write_text(json.dumps(captions))
    >>> report = build_benchmark("wikimel", raw, Path(temporary.name) / "wikimel")
    >>> report["splits"]["test"]["images"]
    {'missing_file': 2}
    >>> load_dataset(f"{temporary.name}/wikimel", "entities", split="train")["name"][:]
    ['Ada Lovelace']
    ```
    """
    given = {key: value for key, value in (options or {}).items() if value is not None}
    benchmark = {"benchmark": name} if name in BENCHMARKS else {}
    layout, raw = read_layout(layout, raw_dir, strict=strict, **{**benchmark, **given})
    shown = {key: Path(value).name if key in ("captions", "images") else value for key, value in given.items()}
    shown |= {"fetch_urls": True} if given.get("fetch_urls") else {}
    origin = {"layout": layout, **({"options": shown} if shown else {})}
    return build_dataset(raw, out, name=name, raw_dir=raw_dir, origin=origin, **build_options)


# ---- Steps ----


def _build(
    job: _Job, folder: Path, counts: dict, fingerprints: dict, num_proc: int, strict_images: bool, resume: bool
) -> dict:
    state = BuildState(folder, job.fingerprint(), resume)
    for table, rows in job.rows().items():
        state.drop_changed(table, rows())
    state.tidy()
    total = counts["entities"] + sum(split["mentions"] for split in counts["splits"].values())
    rule = PictureRule(check=True, embed=True, max_side=job.max_image_side)
    with Workers(num_proc) as workers, tqdm(total=total, unit=" rows", desc=job.name) as progress:
        for table, rows in job.rows().items():
            write_table(table, rows(), job.features(table), rule, state, workers, job.max_shard_bytes, progress)
    pictures = _pictures(state)
    if strict_images and pictures:
        _refuse(pictures, folder)
    check_written(state, fingerprints)
    report = _report(job, state, counts, [_without_place(entry, job.raw_dir) for entry in condensed(pictures)])
    infos = dataset_infos(state, job.mention_features)
    card = render_card(job.name, report, infos, job.info, job.raw.extra_features)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
    for table, shards in state.tables.items():
        for number, shard in enumerate(shards):
            os.replace(folder / shard.file, folder / _final_name(table, number, len(shards)))
    return report


def _final_name(table: str, number: int, shards: int) -> str:
    return f"{table}-{number:05d}-of-{shards:05d}.parquet"


def _pictures(state: BuildState) -> list[dict]:
    """All broken pictures of all tables."""
    entries = []
    for table in state.tables:
        config, split = table.split("/")
        entries += state.log(table).entries(config, split)
    return entries


def _refuse(pictures: list[dict], folder: Path) -> None:
    listing = folder / "broken_pictures.json"
    listing.write_text(json.dumps(pictures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    problems = Problems(
        summary(pictures).partition(": record ")[0],
        f"All are listed in {listing}. Restore them and build again, or build with `strict_images=False`: their "
        "records then have no picture.",
    )
    for entry in pictures:
        problems.add(f"{entry['table']}, {entry['split']}, record {entry['record']!r}", entry["reason"])
    raise refusal(pictures)(problems.message())


def _without_place(entry: dict, raw_dir: Path | None) -> dict:
    """The entry without the folders of this machine, which are nobody's business and differ between machines."""
    file = Path(entry["file"])
    if not file.is_absolute():
        return entry
    if raw_dir is not None and file.is_relative_to(raw_dir):
        short = file.relative_to(raw_dir).as_posix()
    else:
        short = f"{file.parent.name}/{file.name}"
    return {**entry, "file": short, "reason": entry["reason"].replace(str(file), short)}


def _report(job: _Job, state: BuildState, counts: dict, pictures: list[dict]) -> dict:
    further = {key: value for key, value in counts.items() if key not in ("splits", "entities", "text_field")}
    return {
        "name": job.name,
        **({"origin": job.origin} if job.origin else {}),
        **job.raw.counts,
        "entities": counts["entities"],
        "entity_images": _by_status(state, "entities/train"),
        "text_field": counts["text_field"],
        "splits": {
            split: {**found, **job.raw.split_counts.get(split, {}), "images": _by_status(state, f"mentions/{split}")}
            for split, found in counts["splits"].items()
        },
        **further,
        "pictures": pictures,
        "build_options": {"max_shard_bytes": job.max_shard_bytes, "max_image_side": job.max_image_side},
        "built_with": _versions(),
        "files": [
            {
                "file": _final_name(table, number, len(shards)),
                "rows": shard.rows,
                "bytes": shard.file_bytes,
                "sha256": shard.sha256,
            }
            for table, shards in state.tables.items()
            for number, shard in enumerate(shards)
        ],
    }


def _by_status(state: BuildState, table: str) -> dict[str, int]:
    return dict(sorted(state.log(table).by_status.items()))


def _versions() -> dict[str, str]:
    return {"hf-mel": __version__, **{package: metadata.version(package) for package in _PACKAGES}}


# ---- Places ----


def _check_place(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / REPORT_FILE).is_file():
        raise FileExistsError(f"{out} is there, and was not built by this command: choose another folder")
    if not overwrite:
        raise FileExistsError(f"{out} is built already: pass `overwrite=True` to replace it")


def _put_in_place(folder: Path, out: Path) -> None:
    replaced = out.with_name(f".{out.name}.replaced")
    if replaced.exists():
        shutil.rmtree(replaced)
    if (out / REPORT_FILE).is_file():
        os.replace(out, replaced)
    elif out.is_dir():
        out.rmdir()  # it is empty
    os.replace(folder, out)
    if replaced.exists():
        shutil.rmtree(replaced)
