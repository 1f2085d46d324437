"""`hf-mel explain`: what it prints, what it writes, and what it refuses."""

import json

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from hf_mel import PGMELConfig, PGMELModel, PGMELProcessor, make_miniature, make_miniature_tokenizer
from hf_mel.cli.main import main
from hf_mel.linking import Calibration, EntityIndex, Linker
from tests.conftest import TINY_TEXT, TINY_VISION


@pytest.fixture(scope="module")
def data():
    return make_miniature(num_entities=12, num_train=5, num_validation=5, num_test=5)


@pytest.fixture(scope="module")
def places(data, tmp_path_factory):
    """A checkpoint, an index, a knowledge base and a picture."""
    folder = tmp_path_factory.mktemp("explain")
    tokenizer = make_miniature_tokenizer()
    torch.manual_seed(0)
    text = {**TINY_TEXT, "vocab_size": len(tokenizer), "initializer_range": 1.0}
    model = PGMELModel(PGMELConfig(text_config=text, vision_config=dict(TINY_VISION), projection_size=8)).eval()
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    processor = PGMELProcessor(images, tokenizer, max_length=32)
    for part in (model, processor):
        part.save_pretrained(folder / "checkpoint")
    index = EntityIndex.build(
        model, processor, data.entities, folder / "index", thumbnail_size=0, encode_dtype="float32"
    )
    Calibration(0.1, 0.2, 0.05, num_candidates=64, setup=Linker(model, processor, index).setup).save(
        folder / "checkpoint"
    )
    data.entities.save(folder / "kb")
    next(image for image in data.mentions["test"]["image"] if image is not None).save(folder / "picture.png")
    return {name: str(folder / name) for name in ("checkpoint", "index", "kb", "picture.png")}


SENTENCE = ["--text", "A painter came to the river.", "--mention", "painter"]


def explained(capsys, *argv) -> str:
    assert main(["explain", *map(str, argv)]) == 0
    return capsys.readouterr().out


def refused(capsys, *argv) -> str:
    assert main(["explain", *map(str, argv)]) == 2
    return capsys.readouterr().err.rpartition("hf-mel explain: ")[2]


def test_text_html_and_json(places, capsys, tmp_path):
    page, values = tmp_path / "page.html", tmp_path / "values.json"
    out = explained(
        capsys, places["checkpoint"], "--index", places["index"], "--kb", places["kb"], *SENTENCE,
        "--image", places["picture.png"], "--top_k", 3, "--gold", "M1", "--html", page, "--json", values,
    )  # fmt: skip
    explanation = json.loads(values.read_text())
    assert len(explanation["candidates"]) == 3 and explanation["has_image"]
    assert explanation["threshold"] == 0.05 and 0 < explanation["probability"] < 1
    assert all(reason in out for reason in explanation["reasons"]) and "A [painter] came" in out
    assert explanation["gold"]["candidate"]["entity_id"] == "M1" and explanation["without_picture"] is not None
    html = page.read_text()
    assert html.startswith("<!DOCTYPE html>") and "<mark>painter</mark>" in html
    pictures = sum(each["thumbnail"] is not None for each in explanation["candidates"])
    gold_beside = (
        explanation["gold"]["candidate"]["rank"] > 3 and explanation["gold"]["candidate"]["thumbnail"] is not None
    )
    assert pictures > 0, "the index has no thumbnails, so they are made from the knowledge base"
    assert html.count("data:image/jpeg") == 1 + pictures + gold_beside


def test_a_knowledge_base_instead_of_an_index(places, capsys, tmp_path):
    by_index = explained(capsys, places["checkpoint"], "--index", places["index"], *SENTENCE)
    assert explained(capsys, places["checkpoint"], "--kb", places["kb"], *SENTENCE) == by_index


def test_options_reach_the_linker(places, capsys):
    nil = explained(capsys, places["checkpoint"], "--index", places["index"], *SENTENCE, "--threshold", "1.0")
    assert nil.splitlines()[2].startswith("- NIL: the probability that a candidate is meant")
    merged = explained(
        capsys, places["checkpoint"], "--index", places["index"], *SENTENCE, "--candidates", "merged",
        "--num_candidates", "4", "--types", "person", "--max_words", "0", "--score_threshold", "-2",
    )  # fmt: skip
    assert "Words" not in merged and "words nearest" not in merged and "Linked to" in merged
    second = ["--text", "A painter met a painter.", "--mention", "painter", "--start", "16"]
    assert "met a [painter]." in explained(capsys, places["checkpoint"], "--index", places["index"], *second)


def test_a_blank_picture_is_told(places, capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "blank.png")
    argv = [places["checkpoint"], "--index", places["index"], *SENTENCE, "--image", tmp_path / "blank.png"]
    assert main(["explain", *map(str, argv)]) == 0
    assert "shows one colour: it is left out" in capsys.readouterr().err


def test_what_is_refused(places, capsys, tmp_path):
    index = ["--index", places["index"]]
    assert "which entities? Give --index" in refused(capsys, places["checkpoint"], *SENTENCE)
    assert "no entity 'Q1'" in refused(capsys, places["checkpoint"], *index, *SENTENCE, "--gold", "Q1")
    missing = refused(capsys, places["checkpoint"], *index, *SENTENCE, "--image", tmp_path / "no.png")
    assert str(tmp_path / "no.png") in missing
    assert "there is no folder" in refused(
        capsys, places["checkpoint"], *index, *SENTENCE, "--html", tmp_path / "no" / "x"
    )
    assert "no-index" in refused(capsys, places["checkpoint"], "--index", tmp_path / "no-index", *SENTENCE)
    assert "top_k must be at least 1" in refused(capsys, places["checkpoint"], *index, *SENTENCE, "--top_k", "0")
    assert refused(capsys, places["checkpoint"], *index, "--text", "abc", "--mention", "b", "--start", "99")
