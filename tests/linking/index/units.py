"""Models whose score is no dot product, and indexes for them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from hf_mel import M3ELModel, MELOVModel, MIMICModel, PGMELProcessor
from hf_mel.encoding import Encodings, MentionInputs, encode_all
from hf_mel.linking.index import EntityIndex
from hf_mel.linking.index.precision import reduce_tensors
from hf_mel.linking.index.store import write_shard
from tests.linking.index.vectors import _table, vector_index
from tests.training.common import TEXT, VISION, tiny_data, tiny_processor


KINDS = {"mimic": MIMICModel, "m3el": M3ELModel, "melov": MELOVModel}


@cache
def units_parts(kind: str = "mimic"):
    """A model whose heads are so large that its score is not the product of `dense`, and its processor."""
    torch.manual_seed(0)
    config = {"text_config": dict(TEXT), "vision_config": dict(VISION), "pooling": "mean"}
    config |= {"matching_size": 8, "max_text_tokens": 32} | ({"bank_size": 8} if kind == "melov" else {})
    model = KINDS[kind](KINDS[kind].config_class(**config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("units"):
                parameter.normal_(std=0.5)
    tiny = tiny_processor()
    images, tokenizer = tiny.image_processor, tiny.tokenizer
    return model, PGMELProcessor(
        image_processor=images, tokenizer=tokenizer, max_length=32, text_views="context", surface_max_length=8
    )


@cache
def units_mentions(kind: str = "mimic") -> Encodings:
    """The encoded mentions of the test split."""
    model, processor = units_parts(kind)
    return encode_all(model, MentionInputs(tiny_data().mentions["test"], processor))[0]


def units_index(folder: Path | None = None, kind: str = "mimic", **options) -> EntityIndex:
    """Of the twenty entities of `tiny_data`."""
    return EntityIndex.build(
        *units_parts(kind),
        tiny_data().entities,
        folder,
        **{"encode_dtype": "float32", "shard_rows": 8, "modalities": False, "thumbnail_size": 0, **options},
    )


def scored_index(folder: Path, dense: torch.Tensor, true: torch.Tensor) -> EntityIndex:
    """An index whose entities are proposed by the product of `dense`, and scored by that of `true` ([`match_true`])."""
    index = vector_index(folder, dense[:0])
    shard = write_shard(
        folder, 0, reduce_tensors({"dense": dense, "true": true.clone()}, "float32"), _table_of(len(dense))
    )
    model = index.manifest.model | {"type": "mimic", "vector_name": None, "proposal_name": "dense"}
    shapes = {"dense": [dense.shape[1]], "true": [true.shape[1]]}
    changes = {"model": model, "tensors": shapes, "shards": [shard], "next_shard": 1}
    replace(index.manifest, **changes).save(folder)
    return EntityIndex.load(folder)


def match_true(mentions: Encodings, entities: Encodings) -> torch.Tensor:
    return mentions["true"] @ entities["true"].mT


def _table_of(count: int):
    return _table(range(count), [[]] * count)
