"""Checkpoints of models that read states, and of one tower, with their code, where the package is not installed."""

import os

import pytest
import torch
from transformers import AutoModel

from hf_mel import M3ELModel, MIMICModel, PGMELProcessor
from tests.models.test_modeling_ghmfc import tiny_ghmfc
from tests.models.test_modeling_single_stream import tiny as tiny_single_stream
from tests.models.units_common import side, tiny_units
from tests.processes import run_python


LOADER = """
import sys
sys.modules["hf_mel"] = None  # importing it raises
import torch
from transformers import AutoModel, AutoProcessor

for folder in sys.argv[1:]:
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    inputs = torch.load(folder + "/inputs.pt")
    with torch.no_grad():
        mentions, entities = (model.encode(side, model.extract(**inputs[side])) for side in ("mention", "entity"))
        scores, units = model.match_with_units(mentions, entities)
        torch.save({"scores": scores, **units}, folder + "/outputs.pt")
    print(type(model).__name__, processor.mentions("jordan")["input_ids"].shape[0])
"""
MODELS = {
    "mimic": lambda: tiny_units(MIMICModel),
    "m3el": lambda: tiny_units(M3ELModel, cross_matching="both"),
    "ghmfc": tiny_ghmfc,
    "single_stream": tiny_single_stream,
}


@pytest.fixture
def saved(tokenizer, tmp_path):
    """Folder of each model, with inputs."""
    for name, build in MODELS.items():
        build().float().save_pretrained(tmp_path / name)
        PGMELProcessor(tokenizer=tokenizer, max_length=12).save_pretrained(tmp_path / name)
        inputs = {"mention": side(4, 1, torch.float32), "entity": side(5, 2, torch.float32)}
        torch.save(inputs, tmp_path / name / "inputs.pt")
    return [tmp_path / name for name in MODELS]


def test_they_score_as_they_do_here(saved, tmp_path):
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    done = run_python(LOADER, *map(str, saved), env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["MIMICModel", "M3ELModel", "GHMFCModel", "SingleStreamModel"]
    assert [line for line in done.stdout.split("\n") if line] == [f"{name} 1" for name in names]
    for folder in saved:
        model, inputs = AutoModel.from_pretrained(folder), torch.load(folder / "inputs.pt")
        with torch.no_grad():
            sides = (model.encode(name, model.extract(**inputs[name])) for name in ("mention", "entity"))
            scores, units = model.match_with_units(*sides)
        found = torch.load(folder / "outputs.pt")
        expected = {"scores": scores, **units}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)


def test_the_code_is_all_there_and_no_more(saved):
    for folder in saved:
        files = {path.name for path in folder.glob("*.py")}
        own = {f"{kind}_{folder.name}.py" for kind in ("configuration", "modeling")}
        assert own | {"towers.py"} <= files
        assert ("configuration_states.py" in files) is (folder.name != "single_stream")
        units = {"configuration_units.py", "modeling_units.py", "matching_units.py"}
        assert files & units == (units if folder.name in ("mimic", "m3el") else set())
        assert ("coattention.py" in files) is (folder.name == "ghmfc")
        assert ("m3el_units.py" in files) is (folder.name == "m3el")
