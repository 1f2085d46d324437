"""Training with LoRA adapters: what learns, which modules have one, resuming, recipes and cards."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig
from safetensors.torch import load_file

from hf_mel import MIMICConfig, MIMICModel, PGMELModel, PGMELTrainer, SingleStreamModel
from hf_mel.checkpoint import load_checkpoint
from hf_mel.compat import enable_activation_checkpointing
from hf_mel.hub import write_model_card
from hf_mel.models import SingleStreamConfig
from hf_mel.recipes import recipe_from_dict
from hf_mel.runs import run_recipe
from hf_mel.training import MELTrainer, MELTrainingArguments
from tests.tiny_recipe import tiny_recipe
from tests.training.common import (
    TEXT,
    VISION,
    assert_equal,
    make_trainer,
    tiny_data,
    tiny_linker,
    tiny_processor,
    weights,
)
from tests.training.lora_common import adapted, lora_trainer, tower_weights


DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
TEXT_TARGETS = ["query", "value"]

# ---- Training ----


@pytest.mark.parametrize(
    "options", [{}, {"negatives": "pg", "mini_batch_size": 3}, {"bf16": True, "negatives": "in_batch"}], ids=str
)
def test_adapters_and_heads_learn_and_towers_stay(options, base, tmp_path):
    trainer = lora_trainer(tmp_path, base, **({"max_steps": 2} | options))
    before, towers = weights(trainer), tower_weights(trainer.model)
    trainer.train()
    assert_equal(towers, tower_weights(trainer.model))
    assert_equal(towers, tower_weights(PGMELModel.from_pretrained(base)))
    after = weights(trainer)
    learnt = {name for name in before if not torch.equal(before[name], after[name])}
    for part in ("text_model", "vision_model"):
        assert any(f"{part}." in name and ".lora_B." in name for name in learnt)
    assert any(name.startswith("discriminator.heads") for name in learnt)
    assert all(".lora_" in name for name in learnt if "_model." in name)
    assert any(name.startswith("generator.") for name in learnt) == (options.get("negatives", "pg") == "pg")
    assert trainer.evaluate()["eval_mrr"] > 0


def test_a_model_of_units_and_one_tower_for_both_are_adapted(tmp_path):
    """Without activation checkpointing or with it, every adapter has a gradient."""
    sizes = {"projection_size": 8, "max_text_tokens": 32, "num_patches": 5}
    units = MIMICModel(MIMICConfig(text_config=dict(TEXT), vision_config=dict(VISION), **sizes))
    vilt = {name: TEXT[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")}
    vilt |= {"model_type": "vilt", "image_size": 16, "patch_size": 8, "intermediate_size": 16}
    for name, model in {"units": units, "one": SingleStreamModel(SingleStreamConfig(tower_config=vilt))}.items():
        options = {"negatives": "in_batch", "max_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True}
        args = MELTrainingArguments(str(tmp_path), per_device_train_batch_size=4, learning_rate=0.01, **options)
        processor = tiny_processor()
        processor.text_views = model.config.text_views
        data = tiny_data()
        trainer = MELTrainer(
            model,
            args,
            train_dataset=data.mentions["train"],
            knowledge_base=data.entities,
            processing_class=processor,
            peft_config=LoraConfig(r=2),
        )
        trainer.train()
        learnt = [each for each in model.state_dict() if ".lora_B." in each]
        assert learnt and all(model.state_dict()[each].any() for each in learnt)
        model.eval()
        trainer.save_model(str(tmp_path / name))
        assert_equal(model.state_dict(), type(model).from_pretrained(tmp_path / name).state_dict())


def test_every_adapter_has_a_gradient_also_with_activation_checkpointing(base):
    data, processor = tiny_data(), tiny_processor()
    columns = (data.mentions["test"][:4][name] for name in ("mention", "text", "start", "image"))
    inputs = processor.mentions(*columns)
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = adapted(base).train()
        for tower in (model.text_model, model.vision_model):
            for module in tower.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        if checkpointing:
            enable_activation_checkpointing(model)
        model.encode("mention", model.extract(**inputs))["embeds"].pow(3).sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.requires_grad})
    for name, value in gradients[0].items():
        if ".lora_" in name:
            assert value is not None and value.any(), name
            torch.testing.assert_close(gradients[1][name], value)


def test_targets_of_the_user(base):
    names = {
        name.split(".lora_")[0] for name in adapted(base, target_modules=TEXT_TARGETS).state_dict() if ".lora_" in name
    }
    assert names == {f"text_model.encoder.layer.0.attention.self.{name}" for name in TEXT_TARGETS}
    model = adapted(base, target_modules=r"vision_model\..*\.(fc1|q_proj)")
    names = {name.split(".lora_")[0].rpartition(".")[2] for name in model.state_dict() if ".lora_" in name}
    assert names == {"fc1", "q_proj"}
    assert model.config.freeze_text and not model.config.freeze_vision and not model.train().text_model.training
    model = adapted(base, target_modules="all-linear", exclude_modules=r"text_model\..*")
    names = {name for name in model.state_dict() if ".lora_A." in name}
    assert len(names) == 6 and all(name.startswith("vision_model.") for name in names)


def test_the_default_leaves_out_a_frozen_tower_and_what_has_no_forward():
    siglip = VISION | {"model_type": "siglip_vision_model"}  # pools with `torch.nn.MultiheadAttention`
    model = tiny_linker(vision_config=siglip, freeze_text=True)
    model.add_adapter(LoraConfig(r=2))
    names = {name.split(".lora_")[0] for name in model.state_dict() if ".lora_" in name}
    part = "vision_model.encoder.layers.0.self_attn"
    assert names == {f"{part}.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")}


def test_random_adapters_depend_on_the_seed_alone(base, tmp_path):
    first = weights(lora_trainer(tmp_path, base))
    torch.manual_seed(5)
    assert_equal(first, weights(lora_trainer(tmp_path, base)))
    name = next(name for name in first if ".lora_A." in name)
    assert not torch.equal(first[name], weights(lora_trainer(tmp_path, base, seed=1))[name])


def test_models_of_trials_have_adapters(base, tmp_path):
    data = tiny_data()
    trainer = PGMELTrainer(
        model_init=lambda: PGMELModel.from_pretrained(base),
        args=make_trainer(tmp_path, vision=False).args,
        train_dataset=data.mentions["train"],
        knowledge_base=data.entities,
        processing_class=tiny_processor(),
        peft_config=LoraConfig(r=2),
    )
    assert trainer.model.has_adapters and trainer.call_model_init().has_adapters


def test_resume_and_best_model(base, tmp_path):
    """Bit for bit, with dropout; the Trainer's checkpoints hold no tower."""
    options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    options |= {"load_best_model_at_end": True, "metric_for_best_model": "mr"}
    whole = lora_trainer(tmp_path / "whole", base, **options)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-2"
    assert not any("base_layer" in name for name in load_file(checkpoint / "model.safetensors"))
    resumed = lora_trainer(tmp_path / "resumed", base, **options)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert_equal(weights(whole), weights(resumed))
    best = PGMELModel.from_pretrained(whole.state.best_model_checkpoint)
    assert_equal(whole.model.state_dict(), best.state_dict())
    whole.save_model()
    assert_equal(best.state_dict(), load_checkpoint(str(tmp_path / "whole"))[0].state_dict())
    for given, message in ((LoraConfig(r=4), "another `peft_config`"), (None, "pass the `peft_config`")):
        other = make_trainer(tmp_path / "other", PGMELModel.from_pretrained(base), peft_config=given, **options)
        with pytest.raises(ValueError, match=message):
            other.train(resume_from_checkpoint=str(checkpoint))


# ---- Documentation, recipes and cards ----


def test_the_example_of_the_documentation_runs(base, tmp_path, monkeypatch):
    (block,) = re.findall(r"^```python\n(from peft .*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base, "runs/base")
    monkeypatch.setattr("hf_mel.load_benchmark", lambda name: tiny_data())
    exec(compile(block, str(DOCUMENT), "exec"), {})
    merged = PGMELModel.from_pretrained("runs/merged")
    assert not merged.has_adapters
    expected = PGMELModel.from_pretrained("runs/lora").merge_and_unload()
    assert_equal(expected.state_dict(), merged.state_dict())


def test_recipe(base, tmp_path):
    recipe = tiny_recipe(tmp_path / "run")
    recipe["model"] = {"checkpoint": str(base), "lora": {"r": 3}}
    recipe["training"] |= {
        "num_train_epochs": 1,
        "discriminator_warmup_epochs": 0,
        "eval_strategy": "no",
        "save_strategy": "no",
    }
    run_recipe(recipe_from_dict(recipe), "hf-mel train x.yaml")
    model = load_checkpoint(str(tmp_path / "run"))[0]
    assert model.config.adapters["lora"]["r"] == 3
    with pytest.raises(ValueError, match="model.lora.rank"):
        recipe_from_dict({"model": {"lora": {"rank": 3}}})
    card = write_model_card(tmp_path / "run", base_models="org/base")
    text = card.read_text()
    assert ModelCard(text).data.to_dict()["base_model_relation"] == "adapter"
    assert "LoRA adapters of rank 3" in text and "pip install hf-mel[peft]" in text
