"""A model and a benchmark are published and loaded the way people do it, each in a process of its own."""

import pytest
import torch

from hf_mel import PGMELProcessor
from hf_mel.data import load_data
from hf_mel.data.building import build_dataset
from tests.data.building.common import small_raw
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

DATASET = """
import json, sys
from datasets import load_dataset
from huggingface_hub import HfApi

api, answer = HfApi(), {}
api.create_repo("org/d", repo_type="dataset")
api.upload_folder(repo_id="org/d", repo_type="dataset", folder_path=sys.argv[1])
api.create_tag("org/d", repo_type="dataset", tag="v1")
api.upload_folder(repo_id="org/d", repo_type="dataset", folder_path=sys.argv[2])
for name, revision in ((None, "main"), ("entities", "main"), ("mentions", "v1")):
    splits = load_dataset("org/d", name, revision=revision)
    streams = load_dataset("org/d", name, revision=revision, streaming=True)
    for split, rows in splits.items():
        streamed = [row["id"] for row in streams[split]]
        answer[f"{name}/{revision}/{split}"] = [list(rows["id"]), streamed, rows[0]["image"] and rows[0]["image"].size]
print(json.dumps(answer))
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


def test_dataset(hub, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    build_dataset(small_raw(tmp_path / "raw", entities=9, train=12), old, name="small")
    build_dataset(small_raw(tmp_path / "more", entities=10, train=15), new, name="small")
    answer = run_client(DATASET, hub, str(old), str(new)).answer

    for name, revision, folder in ((None, "main", new), ("entities", "main", new), ("mentions", "v1", old)):
        data = load_data(folder)
        expected = (
            {"train": data.entities.dataset["id"]}
            if name == "entities"
            else {k: v["id"] for k, v in data.mentions.items()}
        )
        for split, ids in expected.items():
            loaded, streamed, size = answer.pop(f"{name}/{revision}/{split}")
            assert loaded == streamed == list(ids) and size == [8, 6], (name, revision, split)
    assert not answer
    assert hub.asked("GET", r"filename=.*\.parquet", status=206), "streaming asks for stretches"
    for revision, folder in (("v1", old), ("main", new)):
        written = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert hub.files("org/d", "dataset", revision) == written
