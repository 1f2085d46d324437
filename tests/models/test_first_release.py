"""What the first release saved loads today, with the same answers: see `tests/fixtures/checkpoints.py`."""

import json
import os
import shutil

import pytest
import torch
from transformers import AutoModel, AutoProcessor, pipeline

from hf_mel import Calibration, MELProcessor, PGMELGenerator, PGMELModel
from hf_mel.models import LINKING_MODELS
from tests.fixtures import checkpoints
from tests.fixtures.checkpoints import INPUTS, NAMES, PGMEL, RELEASE, answers, files_of, read_expected, read_inputs
from tests.fixtures.make import make
from tests.processes import run_python
from tests.tiny_peers import PEERS


EXPECTED = read_expected()
TOLERANCE = {"rel": 0, "abs": 1e-5}

WITHOUT = """
import base64, io, json, sys
from pathlib import Path
sys.modules["hf_mel"] = None  # importing it raises
import torch
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoProcessor

answer, inputs = {}, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
for name in sys.argv[3:]:
    folder, trust = Path(sys.argv[2], name), {"trust_remote_code": True}
    model, processor = AutoModel.from_pretrained(folder, **trust), AutoProcessor.from_pretrained(folder, **trust)
    assert AutoConfig.from_pretrained(folder, **trust).to_dict() == model.config.to_dict()
    sides = {}
    for side, rows in inputs.items():
        images = [row["image"] and Image.open(io.BytesIO(base64.b64decode(row["image"]))) for row in rows]
        columns = ("name", "attributes") if side == "entities" else ("mention", "text", "start")
        sides[side] = getattr(processor, side)(*([row[column] for row in rows] for column in columns), images=images)
    assert {type(each).__module__.split(".")[0] for each in (model, processor)} == {"transformers_modules"}
    answer[name] = {"input_ids": sides["mentions"]["input_ids"].tolist()}
    with torch.no_grad():
        features = [model.extract(**sides[side]) for side in ("mentions", "entities")]
        if hasattr(model, "units"):
            both = (model.encode(*each) for each in zip(("mention", "entity"), features, strict=True))
            scores, units = model.match_with_units(*both)
            units = {unit: each.tolist() for unit, each in units.items()}
            answer[name] |= {"scores": scores.tolist(), "unit_scores": units}
            continue
        generator = AutoModel.from_pretrained(folder, subfolder="generator", **trust)
        alone = AutoModel.from_pretrained(folder / "generator", **trust)
        number = len(inputs["entities"])
        candidates = torch.tensor([[row, (row + 3) % number] for row in range(len(inputs["mentions"]))])
        answer[name] |= {
            "mention_features": model.get_mention_features(**sides["mentions"]).tolist(),
            "entity_features": model.get_entity_features(**sides["entities"]).tolist(),
        }
        vectors = torch.tensor(answer[name]["entity_features"])[candidates]
        logits = generator(features[0], vectors)
        answer[name]["generator_logits"] = logits.tolist()
        assert torch.equal(alone(features[0], vectors), logits)
    assert type(generator).__module__.startswith("transformers_modules")
print(json.dumps(answer))
"""


def numbers(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_as_expected(found: dict, expected: dict) -> None:
    assert found["input_ids"] == expected["input_ids"]
    given = expected.keys() - {"input_ids", "unit_scores", "linked", "files"}
    assert given in ({"mention_features", "entity_features", "generator_logits"}, {"scores"})
    pairs = [(found[name], expected[name]) for name in given]
    units = expected.get("unit_scores", {})
    assert found.get("unit_scores", {}).keys() == units.keys()
    for values, other in [*pairs, *((found["unit_scores"][name], each) for name, each in units.items())]:
        torch.testing.assert_close(numbers(values), numbers(other), rtol=0, atol=1e-5)


def test_the_files_are_those_of_the_release(released):
    """They are not made again when a test fails: then checkpoints that users have could no longer be loaded."""
    assert set(EXPECTED) == set(NAMES)
    for name in NAMES:
        found = {path.relative_to(released / name).as_posix() for path in files_of(released / name)}
        assert found == EXPECTED[name]["files"].keys()
        assert {"config.json", "model.safetensors", "calibration.json", "tokenizer.json"} <= found
    stored = files_of(RELEASE)
    contents = [path.read_bytes() for path in stored]
    assert len(set(contents)) == len(contents), "each content is stored once"
    assert sum(map(len, contents)) < 700_000


def test_a_changed_file_is_named(tmp_path, monkeypatch):
    release = shutil.copytree(RELEASE, tmp_path / "release")
    (release / "shared" / "towers.py").write_text("changed", encoding="utf-8")
    monkeypatch.setattr(checkpoints, "RELEASE", release)
    with pytest.raises(
        ValueError, match="shared/towers.py is not the file (generator/)?towers.py that the release wrote"
    ):
        checkpoints.assemble(tmp_path / "assembled")


def test_a_release_is_not_replaced_by_accident():
    with pytest.raises(FileExistsError, match="v0_1 exists: .* Pass --overwrite"):
        make()


@pytest.mark.parametrize("name", NAMES)
def test_with_the_package(name, released):
    found, expected = answers(released / name), EXPECTED[name]
    assert_as_expected(found, expected)
    assert [answer["is_nil"] for answer in found["linked"]] == [answer["is_nil"] for answer in expected["linked"]]
    for answer, other in zip(found["linked"], expected["linked"], strict=True):
        for (id, score, probability), (other_id, other_score, other_probability) in zip(
            answer["candidates"], other["candidates"], strict=True
        ):
            assert id == other_id
            assert score == pytest.approx(other_score, **TOLERANCE)
            assert probability == pytest.approx(other_probability, **TOLERANCE), "the calibration still fits the model"


def test_without_the_package(tmp_path, released):
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = run_python(WITHOUT, str(INPUTS), str(released), *NAMES, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name in NAMES:
        assert_as_expected(found[name], EXPECTED[name])


@pytest.mark.parametrize("name", PGMEL)
def test_its_parts(name, tmp_path, released):
    folder = released / name
    model, loading = PGMELModel.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    generator, loading = PGMELGenerator.from_pretrained(folder / "generator", output_loading_info=True)
    assert not any(loading.values()), loading
    assert type(AutoModel.from_pretrained(folder)) is PGMELModel
    assert type(AutoProcessor.from_pretrained(folder)) is MELProcessor
    assert Calibration.load(folder).fitted_on["split"] == "validation"
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", PEERS)
def test_the_parts_of_one_made_of_units(name, released):
    folder = released / name
    model_class = LINKING_MODELS[name]
    model, loading = model_class.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    assert type(AutoModel.from_pretrained(folder)) is model_class
    assert type(AutoProcessor.from_pretrained(folder)) is MELProcessor
    assert Calibration.load(folder).fitted_on["split"] == "validation"
    bank = {key: value for key, value in model.state_dict().items() if "bank" in key}
    assert bool(bank) == (name == "melov") and all(value.any() for value in bank.values())


@pytest.mark.parametrize("name", NAMES)
def test_in_a_pipeline(name, released):
    kb, queries = read_inputs()
    link = pipeline("multimodal-entity-linking", model=str(released / name), index=kb, device="cpu", top_k=3)
    saved = Calibration.load(released / name)
    assert link.linker.calibration.kind == "prior", "the saved one is of other entities"
    link.linker.calibration = saved.transferred(link.linker.setup)
    expected = EXPECTED[name]["linked"]
    for answer, other in zip(link(queries), expected, strict=True):
        assert [each["entity_id"] for each in answer["candidates"]] == [each[0] for each in other["candidates"]]
        assert answer["probability"] == pytest.approx(other["candidates"][0][2], **TOLERANCE)
        assert answer["is_nil"] == other["is_nil"]
