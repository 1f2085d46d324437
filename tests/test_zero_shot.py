"""Linking without training: scores against the towers themselves, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from hf_mel import KnowledgeBase, Linker, MELTrainer, MELTrainingArguments, PGMELModel
from hf_mel.checkpoint import load_checkpoint
from hf_mel.zero_shot import load_towers, own_pooling
from tests.tiny_towers import save_clip, save_text_tower, save_vision_tower


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


RECORDS = [
    {"id": "1", "name": "jug", "description": "of brown stoneware", "image": picture(1)},
    {"id": "2", "name": "lantern clock", "description": "with a single hand"},
]
MENTION, SENTENCE = "clock", "the clock strikes"
# "lantern clock" has all words of "clock" (0.1 + 0.05), which is half of its own (0.05 / 2).
NAMES = {"1": 0.0, "2": 0.175}


@torch.no_grad()
def text_feature(tower, processor, text: str, pooling: str) -> torch.Tensor:
    """What the tower itself gives, alone and without padding."""
    outputs = tower(**processor.tokenizer(text, return_tensors="pt"))
    states = outputs.last_hidden_state[0]
    return {"mean": states.mean(0), "cls": states[0], "pooler": outputs.pooler_output[0]}[pooling]


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return F.cosine_similarity(a, b, dim=0).item()


def contexts(processor, record: dict) -> tuple[str, str]:
    separator = processor.separator
    return f"{MENTION} {separator} {SENTENCE}", f"{record['name']} {separator} {record['description']}"


def scores(linker: Linker, image: Image.Image | None = None) -> dict[str, float]:
    linked = linker.link(MENTION, SENTENCE, image=image)
    return {candidate.entity_id: candidate.score for candidate in linked.candidates}


@pytest.mark.parametrize(("saved", "pooling"), [("mean_tokens", "mean"), ("cls_token", "cls"), (None, "cls")])
def test_score_of_a_text_tower(tmp_path, saved, pooling):
    tower = save_text_tower(tmp_path, saved)
    linker = Linker.from_towers(tmp_path, KnowledgeBase.from_records(RECORDS))
    assert linker.model.config.pooling == pooling and linker.model.is_untrained
    found = scores(linker)
    for record in RECORDS:
        pairs = [contexts(linker.processor, record), (MENTION, record["name"])]
        each = [cosine(*(text_feature(tower, linker.processor, text, pooling) for text in pair)) for pair in pairs]
        expected = 2 / 3 * each[0] + 1 / 3 * each[1] + NAMES[record["id"]]
        assert found[record["id"]] == pytest.approx(expected, abs=1e-5)


def test_without_names_the_score_is_the_cosine(tmp_path):
    save_text_tower(tmp_path, "mean_tokens")
    kb = KnowledgeBase.from_records(RECORDS)
    with_names = scores(Linker.from_towers(tmp_path, kb))
    linker = Linker.from_towers(tmp_path, kb, name_features=False)
    assert linker.model.pair_weights is None
    assert scores(linker) == pytest.approx({each: with_names[each] - NAMES[each] for each in NAMES}, abs=1e-5)


@pytest.mark.parametrize("text_views", ["context", "surface"])
def test_one_view(tmp_path, text_views):
    tower = save_text_tower(tmp_path, "mean_tokens")
    linker = Linker.from_towers(tmp_path, KnowledgeBase.from_records(RECORDS), text_views=text_views)
    pair = contexts(linker.processor, RECORDS[0]) if text_views == "context" else (MENTION, RECORDS[0]["name"])
    expected = cosine(*(text_feature(tower, linker.processor, text, "mean") for text in pair))
    assert scores(linker)["1"] == pytest.approx(expected, abs=1e-5)


def test_score_of_two_towers(tmp_path):
    """Only the first entity has an image; the mention has one, and then none."""
    text, vision = save_text_tower(tmp_path / "text", "mean_tokens"), save_vision_tower(tmp_path / "vision")
    kb = KnowledgeBase.from_records(RECORDS)
    alone = scores(Linker.from_towers(tmp_path / "text", kb, name_features=False))
    linker = Linker.from_towers(tmp_path / "text", kb, vision=tmp_path / "vision", name_features=False)
    with torch.no_grad():
        pixels = [linker.processor.pixels([picture(seed)])["pixel_values"] for seed in (7, 1)]
        images = cosine(*(vision(pixel_values=each).pooler_output[0] for each in pixels))
    found = scores(linker, picture(7))
    assert found["1"] == pytest.approx(0.75 * alone["1"] + 0.25 * images, abs=1e-5)
    assert found["2"] == pytest.approx(0.75 * alone["2"], abs=1e-5)
    assert scores(linker) == pytest.approx({name: 0.75 * each for name, each in alone.items()}, abs=1e-5)
    assert text.config.hidden_size == 16


def test_score_of_clip(tmp_path):
    """Texts and images through CLIP's projections, also one against the other."""
    clip = save_clip(tmp_path)
    linker = Linker.from_towers(tmp_path, KnowledgeBase.from_records(RECORDS))
    assert linker.model.config.name_features
    processor = linker.processor

    @torch.no_grad()
    def text(words: str) -> torch.Tensor:
        return clip.get_text_features(**processor.tokenizer(words, return_tensors="pt")).pooler_output[0]

    @torch.no_grad()
    def image(seed: int) -> torch.Tensor:
        return clip.get_image_features(processor.pixels([picture(seed)])["pixel_values"]).pooler_output[0]

    def texts(a: tuple, b: tuple) -> float:
        return sum(weight * cosine(x, y) for weight, x, y in zip((2 / 3, 1 / 3), a, b, strict=True))

    found = scores(linker, picture(7))
    for record, seed in zip(RECORDS, (1, None), strict=True):
        context = contexts(processor, record)
        mention, entity = (text(context[0]), text(MENTION)), (text(context[1]), text(record["name"]))
        expected = 0.75 * texts(mention, entity) + math.sqrt(3) / 4 * texts(entity, (image(7),) * 2)
        expected += NAMES[record["id"]]
        if seed is not None:
            expected += 0.25 * cosine(image(7), image(seed)) + math.sqrt(3) / 4 * texts(mention, (image(seed),) * 2)
        assert found[record["id"]] == pytest.approx(expected, abs=1e-5)
    assert linker.model.config.projection_size == 2 * 6


def test_half_of_clip_with_another_tower_shares_no_space(tmp_path):
    save_clip(tmp_path / "clip"), save_text_tower(tmp_path / "text")
    model, processor = load_towers(tmp_path / "text", tmp_path / "clip")
    assert model.config.projection_size == 2 * 16 + 6 and processor.image_processor is not None
    model, processor = load_towers(tmp_path / "clip", False)
    assert model.vision_model is None and processor.image_processor is None


def test_training_begins_there(tmp_path):
    """One step moves the heads and leaves the towers."""
    save_text_tower(tmp_path / "text", "mean_tokens")
    kb = KnowledgeBase.from_records(RECORDS)
    model, processor = load_towers(tmp_path / "text")
    tower = {name: value.clone() for name, value in model.text_model.state_dict().items()}
    trainer = MELTrainer(
        model,
        MELTrainingArguments(str(tmp_path / "run"), max_steps=1, report_to="none", use_cpu=True, disable_tqdm=True),
        train_dataset=[
            {"mention": "clock", "text": "the clock strikes", "entity_id": "2"},
            {"mention": "jug", "text": "the jug is brown", "entity_id": "1"},
        ],
        knowledge_base=kb,
        processing_class=processor,
    )
    trainer.train()
    assert not model.is_untrained
    assert all(torch.equal(value, tower[name]) for name, value in model.text_model.state_dict().items())
    model.save_pretrained(tmp_path / "run"), processor.save_pretrained(tmp_path / "run")
    loaded = scores(Linker.from_pretrained(tmp_path / "run", kb))
    assert loaded == pytest.approx(scores(Linker(model.eval(), processor, kb)), abs=1e-6)


def test_round_trip(tmp_path):
    save_clip(tmp_path / "clip")
    kb = KnowledgeBase.from_records(RECORDS)
    linker = Linker.from_towers(tmp_path / "clip", kb)
    linker.model.save_pretrained(tmp_path / "saved"), linker.processor.save_pretrained(tmp_path / "saved")
    model, processor = load_checkpoint(str(tmp_path / "saved"))
    assert type(model) is PGMELModel and model.towers_frozen
    loaded = scores(Linker(model, processor, kb), picture(7))
    assert loaded == pytest.approx(scores(linker, picture(7)), abs=1e-6)


class TestPooling:
    def test_newer_files_name_the_mode(self, tmp_path):
        save_text_tower(tmp_path, "cls_token")
        settings = {"embedding_dimension": 16, "pooling_mode": "mean"}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
        assert own_pooling(tmp_path) == "mean"

    def test_clip_has_its_own_output(self, tmp_path):
        save_clip(tmp_path)
        assert own_pooling(tmp_path) == "pooler"

    def test_another_mode_is_refused(self, tmp_path):
        save_text_tower(tmp_path, "max_tokens")
        with pytest.raises(ValueError, match=r"pools by \['pooling_mode_max_tokens'\].*Give `pooling`"):
            load_towers(tmp_path)
        assert load_towers(tmp_path, pooling="mean")[0].config.pooling == "mean"

    def test_a_further_layer_is_refused(self, tmp_path):
        save_text_tower(tmp_path, "mean_tokens", more_modules=("Dense", "Normalize"))
        with pytest.raises(ValueError, match=r"modules that are not applied here \(Dense\)"):
            load_towers(tmp_path)

    def test_a_damaged_file_is_named(self, tmp_path):
        save_text_tower(tmp_path, "mean_tokens")
        (tmp_path / "modules.json").write_text("{", encoding="utf-8")
        with pytest.raises(ValueError, match=r"modules\.json is not JSON"):
            load_towers(tmp_path)


def test_what_is_refused(tmp_path):
    save_text_tower(tmp_path / "text", "mean_tokens")
    with pytest.raises(
        ValueError, match="`fusion`, `projection_size`: the heads of a model without training are given"
    ):
        load_towers(tmp_path / "text", fusion="gmu", projection_size=8)
    with pytest.raises(FileNotFoundError, match="the text tower: there is no folder .*nowhere"):
        load_towers(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="the vision tower: there is no folder 'nowhere'"):
        load_towers(tmp_path / "text", "nowhere")
    with pytest.raises(TypeError, match="`num_candidate`"):
        Linker.from_towers(tmp_path / "text", KnowledgeBase.from_records(RECORDS), num_candidate=3)


def test_a_tokenizer_that_is_loaded_as_another_kind_is_refused(tmp_path):
    """As transformers 5 loads older revisions of multilingual MiniLM: a Unigram file under a BERT becomes an empty WordPiece."""
    save_text_tower(tmp_path, "mean_tokens")
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("a", -1.0)], unk_id=0))
    special = {"unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **special).save_pretrained(tmp_path)
    load_towers(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps(special | {"model_max_length": 512}), encoding="utf-8")
    with pytest.raises(
        ValueError, match="holds a tokenizer of the kind Unigram, but .* makes a BertTokenizer of the kind WordPiece"
    ):
        load_towers(tmp_path)
