"""Towers from repositories: which revision, for whom, and from which cache."""

import pytest
import torch
from transformers import CLIPImageProcessorPil, CLIPModel

from tests.common import build_tokenizer
from tests.hub import READ_TOKEN, run_client
from tests.models.conftest import _BUILDERS


pytestmark = pytest.mark.loopback

CODE = """
import json, sys
from hf_mel import MELProcessor, PGMELModel

token, cache = sys.argv[1:]
answer = {}


def load(name, *sources, **kwargs):
    model = PGMELModel.from_towers(*sources, projection_size=8, cache_dir=cache, **kwargs)
    processor = MELProcessor.from_towers(*sources, max_length=20, cache_dir=cache, **kwargs)
    first = {side: next(tower.parameters()).flatten()[0].item() for side, tower in
             (("text", model.text_model), ("vision", model.vision_model))}
    answer[name] = [first["text"], first["vision"], processor.tokenizer.model_max_length,
                    processor.image_processor.image_mean[0]]


load("main", "org/clip", token=token)
load("v1", "org/clip", token=token, revision="v1")
load("text at v1", "org/clip", "org/clip", token=token, text_kwargs={"revision": "v1"})
load("vision at v1", "org/clip", "org/clip", token=token, vision_kwargs={"revision": "v1"})
load("cache", "org/clip", revision="v1", local_files_only=True)
for class_ in (MELProcessor, PGMELModel):
    try:
        class_.from_towers("org/clip", cache_dir=cache + "/other")
    except OSError as error:
        answer[class_.__name__] = type(error).__name__
print(json.dumps(answer))
"""


@pytest.fixture
def expected(hub, tmp_path):
    """A private repository with two versions, which differ in weights, length of texts and pixel values."""
    shown = {}
    for name, number in (("v1", 1), ("main", 2)):
        folder = tmp_path / name
        model: CLIPModel = _BUILDERS["clip"]()
        with torch.no_grad():
            for tower in (model.text_model, model.vision_model):
                next(tower.parameters()).fill_(number)
        model.save_pretrained(folder)
        tokenizer = build_tokenizer()
        tokenizer.model_max_length = 32 * number
        tokenizer.save_pretrained(folder)
        square = {"height": 8, "width": 8}
        CLIPImageProcessorPil(crop_size=square, size=square, image_mean=[number / 4] * 3).save_pretrained(folder)
        sha = hub.add("org/clip", {file.name: file.read_bytes() for file in folder.iterdir()}, private=True).sha
        hub.repo("org/clip").tags.setdefault("v1", sha)
        shown[name] = [number, number, 32 * number, number / 4]
    old, new = shown["v1"], shown["main"]
    mixed = {"text at v1": [old[0], new[1], old[2], new[3]], "vision at v1": [new[0], old[1], new[2], old[3]]}
    return {**shown, **mixed, "cache": old}


def test_from_towers_passes_on_what_says_where_files_come_from(hub, expected, tmp_path):
    answer = run_client(CODE, hub, READ_TOKEN, str(tmp_path / "cache"), token=None).answer
    assert answer.pop("MELProcessor") and answer.pop("PGMELModel"), "nobody else may read it"
    assert answer == expected
