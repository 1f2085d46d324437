import pytest
from transformers import pipeline

from hf_mel import EntityIndex, Linker
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    from tests.service.common import client  # skips without FastAPI

    folder = tmp_path_factory.mktemp("doors")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    index = EntityIndex.build(model, processor, tiny_data().entities, folder / "index", encode_dtype="float32")
    linker = Linker(model, processor, index)
    pipe = pipeline("multimodal-entity-linking", model=model, processor=processor, index=index, device="cpu")
    return {"folder": folder, "linker": linker, "pipe": pipe, "service": client(linker)}
