"""Adapters on the Hub: trained from a model there, pushed, and loaded elsewhere with the towers of the right commit."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load

from tests.hub import run_client
from tests.training.common import tiny_linker, tiny_processor


pytestmark = pytest.mark.loopback

ROOT = str(Path(__file__).parents[2])

TRAIN = """
import json
import torch
from peft import LoraConfig
from transformers import BertConfig, BertModel
from hf_mel import PGMELModel
from tests.training.common import TEXT, make_trainer

torch.set_num_threads(1)
model = PGMELModel.from_pretrained("org/base", revision="v1")
options = {"max_steps": 1, "vision": False, "push_to_hub": True, "hub_model_id": "org/lora", "learning_rate": 0.1}
trainer = make_trainer("run", model, peft_config=LoraConfig(r=2), save_strategy="steps", save_steps=1, **options)
trainer.train()
trainer.push_to_hub(license="mit")
total = sum(value.double().sum().item() for value in trainer.model.state_dict().values())

BertModel(BertConfig(**{k: v for k, v in TEXT.items() if k != "model_type"})).push_to_hub("org/tower")
model = PGMELModel.from_towers("org/tower", pooling="mean", projection_size=8)
model.add_adapter(LoraConfig(r=2))
model.push_to_hub("org/on-tower")
on_tower = sum(value.double().sum().item() for value in model.state_dict().values())

local = PGMELModel.from_pretrained("org/base")
local.save_pretrained("local")
try:
    refused = make_trainer("other", PGMELModel.from_pretrained("local"), peft_config=LoraConfig(r=2), **options)
except ValueError as error:
    refused = str(error)
print(json.dumps([total, on_tower, refused]))
"""

LOAD = """
import json, sys
import torch
from transformers import AutoModel
from hf_mel import PGMELModel
from hf_mel.checkpoint import load_checkpoint

model, _ = load_checkpoint("org/lora")
tower = PGMELModel.from_pretrained("org/on-tower")
totals = [sum(value.double().sum().item() for value in each.state_dict().values()) for each in (model, tower)]
print(json.dumps([*totals, model.config.adapters["base"], tower.config.adapters["base"]]))
"""

WITHOUT = """
import json, sys
from transformers import AutoModel

model = AutoModel.from_pretrained("org/lora", trust_remote_code=True)
assert "hf_mel" not in sys.modules
print(json.dumps(sum(value.double().sum().item() for value in model.state_dict().values())))
"""


def test_adapters_go_over_the_hub(hub, tmp_path):
    folder = tmp_path / "base"
    commits = []
    for seed in (0, 1):  # the second commit has other towers
        tiny_linker(vision=False, seed=seed).save_pretrained(folder)
        tiny_processor(vision=False).save_pretrained(folder)
        commits.append(hub.add("org/base", {path.name: path.read_bytes() for path in folder.iterdir()}).sha)
    hub.repo("org/base").tags["v1"] = commits[0]

    total, on_tower, refused = run_client(TRAIN, hub, PYTHONPATH=ROOT).answer
    assert "`push_to_hub`: the adapters need the towers in " in refused and "/local" in refused
    files = hub.files("org/lora")
    assert not any("base_layer" in name for name in load(files["model.safetensors"]))
    about = ModelCard(files["README.md"].decode()).data.to_dict()
    assert (about["base_model"], about["base_model_relation"]) in (("org/base", "adapter"), (["org/base"], "adapter"))

    loaded, loaded_on_tower, base, tower = run_client(LOAD, hub, PYTHONPATH=ROOT).answer
    assert (loaded, loaded_on_tower) == (total, on_tower)
    assert base == {"checkpoint": "org/base", "revision": commits[0]}
    tower_commit = hub.repo("org/tower").at().sha
    assert tower == {"towers": {"text": "org/tower", "text_kwargs": {"revision": tower_commit}}}
    assert run_client(WITHOUT, hub, PYTHONPATH=str(tmp_path)).answer == total
