"""Indexes of given vectors, without a model: what backends are tested on."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from hf_mel.data import load_emojimel
from hf_mel.encoding import MentionInputs, encode_all
from hf_mel.linking.index import EntityIndex, Manifest
from hf_mel.linking.index.folder import write_removed
from hf_mel.linking.index.precision import reduce_tensors
from hf_mel.linking.index.store import SCHEMA, write_shard
from tests.training.common import tiny_linker, tiny_processor


NAME = "embeds"


def unit_vectors(count: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    """Random vectors of length 1."""
    vectors = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return vectors / vectors.norm(dim=1, keepdim=True)


def clustered_vectors(count: int, dim: int = 16, centres: int = 40, seed: int = 0) -> torch.Tensor:
    """Vectors of length 1 around some centres, as embeddings are."""
    generator = torch.Generator().manual_seed(seed)
    around = unit_vectors(centres, dim, seed + 1)[torch.randint(centres, (count,), generator=generator)]
    vectors = around + 0.15 * torch.randn(count, dim, generator=generator)
    return vectors / vectors.norm(dim=1, keepdim=True)


def vector_index(
    folder: Path, vectors: torch.Tensor, types: list[list[str]] | None = None, shard_rows: int = 1000
) -> EntityIndex:
    """An index whose entity `e7` in row 7 has the vector `vectors[7]`."""
    manifest = Manifest(
        precision="float32",
        encode_dtype="float32",
        modalities=False,
        thumbnail_size=0,
        batch_size=1,
        shard_rows=shard_rows,
        model={"type": "pgmel", "vector_name": NAME, "proposal_name": NAME, "fingerprint": "0"},
        processor={"fingerprint": "0"},
        model_source=None,
        kb_fingerprint="0",
        text_field="description",
        tensors={NAME: [vectors.shape[1]]},
    )
    folder.mkdir()
    manifest.save(folder)
    return appended(folder, vectors, types, shard_rows)


def appended(
    folder: Path, vectors: torch.Tensor, types: list[list[str]] | None = None, shard_rows: int = 1000
) -> EntityIndex:
    """The index with further rows."""
    manifest = _manifest(folder)
    shards, first = list(manifest.shards), manifest.num_rows
    for begin in range(0, len(vectors), shard_rows):
        part = slice(begin, begin + shard_rows)
        rows = range(first + begin, first + begin + len(vectors[part]))
        tensors = reduce_tensors({NAME: vectors[part]}, manifest.precision)
        of = [[]] * len(rows) if types is None else types[part]
        shards.append(write_shard(folder, len(shards), tensors, _table(rows, of)))
    return _changed(folder, shards=shards, next_shard=len(shards))


def removed(folder: Path, rows) -> EntityIndex:
    """The index without the entities in some rows, beside those it was without."""
    index = EntityIndex.load(folder)
    gone = np.union1d(np.flatnonzero(~index.alive), np.asarray(rows))
    file = write_removed(folder, index.generation + 1, gone)
    return _changed(folder, removed_file=file, num_removed=len(gone))


def _manifest(folder: Path) -> Manifest:
    return EntityIndex.load(folder).manifest


def _changed(folder: Path, **fields) -> EntityIndex:
    manifest = _manifest(folder)
    replace(manifest, generation=manifest.generation + 1, **fields).save(folder)
    return EntityIndex.load(folder)


def _table(rows: range, types: list[list[str]]) -> pa.Table:
    columns = {field.name: pa.nulls(len(rows), field.type) for field in SCHEMA}
    columns["id"] = columns["name"] = pa.array([f"e{row}" for row in rows])
    columns["types"] = pa.array(types, pa.list_(pa.string()))
    columns["image_status"] = pa.array(["none"] * len(rows))
    return pa.Table.from_arrays([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)


def same(first, second) -> bool:
    """Whether two answers of a search are equal, to the last bit."""
    return all(np.array_equal(left, right) for left, right in zip(first, second, strict=True))


@cache
def emojimel_index() -> tuple[EntityIndex, dict[str, torch.Tensor]]:
    """All entities of EmojiMEL and a part of its mentions, encoded by a model that knows nothing."""
    data, model, processor = load_emojimel(), tiny_linker(), tiny_processor()
    index = EntityIndex.build(model, processor, data.entities, modalities=False, thumbnail_size=0)
    mentions = data.mentions["test"].select(range(0, 1036, 8))
    return index, encode_all(model, MentionInputs(mentions, processor))[0]
