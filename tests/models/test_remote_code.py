"""A checkpoint that carries its code loads where the package is not installed."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel

from hf_mel import PGMELConfig, PGMELGenerator, PGMELGeneratorConfig, PGMELModel, PGMELProcessor
from tests.models.conftest import side_inputs


LOADER = """
import sys
sys.modules["hf_mel"] = None  # importing it raises
import torch
from transformers import AutoModel, AutoProcessor

folder = sys.argv[1]
model, inputs = AutoModel.from_pretrained(folder, trust_remote_code=True), torch.load(folder + "/inputs.pt")
torch.save(model.get_mention_features(**inputs).detach(), folder + "/outputs.pt")
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
generator = AutoModel.from_pretrained(folder + "/generator", trust_remote_code=True)
features = model.extract(**inputs)
assert generator(features, features, torch.tensor([[0, 1], [1, 0]])).shape == (2, 2)
print(type(model).__name__, type(processor).__name__, processor.mentions("jordan")["input_ids"].tolist())
"""


@pytest.mark.parametrize(
    "tower", [{}, {"model_type": "bag_of_tokens", "vocab_size": 99, "hidden_size": 16}], ids=["bert", "bag"]
)
def test_checkpoint_with_its_code(tower, tiny_config, tokenizer, tmp_path, monkeypatch):
    if tower:  # the one tower that is this package's own
        tiny_config = PGMELConfig(**(tiny_config.to_dict() | {"text_config": tower}))
    tiny_model = PGMELModel(tiny_config)
    generator = PGMELGenerator(PGMELGeneratorConfig.from_model_config(tiny_model.config))
    for part, auto in (
        (PGMELConfig, "AutoConfig"),
        (PGMELGeneratorConfig, "AutoConfig"),
        (type(tiny_model), "AutoModel"),
        (PGMELGenerator, "AutoModel"),
        (PGMELProcessor, "AutoProcessor"),
    ):
        monkeypatch.setattr(part, "_auto_class", auto)  # what `register_for_auto_class` does, for this test only
    processor = PGMELProcessor(tokenizer=tokenizer)
    tiny_model.eval().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    generator.save_pretrained(tmp_path / "generator")
    torch.save(side_inputs(2), tmp_path / "inputs.pt")

    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    command = [sys.executable, "-c", LOADER, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    ids = processor.mentions("jordan")["input_ids"].tolist()
    assert done.stdout.split("\n")[-2] == f"PGMELModel PGMELProcessor {ids}"
    here = AutoModel.from_pretrained(tmp_path).get_mention_features(**side_inputs(2))
    assert torch.equal(torch.load(tmp_path / "outputs.pt"), here)
