"""A model is published and loaded the way people do it, each in a process of its own."""

import pytest
import torch
from huggingface_hub import ModelCard

from hf_mel import PGMELProcessor
from tests.hub import run_client
from tests.models.conftest import side_inputs


pytestmark = pytest.mark.loopback

PUSH = """
import json, sys
import hf_mel
from transformers import AutoModel, AutoProcessor

model, processor = AutoModel.from_pretrained(sys.argv[1]), AutoProcessor.from_pretrained(sys.argv[1])
first = model.push_to_hub("org/x", private=True)
second = processor.push_to_hub("org/x")
print(json.dumps([first.oid, second.oid]))
"""

LOAD = """
import json, sys
import hf_mel
import torch
from transformers import AutoModel, AutoProcessor

inputs = torch.load(sys.argv[1] + "/inputs.pt")
processor = AutoProcessor.from_pretrained("org/x")
outputs = []
for revision in ("main", sys.argv[2]):
    for offline in (False, True):
        model = AutoModel.from_pretrained("org/x", revision=revision, local_files_only=offline)
        outputs.append(model.get_mention_features(**inputs).detach())
torch.save(outputs, sys.argv[1] + "/outputs.pt")
print(json.dumps([type(model).__name__, type(processor).__name__, processor.mentions("jordan")["input_ids"].tolist()]))
"""


def test_model_and_processor(hub, tiny_model, tokenizer, tmp_path):
    tiny_model.eval().save_pretrained(tmp_path)
    PGMELProcessor(tokenizer=tokenizer).save_pretrained(tmp_path)
    torch.save(side_inputs(2), tmp_path / "inputs.pt")

    first, second = run_client(PUSH, hub, str(tmp_path)).answer
    repo = hub.repo("org/x")
    assert repo.private and repo.at().sha == second and repo.commits[second].parent == first
    files = repo.at().files
    assert {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"} <= files.keys()
    card = ModelCard(files["README.md"].content.decode()).data
    assert card.library_name == "transformers" and {"multimodal-entity-linking", "hf_mel"} <= set(card.tags)
    assert {path for path, file in files.items() if file.large} == {"model.safetensors"}
    assert files["model.safetensors"].content == (tmp_path / "model.safetensors").read_bytes()

    hub.forget_requests()
    run = run_client(LOAD, hub, str(tmp_path), first)
    ids = PGMELProcessor(tokenizer=tokenizer).mentions("jordan")["input_ids"].tolist()
    assert run.answer == ["PGMELModel", "PGMELProcessor", ids]
    expected = tiny_model.get_mention_features(**side_inputs(2))
    outputs = torch.load(tmp_path / "outputs.pt")
    assert len(outputs) == 4 and all(torch.equal(output, expected) for output in outputs)
    assert len(hub.asked("GET", "model.safetensors", status=200)) == 1, "one content, loaded once"
