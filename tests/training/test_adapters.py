"""Models with LoRA adapters: saved, loaded, merged and refused."""

import json
import sys

import pytest
import torch
from peft import AdaLoraConfig, IA3Config, LoraConfig, PrefixTuningConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, BertModel, CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from hf_mel import Linker, PGMELModel
from hf_mel.checkpoint import load_checkpoint
from tests.training.common import (
    TEXT,
    VISION,
    assert_equal,
    tiny_data,
    tiny_linker,
    tiny_processor,
)
from tests.training.lora_common import DROPOUT, adapted, lora_trainer, scores


# ---- Checkpoints ----


@pytest.mark.parametrize("options", [{}, {"target_modules": ["query", "value"], "use_dora": True}], ids=str)
def test_saved_without_the_towers_and_loaded_with_them(options, base, tmp_path):
    model = adapted(base, **options)
    model.save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    saved = set(load_file(tmp_path / "model.safetensors"))
    assert saved == {name for name, value in model.named_parameters() if value.requires_grad}
    for loaded in (
        PGMELModel.from_pretrained(tmp_path),
        AutoModel.from_pretrained(tmp_path),
        load_checkpoint(str(tmp_path))[0],
        Linker.from_pretrained(tmp_path, tiny_data().entities).model,
    ):
        assert type(loaded) is PGMELModel and not loaded.training
        assert_equal(model.state_dict(), loaded.cpu().state_dict())
        assert torch.equal(scores(model), scores(loaded))
    trained = [{n for n, v in each.named_parameters() if v.requires_grad} for each in (model, loaded)]
    assert trained[0] == trained[1]
    loaded.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("dtype", [torch.bfloat16, "float32"], ids=str)
def test_loaded_in_another_precision(dtype, base, tmp_path):
    model = adapted(base).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert {value.dtype for value in PGMELModel.from_pretrained(tmp_path).parameters()} == {torch.bfloat16}
    loaded = PGMELModel.from_pretrained(tmp_path, dtype=dtype)
    assert_equal(
        {n: v.to(loaded.dtype) for n, v in model.state_dict().items() if "lora" in n},
        {n: v for n, v in loaded.state_dict().items() if "lora" in n},
    )
    assert {value.dtype for value in AutoModel.from_pretrained(tmp_path, dtype=dtype).parameters()} == {loaded.dtype}


@pytest.mark.parametrize("kind", ["two", "clip"])
def test_towers_with_folders_of_their_own(kind, tmp_path):
    text, vision = tmp_path / "text", tmp_path / "vision"
    if kind == "two":
        BertModel(BertConfig(**_without_type(TEXT))).save_pretrained(text)
        CLIPVisionModel(CLIPVisionConfig(**_without_type(VISION))).save_pretrained(vision)
        sources = {"text": str(text), "vision": str(vision)}
    else:  # one checkpoint, which has projections, too
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        halves = {"text_config": sizes | {"vocab_size": 99}, "vision_config": _without_type(VISION)}
        CLIPModel(CLIPConfig(**halves, projection_dim=8)).save_pretrained(text)
        sources = {"text": str(text)}
    model = PGMELModel.from_towers(**sources, projection_size=8, pooling="mean")
    model.add_adapter(LoraConfig(r=2))
    assert model.config.adapters["base"] == {"towers": sources}
    model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert not any("base_layer" in name or "projection" in name for name in saved)
    assert_equal(model.state_dict(), PGMELModel.from_pretrained(tmp_path / "saved").state_dict())


def _without_type(config: dict) -> dict:
    return {name: value for name, value in config.items() if name != "model_type"}


def test_saved_as_a_whole_where_no_checkpoint_holds_the_towers(base, tmp_path):
    changed = PGMELModel.from_pretrained(base)
    with torch.no_grad():
        changed.text_model.encoder.layer[0].attention.self.query.weight.add_(1)
    for number, model in enumerate((tiny_linker(), changed)):
        model.add_adapter(LoraConfig(r=2))
        model.save_pretrained(tmp_path / str(number))
        assert load_file(tmp_path / str(number) / "model.safetensors").keys() == model.state_dict().keys()
        assert_equal(model.state_dict(), PGMELModel.from_pretrained(tmp_path / str(number)).state_dict())


def test_merged_model_scores_the_same_and_is_a_plain_checkpoint(base, tmp_path):
    model = adapted(base)
    expected, before = scores(model), scores(PGMELModel.from_pretrained(base))
    assert (expected - before).abs().max() > 1e-2
    merged = model.merge_and_unload()
    assert merged is model and not merged.has_adapters
    torch.testing.assert_close(scores(merged), expected, rtol=1e-5, atol=1e-5)
    merged.save_pretrained(tmp_path)
    loaded = PGMELModel.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == PGMELModel.from_pretrained(base).state_dict().keys()
    assert_equal(merged.state_dict(), loaded.state_dict())
    assert all(value.requires_grad for value in merged.parameters())
    assert "adapters" not in json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(ValueError, match="no adapters to merge"):
        merged.merge_and_unload()
    merged.add_adapter(LoraConfig(r=2))
    assert merged.config.adapters["base"] is None  # no checkpoint holds these towers


# ---- What is refused ----


@pytest.mark.parametrize("part", ["heads.", ".lora_A."])
def test_a_checkpoint_that_lacks_weights_is_refused(part, base, tmp_path):
    adapted(base).save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in state.items() if part not in name}
    assert 0 < len(kept) < len(state)
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"lacks .*{part}"):
        load_checkpoint(str(tmp_path))
    save_file(state | {"more": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="weights that the model does not have: more"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="not whole"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match="model.safetensors"):
        load_checkpoint(str(tmp_path))


def test_towers_that_changed_or_are_gone_are_refused(base, tmp_path):
    own = tmp_path / "base"
    PGMELModel.from_pretrained(base).save_pretrained(own)
    adapted(own).save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="`device_map` cannot be used"):
        PGMELModel.from_pretrained(tmp_path / "saved", device_map="cpu")
    model = PGMELModel.from_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match="would overwrite them"):
        model.save_pretrained(own)
    tiny_linker(seed=1, text_config=TEXT | DROPOUT).save_pretrained(own)
    with pytest.raises(ValueError, match="not those that they were trained with"):
        PGMELModel.from_pretrained(tmp_path / "saved")
    own.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="which cannot be loaded"):
        PGMELModel.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PrefixTuningConfig(num_virtual_tokens=2), "PrefixTuningConfig: only `LoraConfig`"),
        (IA3Config(target_modules=["query"], feedforward_modules=[]), "IA3Config: only `LoraConfig`"),
        (AdaLoraConfig(target_modules=["query"], total_step=5), "AdaLoraConfig: only `LoraConfig`"),
        (LoraConfig(target_modules=["nothing"]), r"nothing matches \{'nothing'\}.*query"),
        (LoraConfig(modules_to_save=["pooler"]), "`modules_to_save`"),
        (LoraConfig(bias="all"), "`bias`"),
        (LoraConfig(target_modules=["query"], layers_to_transform=0), "`layers_to_transform`.*name the layers"),
        (LoraConfig(init_lora_weights="pissa"), "`init_lora_weights`.*'pissa'"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_configurations_that_cannot_be_used(config, message, base, tmp_path):
    with pytest.raises(ValueError, match=message):
        lora_trainer(tmp_path, base, config)


def test_what_is_no_configuration_a_second_adapter_and_frozen_towers(base, tmp_path):
    with pytest.raises(TypeError, match="`peft_config` must be a `peft.LoraConfig`, got dict"):
        lora_trainer(tmp_path, base, {"r": 8})
    with pytest.raises(ValueError, match="has adapters already"):
        adapted(base).add_adapter(LoraConfig(r=2))
    with pytest.raises(ValueError, match="`freeze_vision` of the model's configuration freezes this tower"):
        tiny_linker(freeze_vision=True).add_adapter(LoraConfig(target_modules=["query", "q_proj"]))
    with pytest.raises(ValueError, match="`freeze_text=False`, `freeze_vision=False`"):
        tiny_linker(freeze_text=True, freeze_vision=True).add_adapter(LoraConfig(r=2))
    resnet = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8], "depths": [1]}
    with pytest.raises(ValueError, match="batch normalisation"):
        tiny_linker(vision_config=resnet).add_adapter(LoraConfig(target_modules=["convolution"]))


def test_without_peft(base, tmp_path, monkeypatch):
    config = LoraConfig(r=2)
    adapted(base).save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    for use in (lambda: PGMELModel.from_pretrained(tmp_path), lambda: lora_trainer(tmp_path, base, config)):
        with pytest.raises(ImportError, match=r"pip install hf-mel\[peft\]"):
            use()
