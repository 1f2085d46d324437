"""The Space's folder on the path, as where it runs; a tiny model, made in a second, that links to some emoji."""

import sys
from pathlib import Path

import pytest


SPACE = Path(__file__).parents[2] / "spaces" / "demo"
sys.path.insert(0, str(SPACE))

KNOWN = 40  # entities beside those of the examples


@pytest.fixture(scope="session")
def tiny_space(tmp_path_factory):
    """Folders of a checkpoint that has learnt nothing, with a calibration made by hand, and of an index."""
    import torch
    from transformers import CLIPImageProcessorPil

    from hf_mel import (
        Calibration,
        EntityIndex,
        KnowledgeBase,
        Linker,
        PGMELConfig,
        PGMELModel,
        PGMELProcessor,
        load_emojimel,
    )
    from hf_mel.checkpoint import load_checkpoint
    from linking import EXAMPLES
    from tests.common import build_tokenizer
    from tests.conftest import TINY_TEXT, TINY_VISION

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("space")
    data = load_emojimel()
    test = data.mentions["test"].select_columns(["id", "entity_id"])
    wanted = {row["entity_id"] for row in test if row["id"] in EXAMPLES}
    rows = sorted({data.entities.row(each) for each in wanted} | set(range(0, len(data.entities), 416 // KNOWN)))
    config = PGMELConfig(text_config=dict(TINY_TEXT), vision_config=dict(TINY_VISION), projection_size=8)
    model = PGMELModel(config).eval()
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    processor = PGMELProcessor(
        image_processor=pictures, tokenizer=build_tokenizer(), max_length=48, surface_max_length=12
    )
    model.save_pretrained(folder / "tiny-model")
    processor.save_pretrained(folder / "tiny-model")
    model, processor = load_checkpoint(str(folder / "tiny-model"))  # the index then knows where it lies
    kb = KnowledgeBase(data.entities.dataset.select(rows))
    index = EntityIndex.build(model, processor, kb, folder / "index", encode_dtype="float32")
    linker = Linker(model, processor, index, calibration=None)
    Calibration(0.05, 0.0, 0.01, num_candidates=64, setup=dict(linker.setup)).save(folder / "tiny-model")
    return folder


@pytest.fixture(scope="session")
def environ(tiny_space):
    return {"HF_MEL_MODEL": str(tiny_space / "tiny-model"), "HF_MEL_INDEX": str(tiny_space / "index")}


@pytest.fixture(scope="session")
def demo(environ):
    from linking import Demo

    return Demo.open(environ)
