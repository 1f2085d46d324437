"""A checkpoint that carries its code loads where the package is not installed."""

import json
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoProcessor

import hf_mel
from hf_mel import MELProcessor, PGMELConfig, PGMELGenerator, PGMELGeneratorConfig, PGMELModel, PGMELProcessor
from tests.models.conftest import side_inputs
from tests.processes import run_python


LOADER = """
import sys
sys.modules["hf_mel"] = None  # importing it raises
import torch
from transformers import AutoModel, AutoProcessor

folder = sys.argv[1]
model, inputs = AutoModel.from_pretrained(folder, trust_remote_code=True), torch.load(folder + "/inputs.pt")
torch.save(model.get_mention_features(**inputs).detach(), folder + "/outputs.pt")
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
features = model.extract(**inputs)
vectors = model.get_entity_features(**inputs)[torch.tensor([[0, 1], [1, 0]])]
# From a sub-folder, as on the Hub, transformers looks for the code beside the model.
places = ((folder + "/generator", ""), (folder, "generator"))
generators = [AutoModel.from_pretrained(place, subfolder=sub, trust_remote_code=True) for place, sub in places]
logits = [generator(features, vectors) for generator in generators]
assert logits[0].shape == (2, 2) and torch.equal(*logits)
print(type(model).__name__, type(processor).__name__, processor.mentions("jordan")["input_ids"].tolist())
"""


BAG = {"model_type": "bag_of_tokens", "vocab_size": 99, "hidden_size": 16}


@pytest.mark.parametrize(
    ("tower", "processor_class"), [({}, PGMELProcessor), (BAG, MELProcessor)], ids=["bert", "bag"]
)
def test_checkpoint_with_its_code(tower, processor_class, tiny_config, tokenizer, tmp_path):
    if tower:  # the one tower that is this package's own
        tiny_config = PGMELConfig(**(tiny_config.to_dict() | {"text_config": tower}))
    tiny_model = PGMELModel(tiny_config)
    generator = PGMELGenerator(PGMELGeneratorConfig.from_model_config(tiny_model.config))
    processor = processor_class(tokenizer=tokenizer)
    tiny_model.eval().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    generator.save_pretrained(tmp_path / "generator")
    torch.save(side_inputs(2), tmp_path / "inputs.pt")

    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    done = run_python(LOADER, str(tmp_path), env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ids = processor.mentions("jordan")["input_ids"].tolist()
    assert done.stdout.split("\n")[-2] == f"PGMELModel {processor_class.__name__} {ids}"
    here = AutoModel.from_pretrained(tmp_path).get_mention_features(**side_inputs(2))
    assert torch.equal(torch.load(tmp_path / "outputs.pt"), here)


def code_named_in(folder) -> set[str]:
    """Files that the configurations in a folder name as the code of a class."""
    found = set()
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        found |= {f"{name.split('.')[0]}.py" for name in content.get("auto_map", {}).values()}
    return found


def test_saved_again_it_still_has_its_code(tiny_model, tokenizer, tmp_path):
    """With the package installed its own classes are used, and what they save names no file that is not there."""
    first, second = tmp_path / "first", tmp_path / "second"
    tiny_model.save_pretrained(first)
    PGMELProcessor(tokenizer=tokenizer).save_pretrained(first)
    model, processor = AutoModel.from_pretrained(first), AutoProcessor.from_pretrained(first)
    assert type(model) is PGMELModel and type(processor) is PGMELProcessor
    model.save_pretrained(second)
    processor.save_pretrained(second)
    for folder in (first, second):
        named = code_named_in(folder)
        assert {"configuration_pgmel.py", "modeling_pgmel.py", "processing_mel.py"} <= named
        assert all((folder / name).is_file() for name in named)
        assert (folder / "towers.py").is_file(), "and what these import"
    source = Path(hf_mel.models.__file__).parent
    assert (second / "modeling_pgmel.py").read_bytes() == (source / "modeling_pgmel.py").read_bytes()
