"""Encodes a knowledge base into the folder of an index."""

import hashlib
import json
import os
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from ...data import KnowledgeBase
from ...data.problems import counted, listed, nearest
from ...encoding import SideInputs, warn_of_unknown
from ...models import MatchingModel, MELProcessor
from .encoder import Alone, EncodeSettings, Process, ShardEncoder, encode_shards
from .fingerprints import describe_model, describe_processor
from .folder import REFERENCE_FOLDER, Pending, check_usable, commit, readable_manifest, tidy, write_removed, writing
from .manifest import FORMAT_VERSION, Manifest, Shard, changed_files, read_manifest
from .precision import PRECISIONS
from .recall import measure_recall
from .recall_at_build import recall_of_build
from .rewriting import rewrite
from .search import SearchableIndex
from .store import add_states, row_shapes


logger = logging.get_logger(__name__)


def build_index(
    model: MatchingModel,
    processor: MELProcessor,
    knowledge_base: KnowledgeBase,
    folder: Path,
    settings: EncodeSettings,
    precision: str,
    *,
    progress: bool = False,
    overwrite: bool = False,
    process: Process | None = None,
    measure: bool = True,
    features: SideInputs | None = None,
) -> None:
    """Builds the folder of an index, see [`EntityIndex.build`]. With `measure=False`, recall is not measured."""
    check_precision(precision)
    if not len(knowledge_base):
        raise ValueError("there is no entity to encode: the knowledge base is empty")
    process = Alone() if process is None else process
    described = {"model": describe_model(model), "processor": describe_processor(processor)}
    job = _job(described, knowledge_base, settings, precision)
    if process.is_main_process:
        check_usable(folder, overwrite=True)  # before a lock is left in a folder of another kind
        folder.mkdir(parents=True, exist_ok=True)
    process.wait_for_everyone()
    with writing(folder) if process.is_main_process else nullcontext():
        if not _is_done(folder, job, process):
            build = _Build(folder, job, settings, precision, described, process, progress, features)
            build.begin(overwrite)
            if precision == "float32":
                build.encode(model, processor, knowledge_base, measure)
            else:
                build.reduce(model, processor, knowledge_base)
        process.wait_for_everyone()


def _job(described: dict, knowledge_base: KnowledgeBase, settings: EncodeSettings, precision: str) -> str:
    """Changes with everything on which the files of an index depend."""
    prints = [*(part["fingerprint"] for part in described.values()), described["model"]["proposal_name"]]
    return fingerprint([FORMAT_VERSION, knowledge_base.fingerprint, asdict(settings), precision, prints])


def convert_index(index: SearchableIndex, folder: Path, precision: str) -> None:
    """Writes a copy of an index in another precision, see [`EntityIndex.convert`]."""
    check_precision(precision)
    if index.manifest.precision != "float32":
        raise ValueError(
            f"{index.folder} holds {index.manifest.precision}, in which precision is lost already: convert one in float32"
        )
    check_usable(folder, overwrite=False)
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder):
        job = fingerprint([index.manifest.to_dict(), precision])
        Pending(folder, job).begin(None)
        rows = np.arange(index.num_rows)
        manifest = replace(
            index.manifest,
            precision=precision,
            model_source=_moved(index.manifest.model_source, index.folder, folder),
            shards=rewrite(index.store, rows, folder, 0, index.manifest.shard_rows, precision),
            removed_file=write_removed(folder, 1, np.flatnonzero(~index.alive)),
            generation=1,
            proposals=None,
            job=job,
        )
        manifest = replace(manifest, next_shard=len(manifest.shards))
        recall = None
        if precision != "float32" and manifest.vector_name is not None:  # else only the model could measure it
            recall = measure_recall(index, SearchableIndex(folder, manifest))
        commit(folder, replace(manifest, recall=recall))


def check_precision(precision: str) -> None:
    """Raises a `ValueError` for one that is not known."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r}{nearest(precision, PRECISIONS) or '.'} Use one of {listed(PRECISIONS)}"
        )


def fingerprint(value: Any) -> str:
    """A digest of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_done(folder: Path, job: str, process: Process) -> bool:
    """
    Returns `True` if the same build has ended before, and nothing was changed since: it may have been interrupted after its
    last step.
    """
    done = False
    manifest = readable_manifest(folder)
    if manifest is not None:
        done = manifest.job == job and not changed_files(folder, manifest)
    process.wait_for_everyone()  # no one begins to write while another still looks
    if done:
        logger.info(f"{folder} holds this index already")
        if process.is_main_process:
            tidy(folder, manifest)
    return done


class _Build:
    """The steps of a build, of which only the main process does those that write for all."""

    def __init__(
        self,
        folder: Path,
        job: str,
        settings: EncodeSettings,
        precision: str,
        described: dict,
        process: Process,
        progress: bool,
        features: SideInputs | None,
    ):
        self.features = features
        self.folder, self.job, self.settings, self.precision = folder, job, settings, precision
        self.described, self.process, self.progress = described, process, progress
        self.pending = Pending(folder, job)
        self.replaced: Manifest | None = None

    def begin(self, overwrite: bool) -> None:
        """Looks at what is in the folder, and keeps what this build wrote before."""
        if self.process.is_main_process:
            self.replaced = check_usable(self.folder, overwrite)
            self.pending.begin(self.replaced)
        self.process.wait_for_everyone()
        if not self.process.is_main_process:
            self.replaced = readable_manifest(self.folder)

    @property
    def first(self) -> int:
        """Number of the first shard: readers of an index that is replaced still have files under the other numbers."""
        return 0 if self.replaced is None else self.replaced.next_shard

    def encode(
        self, model: MatchingModel, processor: MELProcessor, knowledge_base: KnowledgeBase, measure: bool
    ) -> None:
        """Writes the shards and, when all are there, the manifest, with the recall of proposals if it is to be measured."""
        if self.process.is_main_process:
            warn_of_unknown(processor, knowledge_base)
        encoder = ShardEncoder(model, processor, knowledge_base, self.settings, features=self.features)
        rows = np.arange(len(knowledge_base))
        count = encode_shards(encoder, rows, self.first, self.pending, "float32", self.process, self.progress)
        self.process.wait_for_everyone()
        if self.process.is_main_process:
            shards = self.pending.written(self.first, count)
            manifest = self._manifest(model, knowledge_base, shards)
            if measure:
                measured = recall_of_build(model, processor, knowledge_base, SearchableIndex(self.folder, manifest))
                manifest = replace(manifest, **measured)
            commit(self.folder, manifest)

    def reduce(self, model: MatchingModel, processor: MELProcessor, knowledge_base: KnowledgeBase) -> None:
        """Builds an index in full precision beside, writes its vectors in less, and measures what that costs."""
        place = self.folder / REFERENCE_FOLDER
        options = {"progress": self.progress, "overwrite": True, "process": self.process, "measure": False}
        options |= {"features": self.features}
        build_index(model, processor, knowledge_base, place, self.settings, "float32", **options)
        if not self.process.is_main_process:
            return
        full = SearchableIndex(place, read_manifest(place))
        rows = np.arange(full.num_rows)
        shards = rewrite(full.store, rows, self.folder, self.first, self.settings.shard_rows, self.precision)
        manifest = self._manifest(model, knowledge_base, shards)
        measured = recall_of_build(model, processor, knowledge_base, SearchableIndex(self.folder, manifest), full)
        commit(self.folder, replace(manifest, **measured))

    def _manifest(self, model: MatchingModel, knowledge_base: KnowledgeBase, shards: list[Shard]) -> Manifest:
        images = add_states([shard.images for shard in shards])
        report_pictures(images, self.folder)
        return Manifest(
            precision=self.precision,
            **asdict(self.settings),
            **self.described,
            model_source=_source(model, self.folder),
            kb_fingerprint=knowledge_base.fingerprint,
            text_field=knowledge_base.text_field,
            tensors=row_shapes(self.folder, shards[0]),
            shards=shards,
            images=images,
            next_shard=self.first + len(shards),
            generation=1 if self.replaced is None else self.replaced.generation + 1,
            job=self.job,
        )


def report_pictures(images: dict[str, int], folder: Path) -> None:
    broken = {state: number for state, number in images.items() if state not in ("ok", "none")}
    if broken:
        kinds = listed(f"{number:,} {state}" for state, number in broken.items())
        logger.warning(f"{folder}: {counted(sum(broken.values()), 'picture')} of entities could not be used ({kinds})")


def _source(model: MatchingModel, folder: Path) -> str | None:
    """
    Returns the place of the checkpoint: its name on the Hub, or its folder relative to that of the index, so that both
    can move.
    """
    source = model.config._name_or_path
    if not source:
        return None
    return os.path.relpath(source, folder) if os.path.isdir(source) else source


def _moved(source: str | None, old: Path, new: Path) -> str | None:
    """The same place, seen from another folder."""
    if source is None or not (old / source).is_dir():
        return source
    return os.path.relpath(old / source, new)
