"""GHMFC's score is the dot product of one vector each: what serves PGMEL's embeddings serves it."""

import numpy as np
import pytest
import torch

from hf_mel import EntityIndex, GHMFCConfig, GHMFCModel, Linker, PGMELProcessor
from hf_mel.encoding import EntityInputs, MentionInputs, encode_all
from hf_mel.linking.index import get_backend
from tests.training.common import TEXT, VISION, tiny_data, tiny_processor


@pytest.fixture(scope="module")
def parts():
    """A tiny random model, its processor, and the scores of all test mentions with all entities."""
    torch.manual_seed(0)
    config = {"text_config": TEXT, "vision_config": VISION, "pooling": "mean", "max_text_tokens": 32}
    model = GHMFCModel(GHMFCConfig(**config, projection_size=8, coattention_size=8, num_coattention_heads=2)).eval()
    tiny = tiny_processor()
    processor = PGMELProcessor(
        image_processor=tiny.image_processor, tokenizer=tiny.tokenizer, max_length=32, text_views="context"
    )
    data = tiny_data()
    mentions, _ = encode_all(model, MentionInputs(data.mentions["test"], processor))
    entities, _ = encode_all(model, EntityInputs(data.entities, processor))
    return model, processor, model.match(mentions, entities).numpy()


@pytest.mark.parametrize("backend", ["exact", "faiss"])
def test_every_search_engine_finds_the_nearest(parts, backend):
    if backend == "faiss":
        pytest.importorskip("faiss")
    model, processor, expected = parts
    index = EntityIndex.build(model, processor, tiny_data().entities, encode_dtype="float32", precision="float32")
    assert index.manifest.vector_name == "embeds" and index.manifest.recall is None
    assert set(index.manifest.tensors) >= {"embeds", "image_weight"}
    assert not [name for name in index.manifest.tensors if "contrast" in name]
    rows = tiny_data().mentions["test"]
    linker = Linker(model, processor, index, backend=get_backend(backend, index))
    found = linker.link(rows["mention"][:], rows["text"][:], image=list(rows["image"][:]), top_k=3)
    best = np.sort(expected, axis=1)[:, ::-1][:, :3]
    np.testing.assert_allclose([[each.score for each in answer.candidates] for answer in found], best, atol=1e-5)
    has_image = [image is not None for image in rows["image"][:]]
    assert [answer.image_weight > 0 for answer in found] == has_image


def test_an_index_in_half_precision_states_its_recall(parts):
    model, processor, _ = parts
    index = EntityIndex.build(model, processor, tiny_data().entities, encode_dtype="float32", precision="bfloat16")
    assert index.manifest.recall is not None
