"""Every way to load a checkpoint, with the package and without it, online and from the cache alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from hf_mel import Calibration, Linker
from hf_mel.hub import publish
from tests.fixtures.checkpoints import answers, read_inputs
from tests.hub import READ_TOKEN, run_client


pytestmark = pytest.mark.loopback

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def versions(tmp_path_factory, released):
    """Two versions of a checkpoint, the second with other weights and a calibration of its own; and it in bf16."""
    place = tmp_path_factory.mktemp("versions")
    first, second = (shutil.copytree(released / "pgmel", place / name) for name in ("first", "second"))
    for folder in (second, second / "generator"):
        model = AutoModel.from_pretrained(folder)
        with torch.no_grad():
            for parameter in (getattr(model, "heads", None) or model.head).parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
    old = Calibration.load(first)
    for folder, threshold in ((first, old.threshold), (second, 0.9)):  # of the entities that are linked to here
        setup = Linker.from_pretrained(folder, read_inputs()[0], device="cpu", calibration=None).setup
        replace(old, threshold=threshold, setup=setup).save(folder, overwrite=True)
    half = shutil.copytree(second, place / "half")
    AutoModel.from_pretrained(half).to(torch.bfloat16).save_pretrained(half)
    (half / "calibration.json").unlink()
    return {"first": first, "second": second, "half": half}


@pytest.fixture
def shas(hub, versions):
    """`org/m` with two commits, of which a branch and a tag keep the first; `org/hidden`, private; `org/half` in bf16."""
    files = {
        name: {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for name, folder in versions.items()
    }
    first, second = (hub.add("org/m", files[name]).sha for name in ("first", "second"))
    repo = hub.repo("org/m")
    repo.branches["dev"] = repo.tags["v1"] = first
    hub.add("org/hidden", files["first"], private=True)
    hub.add("org/half", files["half"])
    return first, second


# ---- With the package ----

WITH = """
import json, sys
import torch
import hf_mel
from huggingface_hub import constants
from transformers import AutoModel, pipeline
from tests.fixtures.checkpoints import answers, read_inputs

kb, queries = read_inputs()
answer = {}
for revision in json.loads(sys.argv[1]):
    answer[revision] = answers("org/m", revision=revision)
for revision in ("main", "v1"):
    link = pipeline("multimodal-entity-linking", model="org/m", revision=revision, index=kb, device="cpu", top_k=1)
    linked = [each["probability"] for each in link(queries)]
    answer[f"pipeline {revision}"] = [link.linker.calibration.threshold, linked]
if not constants.HF_HUB_OFFLINE:
    answer["cached"] = answers("org/m", local_files_only=True)
    link = pipeline("multimodal-entity-linking", model="org/hidden", token=sys.argv[2], index=kb, device="cpu")
    answer["hidden"] = [link.linker.calibration.threshold, sys.argv[2] in str(vars(link.model))]
    kinds = [AutoModel.from_pretrained("org/half"), AutoModel.from_pretrained("org/half", dtype=torch.float32)]
    kinds += [AutoModel.from_pretrained("org/m", dtype=torch.bfloat16)]
    answer["dtypes"] = [[str(model.dtype), str(model.config.dtype)] for model in kinds]
print(json.dumps(answer))
"""


def close(found, expected) -> bool:
    """The same but for the rounding of another process."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[name], expected[name]) for name in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == (pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else expected)


def test_with_the_package(hub, versions, shas, tmp_path):
    first, _ = shas
    expected = {"v1": versions["first"], "dev": versions["first"], "main": versions["second"]}
    expected[first] = versions["first"]
    env = {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": ROOT}
    online = run_client(WITH, hub, json.dumps(list(expected)), READ_TOKEN, token=None, **env).answer
    hub.forget_requests()
    offline = run_client(WITH, hub, '["main", "v1"]', token=None, HF_HUB_OFFLINE="1", **env).answer
    assert hub.asked() == [] and len(offline) == 4
    assert close(offline, {name: online[name] for name in offline})

    here = {folder: answers(folder) for folder in set(expected.values())}
    assert not close(here[versions["first"]], here[versions["second"]])
    for revision, folder in expected.items():
        assert close(online[revision], here[folder]), revision
    for revision in ("main", "v1"):
        folder = expected[revision]
        threshold, probabilities = online[f"pipeline {revision}"]
        assert threshold == Calibration.load(folder).threshold, "that of the revision"
        assert close(probabilities, [each["candidates"][0][2] for each in here[folder]["linked"]])
    assert close(online["cached"], here[versions["second"]])
    assert online["hidden"] == [Calibration.load(versions["first"]).threshold, False], (
        "read with the token, which is then forgotten"
    )
    bfloat, float32 = "torch.bfloat16", "torch.float32"
    assert online["dtypes"] == [[bfloat, bfloat], [float32, float32], [bfloat, bfloat]]


# ---- Without it ----

WITHOUT = """
import json, sys
from pathlib import Path
sys.modules["hf_mel"] = None  # importing it raises
import torch
from huggingface_hub import constants
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

def features(source, **options):
    options |= {"trust_remote_code": True}
    model, processor = AutoModel.from_pretrained(source, **options), AutoProcessor.from_pretrained(source, **options)
    generator = AutoModel.from_pretrained(source, subfolder="generator", **options)
    assert type(AutoConfig.from_pretrained(source, **options)).__name__ == "PGMELConfig"
    parts = (model, processor, generator)
    assert {type(each).__module__.split(".")[0] for each in parts} == {"transformers_modules"}
    inputs = processor.mentions(["Vale", "Iris"], ["Vale came.", "They saw Iris."])
    found = model.extract(**inputs)
    vectors = model.get_entity_features(**inputs)[torch.tensor([[0, 1], [1, 0]])]
    logits = generator(found, vectors)
    return [model.get_mention_features(**inputs).tolist(), logits.tolist()], parts

def said(*arguments, **options):
    try:
        pipeline(*arguments, **options)
    except (ImportError, ValueError) as error:
        return f"{type(error).__name__}: {error}"

answer, place = {}, Path(sys.argv[2])
for revision in json.loads(sys.argv[1]):
    answer[revision], parts = features("org/m", revision=revision)
if constants.HF_HUB_OFFLINE:
    print(json.dumps(answer))
    sys.exit()
answer["cached"], _ = features("org/m", local_files_only=True)
answer["folder"], _ = features(sys.argv[3])
with torch.no_grad():
    answer["half"], half = features("org/half")
answer["dtypes"] = [str(part.dtype) for part in (half[0], features("org/m", dtype=torch.bfloat16)[1][0])]
parts[0].save_pretrained(place, max_shard_size="20KB")
parts[1].save_pretrained(place)
parts[2].save_pretrained(place / "generator")
answer["saved again"], _ = features(str(place))
task = "multimodal-entity-linking"
answer["pipeline"] = said(task, model="org/m", trust_remote_code=True, index="entities")
print(json.dumps(answer))
"""


def test_without_the_package(hub, versions, shas, tmp_path):
    first, _ = shas
    expected = {"v1": "first", "dev": "first", first: "first", "main": "second"}
    env = {"HF_HOME": str(tmp_path / "hf"), "token": None}
    argv = [json.dumps(list(expected)), str(tmp_path / "saved"), str(versions["first"])]
    online = run_client(WITHOUT, hub, *argv, **env).answer
    hub.forget_requests()
    offline = run_client(WITHOUT, hub, '["main", "v1"]', "", HF_HUB_OFFLINE="1", **env).answer
    assert hub.asked() == [] and len(offline) == 2
    assert close(offline, {name: online[name] for name in offline})

    here = {name: _features(folder) for name, folder in versions.items()}
    for revision, name in expected.items():
        assert close(online[revision], here[name]), revision
    assert close(online["cached"], here["second"]) and close(online["folder"], here["first"])
    assert close(online["half"], here["half"]) and online["dtypes"] == ["torch.bfloat16"] * 2
    assert close(online["saved again"], online["main"])
    assert online["pipeline"].startswith("ImportError: ") and "run `pip install hf-mel`" in online["pipeline"]
    assert "trust_remote_code=True" in online["pipeline"]

    saved = tmp_path / "saved"
    assert len(list(saved.glob("model-*.safetensors"))) > 1
    for folder in (saved, saved / "generator"):
        for file in folder.glob("*.json"):
            for reference in json.loads(file.read_text(encoding="utf-8")).get("auto_map", {}).values():
                assert "--" not in reference, "it names no other repository"
                assert (folder / f"{reference.split('.')[0]}.py").is_file(), (file, reference)
    (saved / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    assert publish(saved, "org/again", dry_run=True).size > 0
    assert close(_features(saved), here["second"]), "and with the package"


def _features(folder) -> list:
    from hf_mel.checkpoint import load_checkpoint

    model, processor = load_checkpoint(str(folder))
    generator = AutoModel.from_pretrained(folder, subfolder="generator")
    with torch.no_grad():
        inputs = processor.mentions(["Vale", "Iris"], ["Vale came.", "They saw Iris."])
        found = model.extract(**inputs)
        vectors = model.get_entity_features(**inputs)[torch.tensor([[0, 1], [1, 0]])]
        logits = generator(found, vectors)
        return [model.get_mention_features(**inputs).tolist(), logits.tolist()]
