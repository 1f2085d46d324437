"""Adds, replaces and removes entities of an index: new files are written first, then the manifest that names them."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from transformers.utils import logging

from ...data import KnowledgeBase, UnknownEntityError
from ...data.problems import counted, listed
from ...encoding import warn_of_unknown
from ...models import MatchingModel, MELProcessor
from .building import fingerprint, report_pictures
from .columns import EntityColumns
from .encoder import Alone, EncodeSettings, ShardEncoder, encode_shards
from .folder import Pending, commit, tidy, write_removed, writing
from .lookup import EntityLookup
from .manifest import Manifest, Shard
from .rewriting import rewrite
from .store import add_states, count_states


logger = logging.get_logger(__name__)

_SHOWN = 10


@dataclass(frozen=True)
class IndexChange:
    """
    Result of adding or removing entities.

    Args:
        added (`int`): Entities that are new.
        replaced (`int`): Entities that were there with another content.
        unchanged (`int`): Entities that were there already, with the same content.
        removed (`int`): Entities that are gone.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0


def put_entities(
    index: EntityLookup,
    model: MatchingModel,
    processor: MELProcessor,
    knowledge_base: KnowledgeBase,
    *,
    replace_known: bool,
    add_missing: bool,
    progress: bool = False,
) -> IndexChange:
    """Adds or replaces entities, see [`EntityIndex.add`] and [`EntityIndex.update`]."""
    index.check_model(model, processor)
    _check_text_field(index.manifest, knowledge_base)
    with _changing(index):
        new, changed, same = _compared(index, knowledge_base)
        ids = knowledge_base.ids
        if changed and not replace_known:
            known = listed((ids[row] for row in changed), _SHOWN)
            raise ValueError(
                f"{counted(len(changed), 'entity', 'entities')} with another content in the index: {known}. To replace them, use "
                "`update`."
            )
        if new and not add_missing:
            raise UnknownEntityError(
                f"{counted(len(new), 'entity', 'entities')} not in the index: {listed((ids[row] for row in new), _SHOWN)}. To "
                "add them, use `add`, or `update` with `add_missing=True`."
            )
        rows = np.array(sorted(new + changed), dtype=np.int64)
        if len(rows):
            replaced = index.rows([ids[row] for row in changed])
            _write_entities(index, model, processor, knowledge_base, rows, replaced, progress)
        else:
            tidy(index.folder, index.manifest)  # the same call may have been interrupted after its last step
    if same:
        logger.info(f"{index.folder}: {len(same):,} entities were there already, with the same content")
    return IndexChange(added=len(new), replaced=len(changed), unchanged=len(same))


def remove_entities(index: EntityLookup, ids: Sequence[str], missing_ok: bool) -> IndexChange:
    """Removes entities, see [`EntityIndex.remove`]."""
    with _changing(index):
        known = [entity_id for entity_id in ids if entity_id in index] if missing_ok else ids
        rows = np.unique(index.rows(known))
        if len(rows):
            _commit(index, index.manifest.shards, index.manifest.next_shard, rows)
    return IndexChange(removed=len(rows))


def compact(index: EntityLookup) -> None:
    """Writes the living entities into new shards, see [`EntityIndex.compact`]."""
    with _changing(index):
        manifest = index.manifest
        full = [shard.rows == manifest.shard_rows for shard in manifest.shards[:-1]]
        if all(full) and not manifest.num_removed:
            return
        tidy(index.folder, manifest)  # an interrupted change may have left shards under the next numbers
        rows = np.flatnonzero(index.alive)
        shards = rewrite(index.store, rows, index.folder, manifest.next_shard, manifest.shard_rows)
        compacted = replace(
            manifest,
            shards=shards,
            removed_file=None,
            num_removed=0,
            images=add_states([shard.images for shard in shards]),
            next_shard=manifest.next_shard + len(shards),
            generation=manifest.generation + 1,
            job="",
        )
        index.reopen(commit(index.folder, compacted))


@contextmanager
def _changing(index: EntityLookup):
    """Alone with the index as it is now, whatever another process did since it was opened."""
    with writing(index.folder):
        index.refresh()
        yield


def _check_text_field(manifest: Manifest, knowledge_base: KnowledgeBase) -> None:
    if knowledge_base.text_field != manifest.text_field and any(knowledge_base.texts()):
        raise ValueError(
            f"the entities are described by their {knowledge_base.text_field}, and those of the index by their "
            f"{manifest.text_field}: make the knowledge base with text_field={manifest.text_field!r}"
        )


def _compared(index: EntityLookup, knowledge_base: KnowledgeBase) -> tuple[list[int], list[int], list[int]]:
    """Rows of a knowledge base by what the index knows: nothing, something else, or the same."""
    known = [row for row, entity_id in enumerate(knowledge_base.ids) if entity_id in index]
    new = sorted(set(range(len(knowledge_base))) - set(known))
    here = EntityColumns(knowledge_base, 0).digests(np.array(known, dtype=np.int64))
    stored = index.store.column("digest").take(pa.array(index.rows([knowledge_base.ids[row] for row in known])))
    same = {row for row, left, right in zip(known, here, stored.to_pylist(), strict=True) if left == right}
    return new, [row for row in known if row not in same], sorted(same)


def _write_entities(
    index: EntityLookup,
    model: MatchingModel,
    processor: MELProcessor,
    knowledge_base: KnowledgeBase,
    rows: np.ndarray,
    replaced: np.ndarray,
    progress: bool,
) -> None:
    manifest = index.manifest
    settings = EncodeSettings.of(manifest)
    prints = [manifest.model["fingerprint"], manifest.processor["fingerprint"], knowledge_base.fingerprint]
    job = fingerprint(
        [manifest.generation, manifest.next_shard, manifest.precision, asdict(settings), prints, rows.tolist()]
    )
    pending = Pending(index.folder, job)
    pending.begin(manifest)
    warn_of_unknown(processor, knowledge_base, rows)
    encoder = ShardEncoder(model, processor, knowledge_base, settings)
    count = encode_shards(encoder, rows, manifest.next_shard, pending, manifest.precision, Alone(), progress)
    written = pending.written(manifest.next_shard, count)
    report_pictures(add_states([shard.images for shard in written]), index.folder)
    _commit(index, [*manifest.shards, *written], manifest.next_shard + count, replaced)


def _commit(index: EntityLookup, shards: list[Shard], next_shard: int, removed: np.ndarray) -> None:
    """The next generation: these shards, with these rows removed beside those that were before."""
    gone = np.union1d(np.flatnonzero(~index.alive), removed)
    generation = index.manifest.generation + 1
    lost = index.store.column("image_status").take(pa.array(gone)).to_pylist()
    manifest = replace(
        index.manifest,
        shards=shards,
        removed_file=write_removed(index.folder, generation, gone),
        num_removed=len(gone),
        images=add_states([shard.images for shard in shards], less=count_states(lost)),
        next_shard=next_shard,
        generation=generation,
        job="",
    )
    index.reopen(commit(index.folder, manifest))
