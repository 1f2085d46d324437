"""`hf-mel push`: what goes up, what must not, and what is loaded from there, with the real clients."""

import json
import shutil

import pytest
import torch
from transformers import AutoModel

from hf_mel import EntityIndex, Linker
from hf_mel.cli.main import main
from hf_mel.hub import publish
from hf_mel.hub.run_folder import RunFolder
from tests.hub import READ_TOKEN, WRITE_TOKEN, run_client
from tests.training.common import tiny_data, tiny_linker, tiny_processor


CARD = "---\nlicense: apache-2.0\n---\n# A model\n"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint with its card, and an index made with it."""
    place = tmp_path_factory.mktemp("push")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(place / "model")
    processor.save_pretrained(place / "model")
    (place / "model" / "README.md").write_text(CARD, encoding="utf-8")
    (place / "model" / "checkpoint-3").mkdir()
    (place / "model" / "checkpoint-3" / "optimizer.pt").write_bytes(b"state")
    EntityIndex.build(model, processor, tiny_data().entities, place / "index", encode_dtype="float32")
    return place


@pytest.fixture
def model(folders, tmp_path):
    """A copy of the checkpoint, to be spoilt."""
    return shutil.copytree(folders / "model", tmp_path / "model")


# ---- What goes up ----


def test_a_dry_run_lists_what_would_be_sent(folders, capsys):
    assert main(["push", "model", str(folders / "model"), "org/m", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    size = (folders / "model" / "model.safetensors").stat().st_size
    assert f"{size:>15,}  model.safetensors\n" in shown and "nothing was sent to org/m" in shown
    assert "modeling_pgmel.py" in shown and "checkpoint-3" not in shown


def test_everything_that_must_not_go_up_is_named(model):
    (model / "README.md").write_text("# No licence\n", encoding="utf-8")
    (model / "weights.bin").write_bytes(b"pickle")
    (model / ".env").write_text("A=b", encoding="utf-8")
    (model / "notes.txt").write_text("token hf_" + "a" * 34, encoding="utf-8")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["_name_or_path"] = "/home/ada/bert"
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (model / "model.safetensors").unlink()
    with pytest.raises(ValueError) as error:
        publish(model, "org/m", dry_run=True)
    message = str(error.value)
    for part in (
        "*.safetensors: is missing",
        "weights.bin: may be a pickle",
        ".env: is private",
        "notes.txt: holds what looks like a token of the Hub",
        "config.json: `text_config._name_or_path` is a path of this machine: '/home/ada/bert'",
        "README.md: says no licence",
    ):
        assert part in message, (part, message)


def test_an_index_needs_a_licence_and_gets_a_card(folders):
    with pytest.raises(ValueError, match="--license"):
        publish(folders / "index", "org/i", "index", dry_run=True)
    found = publish(folders / "index", "org/i", "index", license="cc0-1.0", dry_run=True)
    assert "README.md" in {file.path for file in found.files} and found.commit is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["modle", ".", "org/m"], "did you mean 'model'"),
        (["model", "no-such-folder", "org/m"], "there is no folder"),
        (["model", ".", "org/m/x"], "org/m/x"),
    ],
)
def test_bad_arguments(argv, message, capsys):
    assert main(["push", *argv]) == 2
    assert message in capsys.readouterr().err


# ---- The real clients ----

PUSH = """
import json, sys
from hf_mel.cli.main import main

print(json.dumps([main(["push", *json.loads(argv)]) for argv in sys.argv[1:]]))
"""

USE = """
import json, sys
import hf_mel
from huggingface_hub import snapshot_download
from transformers import pipeline

link = pipeline("multimodal-entity-linking", model="org/m", index=snapshot_download("org/i", repo_type="dataset"))
first = link(text="Vale came.", mention="Vale")
print(json.dumps([type(link.model).__name__, [each["entity_id"] for each in first["candidates"]]]))
"""

WITHOUT = """
import json, sys
sys.modules["hf_mel"] = None  # importing it raises
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained("org/m", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("org/m", trust_remote_code=True)
features = model.get_mention_features(**processor.mentions("Vale", "Vale came."))
print(json.dumps([type(model).__module__.split(".")[0], features[0].tolist()]))
"""


@pytest.mark.loopback
def test_model_and_index_are_pushed_and_used(hub, folders):
    pushes = [
        ["model", str(folders / "model"), "org/m", "--private"],
        ["index", str(folders / "index"), "org/i", "--license", "cc0-1.0"],
        ["model", str(folders / "model"), "org/m", "--revision", "v1"],
    ]
    assert run_client(PUSH, hub, *map(json.dumps, pushes), token=WRITE_TOKEN).answer == [0, 0, 0]
    there = hub.files("org/m")
    assert there["README.md"] == CARD.encode() and not [name for name in there if name.startswith("checkpoint-")]
    assert there["model.safetensors"] == (folders / "model" / "model.safetensors").read_bytes()
    assert b"cc0-1.0" in hub.files("org/i", kind="dataset")["README.md"]

    kind, ids = run_client(USE, hub, token=READ_TOKEN).answer
    model, processor = tiny_linker(), tiny_processor()
    index = EntityIndex.load(folders / "index")
    here = Linker(model, processor, index).link("Vale", "Vale came.")
    assert kind == "PGMELModel" and ids == [each.entity_id for each in here.candidates]

    module, features = run_client(WITHOUT, hub, token=READ_TOKEN).answer
    assert module == "transformers_modules"
    expected = model.eval().get_mention_features(**processor.mentions("Vale", "Vale came."))[0]
    assert features == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.loopback
def test_weights_of_an_earlier_push_do_not_stay(hub, folders, tmp_path, capsys):
    """In one file and in shards, they would be loaded instead of the new ones, or lie there for nothing."""
    sharded = tmp_path / "sharded"
    other = tiny_linker(seed=1)
    other.save_pretrained(sharded, max_shard_size="20KB")
    tiny_linker(seed=2).save_pretrained(sharded / "generator")
    tiny_processor().save_pretrained(sharded)
    (sharded / "README.md").write_text(CARD, encoding="utf-8")
    results = sharded / ".eval_results" / "hf_mel.yaml"
    results.parent.mkdir()
    results.write_text("- {dataset: {id: org/d, task_id: test_mrr}, value: 0.5}\n", encoding="utf-8")
    shards = {path.name for path in sharded.iterdir() if path.name.startswith("model-")}
    shards |= {"model.safetensors.index.json"}
    assert len(shards) > 3 and not (sharded / "model.safetensors").exists()
    assert RunFolder.read(sharded).num_parameters == sum(value.numel() for value in other.state_dict().values())
    assert main(["push", "model", str(sharded), "org/s", "--dry_run"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}\n" in listed for name in shards)

    folder = str(folders / "model")
    pushes = [["model", each, "org/s"] for each in (folder, str(sharded), str(sharded), folder)]
    run = run_client(PUSH, hub, *map(json.dumps, pushes), token=WRITE_TOKEN)
    assert run.answer == [0] * 4
    removed = [line.split()[-1] for line in run.stdout.splitlines() if line.strip().startswith("removed ")]
    generator = {f"generator/{path.name}" for path in (sharded / "generator").iterdir()}
    generator.add(".eval_results/hf_mel.yaml")  # of other weights, as the generator
    assert removed == ["model.safetensors", *sorted(shards | generator)]
    first, second, third = reversed(hub.repo("org/s").history("main")[:-1])
    assert shards <= second.files.keys() and not (shards | generator) & third.files.keys(), "each push is one commit"
    assert "model.safetensors" not in second.files and "model.safetensors" in first.files.keys() & third.files.keys()
    assert "generator/model.safetensors" in second.files
    for path, file in second.files.items():
        (tmp_path / "there" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / path).write_bytes(file.content)
    state = AutoModel.from_pretrained(tmp_path / "there").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())
