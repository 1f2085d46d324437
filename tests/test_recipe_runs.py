"""The recipes of the field's systems run from end to end, for a few steps, on tiny data and towers in place of theirs."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    ViltConfig,
    ViltImageProcessorPil,
    ViltModel,
)

from hf_mel import make_miniature_tokenizer
from hf_mel.recipe_files import find_recipe
from hf_mel.recipes import load_recipe
from hf_mel.runs import run_recipe
from tests.test_recipes import RECIPES
from tests.tiny_recipe import DATA_OPTIONS


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
DATA = {"data.benchmark": "miniature", "data.options": DATA_OPTIONS}
RAW = {"data.raw_dir": None, "data.layout": "auto", "data.text_field": "auto"}
TRAINING = {  # three steps are an epoch: the fourth is after the warm-up of BLINK and PGMEL
    **{"max_steps": 4, "per_device_train_batch_size": 16, "logging_strategy": "steps", "logging_steps": 1},
    **{"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "eval_strategy": "no"},
    "load_best_model_at_end": False,
}
# Which losses a system has beside that of the whole: this is what makes it that system.
LOSSES = {
    "blink": {"contrast", "triplet"},
    "bert": {"contrast"},
    "clip": {"contrast"},
    "jmel": {"triplet"},
    "dzmned": {"triplet"},
    "ghmfc": {"triplet", "text_to_image", "image_to_text"},
    "mimic": {"contrast", "text_unit", "vision_unit", "cross_unit"},
    "m3el": {"contrast", "text_unit", "image_unit", "textual_to_visual_unit", "contrastive_text", "contrastive_image"},
    "melov": {"contrast", "text_unit", "vision_unit", "cross_unit", "generation"},
}
FUSIONS = {"blink": "late", "bert": "late", "clip": "concat", "jmel": "concat", "dzmned": "modality_attention"}
SYSTEMS = sorted({path.stem.split("-")[0] for path in RECIPES} & LOSSES.keys())


@pytest.fixture(scope="module")
def towers(tmp_path_factory) -> dict[str, str]:
    """Folders of a tiny CLIP, a tiny BERT and a tiny ViLT, in the place of those that the recipes name."""
    folder, tokenizer = tmp_path_factory.mktemp("towers"), make_miniature_tokenizer()
    text = {**SMALL, "vocab_size": 1000, "max_position_embeddings": 48}
    vision = {**SMALL, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder / "clip")
    square = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder / "clip")
    BertModel(BertConfig(**text)).save_pretrained(folder / "bert")
    ViltModel(ViltConfig(**text, image_size=16, patch_size=8)).save_pretrained(folder / "vilt")
    ViltImageProcessorPil(size={"shortest_edge": 16}, size_divisor=8).save_pretrained(folder / "vilt")
    for name in ("clip", "bert", "vilt"):
        tokenizer.save_pretrained(folder / name)
    return {
        "openai/clip-vit-base-patch32": str(folder / "clip"),
        "google-bert/bert-base-uncased": str(folder / "bert"),
        "dandelin/vilt-b32-mlm": str(folder / "vilt"),
    }


def ran(path, folder, **changes):
    """The run, and which losses were more than nothing."""
    recipe = load_recipe(path, DATA | TRAINING | {"output_dir": str(folder)} | changes)
    run = run_recipe(recipe, "test")
    logged = {name for log in run.trainer.state.log_history for name, value in log.items() if value}
    own = {"discriminator_loss", "train_loss", "eval_loss"}
    return run, {name.removesuffix("_loss") for name in logged if name.endswith("_loss") and name not in own}


@pytest.mark.parametrize("system", SYSTEMS)
def test_with_pretrained_towers(system, towers, tmp_path):
    path = RECIPES[0].parent / f"{system}-wikimel.yaml"
    given = load_recipe(path)
    assert given.data.text_field == ("description" if system == "m3el" else "attributes")
    folder = towers[given.model.text]
    small = {"model.config.projection_size": 32} if "projection_size" in given.model.config else {}
    small |= {"model.config.coattention_size": 32} if system == "ghmfc" else {}
    run, losses = ran(path, tmp_path, **RAW, **small, **{"model.text": folder})
    model = run.trainer.model
    assert model.config.text_views == "context" and run.trainer.processing_class.max_length == 40
    assert (model.vision_model is None) is (system in ("bert", "blink"))
    assert not model.config.freeze_text and not model.config.freeze_vision, "full fine-tuning"
    assert losses == LOSSES[system]
    assert getattr(model.config, "fusion", None) == FUSIONS.get(system)
    assert run.results[0].model_name == system.upper() and (tmp_path / "recipe.yaml").is_file()
    assert load_recipe(tmp_path / "recipe.yaml").given["evaluation"] == given.given["evaluation"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_from_scratch(system, tmp_path):
    path = RECIPES[0].parent / f"{system}-emojimel.yaml"
    fields = load_recipe(path).model.config
    size = {"projection_size": 32} if "projection_size" in fields else {"matching_size": 16}
    small = {f"model.config.{name}": value for name, value in size.items()}
    small |= {"model.config.text_config.vocab_size": 500, "model.config.text_config.hidden_size": 32}
    run, losses = ran(path, tmp_path, **small)
    model = run.trainer.model
    assert model.config.freeze_text and (model.vision_model is None) is (system in ("bert", "blink"))
    assert losses == LOSSES[system]
    assert 0 < run.results[0].metrics["mrr"] <= 1


@pytest.mark.parametrize("kind", ["pgmel-lora", "pgmel-text"])  # `pgmel-DATA` is what `pgmel-lora-DATA` extends
def test_pgmel(kind, towers, tmp_path):
    path = find_recipe(f"{kind}-richpediamel")
    tower = "google-bert/bert-base-uncased" if kind == "pgmel-text" else "openai/clip-vit-base-patch32"
    small = {"model.config.projection_size": 32, "model.processor.max_length": 40}
    run, losses = ran(path, tmp_path, **RAW, **small, **{"model.text": towers[tower]})
    trainer = run.trainer
    assert losses == {"triplet", "contrast", "generator"}, "the generator learns after the warm-up"
    assert trainer.args.negatives == "pg" and trainer.model.config.fusion == "gmu"
    assert trainer.model.config.text_views == "both"
    assert (trainer.model.vision_model is None) is trainer.model.towers_frozen is (kind == "pgmel-text")
    assert trainer.model.has_adapters is (kind == "pgmel-lora")
    assert run.results[0].model_name == "PGMEL" and (tmp_path / "generator" / "config.json").is_file()


def test_frozen_first_then_trained_along(towers, tmp_path, monkeypatch):
    frozen, full = tmp_path / "frozen", tmp_path / "full"
    changes = RAW | {"model.config.projection_size": 32, "model.processor.max_length": 40}
    tower = {"model.text": towers["google-bert/bert-base-uncased"]}
    first, losses = ran(find_recipe("pgmel-minilm-wikimel"), frozen, **changes, **tower)
    assert losses == {"triplet", "contrast", "generator"} and first.trainer.model.towers_frozen
    assert first.trainer.model.config.name_features and first.trainer.model.config.fusion == "cosine"
    second, losses = ran(find_recipe("pgmel-minilm-full-wikimel"), full, **RAW, **{"model.checkpoint": str(frozen)})
    assert losses == {"triplet", "contrast", "generator"} and not second.trainer.model.towers_frozen
    trained, before = second.trainer.model.state_dict(), first.trainer.model.state_dict()
    assert any(not torch.equal(trained[name], before[name]) for name in before if name.startswith("text_model."))
    assert load_recipe(full / "recipe.yaml").given["model"]["config"] == {"freeze_text": False}


@pytest.mark.parametrize("data", ["wikimel", "emojimel"])
def test_one_tower(data, towers, tmp_path):
    path = RECIPES[0].parent / f"vilt-{data}.yaml"
    tower = {**SMALL, "model_type": "vilt", "vocab_size": 500, "image_size": 32, "patch_size": 8}
    changes = {"model.config.tower_config": tower}
    if data == "wikimel":
        changes = RAW | {"model.text": towers["dandelin/vilt-b32-mlm"]}
    run, losses = ran(path, tmp_path, **changes)
    assert not run.trainer.model.towers_frozen and losses == {"contrast"}
    assert run.results[0].model_name == "ViLT" and 0 < run.results[0].metrics["mrr"] <= 1


@pytest.mark.parametrize("system", ["pgmel", "mimic", "m3el", "melov", "ghmfc", "vilt"])
def test_on_a_slice(system, towers, tmp_path):
    path = RECIPES[0].parent / f"{system}-wikimel-slice.yaml"
    changes = {"model.text": towers["google-bert/bert-base-uncased"], "data.train_share": 0.6}
    if system == "vilt":
        tower = SMALL | {"model_type": "vilt", "vocab_size": 500, "image_size": 32}
        changes = {"model.config.tower_config": tower, "data.train_share": 0.6}
    changes |= {"model.config.coattention_size": 32} if system == "ghmfc" else {}
    run, losses = ran(path, tmp_path, **RAW, **changes)
    trainer = run.trainer
    assert 0 < len(trainer.train_dataset) < 34 and not trainer.model.towers_frozen
    # Without pictures nothing is left of the other units and losses.
    own = {"mimic": {"text_unit"}, "m3el": {"text_unit", "contrastive_text"}, "melov": {"text_unit"}}
    assert losses == {"contrast"} | own.get(system, set())
    assert run.results[0].model_name.upper() == system.upper()
