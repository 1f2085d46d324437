"""A pipeline on a tiny model, with the index and the mentions that it links."""

import pytest
import torch
from transformers import pipeline

from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, make_miniature, make_miniature_tokenizer
from hf_mel.linking import EntityIndex
from hf_mel.linking.pipeline import TASK
from tests.conftest import TINY_TEXT, TINY_VISION


@pytest.fixture(scope="package")
def data():
    return make_miniature(num_entities=12, num_train=5, num_validation=5, num_test=7)


@pytest.fixture(scope="package")
def parts(data):
    from transformers import CLIPImageProcessorPil

    tokenizer = make_miniature_tokenizer()
    torch.manual_seed(0)
    text = {**TINY_TEXT, "vocab_size": len(tokenizer), "initializer_range": 1.0}
    model = PGMELModel(PGMELConfig(text_config=text, vision_config=dict(TINY_VISION), projection_size=8)).eval()
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    return model, PGMELProcessor(images, tokenizer, max_length=32)


@pytest.fixture(scope="package")
def checkpoint(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    for part in parts:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def index(parts, data, tmp_path_factory):
    return EntityIndex.build(
        *parts, data.entities, tmp_path_factory.mktemp("index") / "entities", encode_dtype="float32"
    )


@pytest.fixture(scope="package")
def pipe(parts, index):
    model, processor = parts
    return pipeline(TASK, model=model, processor=processor, index=index, device="cpu", calibration=False, top_k=3)


@pytest.fixture(scope="package")
def rows(data):
    mentions = data.mentions["test"]
    return [
        {"text": row["text"], "mention": row["mention"], "start": row["start"], "image": row["image"], "id": row["id"]}
        for row in mentions
    ]  # fmt: skip
