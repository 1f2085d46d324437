"""MIMIC, M3EL and MELOV through the Hub: pushed, loaded with the package and without it, their indexes, their training."""

import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load

from hf_mel import EntityIndex, Linker
from hf_mel.encoding import MentionInputs, fill_mention_bank
from hf_mel.models import UnitsModel
from tests.hub import READ_TOKEN, WRITE_TOKEN, Hub, run_client
from tests.tiny_peers import PEERS, TRAINING, peer_processor, tiny_peer
from tests.training.common import assert_equal, make_trainer, tiny_data, weights


pytestmark = pytest.mark.loopback

ROOT = str(Path(__file__).parents[2])
CARD = "---\nlicense: apache-2.0\n---\n# A model\n"
SENTENCES = ["Vale came.", "They saw Iris."]
MENTIONS = ["Vale", "Iris"]

OPTIONS = {
    **TRAINING,
    "max_steps": 6,
    "save_strategy": "steps",
    "save_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "learning_rate": 0.01,
    "negatives": "topk",
    "num_negatives": 2,
}

# One process does all: most of its time goes by before its first line.
WITH = """
import json, os, sys
import torch
from transformers import TrainerCallback, pipeline
from hf_mel import Linker
from hf_mel.cli.main import main
from tests.tiny_peers import peer_processor, tiny_peer
from tests.training.common import make_trainer, weights

torch.set_num_threads(1)
options, pushes, names = map(json.loads, sys.argv[1:4])
answer = {"pushed": [main(["push", *argv]) for argv in pushes]}
for name in names:
    source, index = f"org/{name}", f"org/{name}-index"
    linked = Linker.from_pretrained(source, index, device="cpu").link("Vale", "Vale came.")
    link = pipeline("multimodal-entity-linking", model=source, index=index, device="cpu")
    piped = link(text="Vale came.", mention="Vale")
    answer[name] = {
        "class": type(link.model).__name__,
        "linked": [[each.entity_id, each.score] for each in linked.candidates],
        "piped": [[each["entity_id"], each["score"]] for each in piped["candidates"]],
    }


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            raise KeyboardInterrupt


def trainer(name, **more):
    made = make_trainer(os.path.abspath(name), tiny_peer("melov", bank_size=8), **options | more)
    made.processing_class = peer_processor()
    return made


first = trainer("first", push_to_hub=True, hub_model_id="org/run", hub_strategy="checkpoint", hub_always_push=True)
first.add_callback(Stop())
try:
    first.train()
except KeyboardInterrupt:
    answer["broken off"] = first.state.global_step
second = trainer("second", hub_model_id="org/run")
second.train(resume_from_checkpoint="org/run")
torch.save(weights(second), sys.argv[4])
answer["done"] = [second.state.global_step, second.push_to_hub(commit_message="Done").commit_message]
print(json.dumps(answer))
"""

WITHOUT = """
import json, sys
sys.modules["hf_mel"] = None  # importing it raises
import torch
from transformers import AutoModel, AutoProcessor

answer = {}
for name in sys.argv[2:]:
    model = AutoModel.from_pretrained(f"org/{name}", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(f"org/{name}", trust_remote_code=True)
    inputs = processor.mentions(*json.loads(sys.argv[1]))
    with torch.no_grad():
        sides = [model.encode(side, model.extract(**inputs)) for side in ("mention", "entity")]
        scores, units = model.match_with_units(*sides)
    modules = {type(each).__module__.split(".")[0] for each in (model, processor)}
    answer[name] = [type(model).__name__, sorted(modules), scores.tolist(), list(units)]
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """For each model a checkpoint, one of them in shards, and an index that was made with it."""
    place = tmp_path_factory.mktemp("peers")
    processor, data = peer_processor(), tiny_data()
    for name in PEERS:
        model = stored(name)
        model.save_pretrained(place / name, **({"max_shard_size": "40KB"} if name == "m3el" else {}))
        processor.save_pretrained(place / name)
        (place / name / "README.md").write_text(CARD, encoding="utf-8")
        EntityIndex.build(model, processor, data.entities, place / f"{name}-index", encode_dtype="float32")
    return place


def stored(name: str) -> UnitsModel:
    """A model that has stored mentions, if it has a bank."""
    model = tiny_peer(name, bank_size=8) if name == "melov" else tiny_peer(name)
    fill_mention_bank(model, lambda: MentionInputs(tiny_data().mentions["train"], peer_processor()), seed=0)
    return model.eval()


@pytest.fixture(scope="module")
def done(folders):
    """The Hub on which all of them are, and what the client answered."""
    with Hub() as hub:
        pushes = [["model", str(folders / name), f"org/{name}"] for name in PEERS]
        pushes += [
            ["index", str(folders / f"{name}-index"), f"org/{name}-index", "--license", "cc0-1.0"] for name in PEERS
        ]
        given = *map(json.dumps, (OPTIONS, pushes, PEERS)), str(folders / "weights.pt")
        paths = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        yield hub, run_client(WITH, hub, *given, token=WRITE_TOKEN, PYTHONPATH=paths).answer


def test_with_the_package(done, folders):
    answer = done[1]
    assert answer["pushed"] == [0] * 6
    for name in PEERS:
        model = stored(name)
        index = EntityIndex.load(folders / f"{name}-index")
        here = Linker(model, peer_processor(), index).link("Vale", "Vale came.")
        assert answer[name]["class"] == type(model).__name__
        expected = [each.entity_id for each in here.candidates]
        scores = [each.score for each in here.candidates]
        for way in ("linked", "piped"):
            assert [found for found, _ in answer[name][way]] == expected, (name, way)
            assert [score for _, score in answer[name][way]] == pytest.approx(scores, abs=1e-5), (name, way)
        assert len(set(scores)) > 1, "they could not be told apart"


def test_without_the_package(done):
    inputs = json.dumps([MENTIONS, SENTENCES])
    answer = run_client(WITHOUT, done[0], inputs, *PEERS, token=READ_TOKEN).answer
    for name in PEERS:
        model, given = stored(name), peer_processor().mentions(MENTIONS, SENTENCES)
        with torch.no_grad():
            sides = [model.encode(side, model.extract(**given)) for side in ("mention", "entity")]
            expected, units = model.match_with_units(*sides)
        assert answer[name][:2] == [type(model).__name__, ["transformers_modules"]]
        torch.testing.assert_close(torch.tensor(answer[name][2]), expected, atol=1e-5, rtol=1e-4)
        assert answer[name][3] == list(units)


def test_what_is_there(done):
    pushed = done[0]
    for name in PEERS:
        files = pushed.files(f"org/{name}")
        assert {f"modeling_{name}.py", f"configuration_{name}.py", "modeling_units.py", "towers.py"} <= files.keys()
        assert ("mention_graph.py" in files) == (name == "melov")
        assert "modeling_pgmel.py" not in files, "code of another model"
    assert len([path for path in pushed.files("org/m3el") if path.startswith("model-")]) > 1
    bank = load(pushed.files("org/melov")["model.safetensors"])
    assert any("bank" in name and value.any() for name, value in bank.items())


def test_a_training_with_a_bank_goes_on_from_the_hub(done, folders, tmp_path):
    hub, answer = done
    assert (answer["broken off"], answer["done"]) == (5, [6, "Done"])
    whole = make_trainer(tmp_path / "whole", tiny_peer("melov", bank_size=8), **OPTIONS)
    whole.processing_class = peer_processor()
    whole.train()
    assert_equal(weights(whole), torch.load(folders / "weights.pt"))
    titles = [commit.title for commit in hub.repo("org/run").history("main")]
    assert titles[0] == "Done" and "Training in progress, step 4" in titles

    files = hub.files("org/run")
    found = load(files["model.safetensors"])
    assert_equal(dict(whole.model.state_dict()), found)
    assert any("bank" in name and value.any() for name, value in found.items()), "the bank of the last step"
    card = ModelCard(files["README.md"].decode())
    assert "melov" in card.data.tags and "MELOV there is an independent implementation" in card.text
    assert "and 2 of `topk` for each mention" in card.text
