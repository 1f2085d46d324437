"""The text tower that is part of the package."""

import pytest
import torch
from transformers import CLIPImageProcessorPil, ResNetConfig

from hf_mel import KnowledgeBase, Linker, PGMELModel, PGMELProcessor
from hf_mel.models.static_words import tower_place
from hf_mel.zero_shot import load_towers


def features(*texts: str) -> torch.Tensor:
    model, processor = load_towers("static-words", text_views="context")
    inputs = processor.tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.text_model(**inputs).pooler_output


def test_words_with_like_meanings_are_near_each_other():
    violin, instrument, footballer, goal = features("violin", "a stringed instrument", "a footballer", "scored a goal")
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(violin, instrument, dim=0) > cosine(violin, footballer, dim=0) + 0.1
    assert cosine(goal, footballer, dim=0) > cosine(goal, instrument, dim=0) + 0.1


def test_it_links_without_download_or_training():
    kb = KnowledgeBase.from_records(
        [
            {"id": "animal", "name": "bat", "description": "A small animal that flies at night and eats insects."},
            {"id": "sport", "name": "bat", "description": "The wooden stick with which a cricketer hits the ball."},
        ]
    )
    linker = Linker.from_towers("static-words", kb)
    texts = ["At dusk a bat flew out of the cave.", "He raised his bat after hitting the ball for six."]
    assert [linked.candidates[0].entity_id for linked in linker.link(["bat", "bat"], texts)] == ["animal", "sport"]


def test_special_tokens_and_unknown_signs_do_not_count():
    one, padded, nothing = features("violin", "violin", "\U0001f9ff")
    assert torch.equal(one, padded) and not nothing.any()


def test_a_saved_checkpoint_is_whole_and_names_no_folder(tmp_path):
    model, processor = load_towers("static-words")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert model.config.base_models is None and model.tower_sources["text"] == "static-words"
    assert str(tower_place("static-words")) not in (tmp_path / "config.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="is a linking model and no tower: load it with `from_pretrained`"):
        load_towers(tmp_path)
    loaded = PGMELModel.from_pretrained(tmp_path)
    assert loaded.text_model.vectors.weight.dtype == torch.float32
    assert torch.equal(loaded.text_model.vectors.weight, model.text_model.vectors.weight)
    assert PGMELProcessor.from_pretrained(tmp_path).tokenizer("violin")["input_ids"]


def test_a_folder_is_meant_by_its_path():
    assert tower_place("./static-words") == "./static-words"


def test_a_new_vision_tower_stands_next_to_it():
    vision = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    model = PGMELModel.from_towers("static-words", vision, freeze_text=True, projection_size=16)
    assert model.config.vision_config.hidden_sizes == [8]
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "vision_model" in trained and "text_model" not in trained


def test_a_processor_of_a_new_vision_tower_gets_its_image_processor():
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    assert PGMELProcessor.from_towers("static-words", False, image_processor=images).image_processor is images


def test_it_has_no_vision_tower_of_its_own():
    with pytest.raises(ValueError, match="static-words has no vision tower"):
        PGMELModel.from_towers("static-words", True)


def test_adapters_are_refused_with_a_reason_that_leads_somewhere():
    peft = pytest.importorskip("peft")
    for freeze_text in (True, False):
        model, _ = load_towers("static-words")
        model.config.freeze_text = freeze_text
        with pytest.raises(
            ValueError, match="no linear layer that an adapter could change. Train without `peft_config`"
        ):
            model.add_adapter(peft.LoraConfig(r=2))
