"""An index by its name on the Hub: fetched once, whole or not at all, read from the cache, never changed there."""

import json
import os
import shutil

import pytest

from hf_mel import EntityIndex, Linker
from hf_mel.cli.main import main
from hf_mel.hub import publish
from hf_mel.linking.index.source import find_index
from tests.hub import READ_TOKEN, run_client
from tests.training.common import tiny_data, tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint, and an index made with it which has a removed entity."""
    place = tmp_path_factory.mktemp("index")
    model, processor = tiny_linker(), tiny_processor()
    model.save_pretrained(place / "model")
    processor.save_pretrained(place / "model")
    (place / "model" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n", encoding="utf-8")
    kb = tiny_data().entities
    index = EntityIndex.build(model, processor, kb, place / "index", encode_dtype="float32", shard_rows=8)
    index.remove([kb.ids[0]])
    return place


def as_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- The real clients ----

PUSH = """
import json, sys
from huggingface_hub import HfApi
from hf_mel.cli.main import main

codes = [main(["push", *json.loads(argv)]) for argv in sys.argv[1:]]
HfApi().create_tag("org/i", repo_type="dataset", tag="v1")
print(json.dumps(codes))
"""

USE = """
import json, os, sys
import hf_mel
from pathlib import Path
from transformers import pipeline
from hf_mel import EntityIndex, Linker
from hf_mel.cli.main import main

def tried(function, *arguments, **options):
    try:
        return function(*arguments, **options)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"

index = EntityIndex.load("org/i", revision="v1")
before = {str(path): path.read_bytes() for path in index.folder.rglob("*") if path.is_file()}
linked = Linker.from_pretrained("org/m", "org/i", device="cpu").link("Vale", "Vale came.")
piped = pipeline("multimodal-entity-linking", model="org/m", index="org/i")(text="Vale came.", mention="Vale")
print(json.dumps({
    "ids": [each.entity_id for each in linked.candidates],
    "piped": [each["entity_id"] for each in piped["candidates"]],
    "same": EntityIndex.load("org/i", revision=index.folder.name).ids == index.ids,
    "remove": tried(index.remove, index.ids[-1:]),
    "compact": tried(index.compact),
    "left": before == {str(path): path.read_bytes() for path in index.folder.rglob("*") if path.is_file()},
    "info": main(["index", "info", "org/i", "--verify"]),
    "link": main(["link", "org/m", "--index", "org/i", "--text", "Vale came.", "--mention", "Vale"]),
    "add": main(["index", "add", "org/i", "--kb", "miniature", "--model", "org/m"]),
    "nowhere": tried(EntityIndex.load, "org/nowhere"),
    "no revision": tried(EntityIndex.load, "org/i", revision="v9"),
    "no index": tried(EntityIndex.load, "org/words"),
}))
"""


@pytest.mark.loopback
def test_an_index_is_pushed_and_used_by_its_name(hub, folders, tmp_path):
    pushes = [
        ["model", str(folders / "model"), "org/m"],
        ["index", str(folders / "index"), "org/i", "--license", "cc0-1.0"],
    ]
    assert run_client(PUSH, hub, *map(json.dumps, pushes)).answer == [0, 0]
    card = hub.files("org/i", kind="dataset")["README.md"].decode()
    assert 'Linker.from_pretrained("CHECKPOINT", "org/i")' in card
    hub.add("org/words", {"a.txt": b"a"}, kind="dataset")

    hub.forget_requests()
    run = run_client(USE, hub, token=READ_TOKEN, HF_HOME=str(tmp_path))
    answer = run.answer
    index = EntityIndex.load(folders / "index")
    here = Linker(tiny_linker(), tiny_processor(), index).link("Vale", "Vale came.")
    assert answer["ids"] == answer["piped"] == [each.entity_id for each in here.candidates]
    assert answer["same"] and answer["left"] and [answer[name] for name in ("info", "link", "add")] == [0, 0, 2]
    for name in ("remove", "compact"):
        assert answer[name].startswith("PermissionError") and "hf download org/i --repo-type dataset" in answer[name]
    assert "which is only read" in run.stderr and f"org/i, in {tmp_path}" in run.stdout
    assert "there is no folder 'org/nowhere', and as a repository on the Hub there is no" in answer["nowhere"]
    assert "has no revision 'v9'" in answer["no revision"]
    assert "org/words on the Hub is no index of entities: it has no manifest.json" in answer["no index"]
    fetched = [request.path for request in hub.asked("GET", "filename=(shards|removed)/")]
    assert len(fetched) == len(set(fetched)) == 7, "three shards of two files and the removed rows, each once"

    offline = run_client(USE, hub, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1", token=None).answer
    assert offline["ids"] == answer["ids"] and offline["same"] and offline["info"] == offline["link"] == 0
    assert "there is no folder 'org/nowhere'" in offline["nowhere"] and "not in the cache" in offline["nowhere"]


LOAD = """
import json, sys, time
time.sleep = lambda seconds: None  # the client waits between tries
from hf_mel import EntityIndex

answer = {name: [] for name in sys.argv[1:]}
for name in answer:
    for _ in range(4):
        try:
            answer[name].append(len(EntityIndex.load(name)))
        except (OSError, ValueError) as error:
            answer[name].append(f"{type(error).__name__}: {error}")
print(json.dumps(answer))
"""


@pytest.mark.loopback
def test_what_did_not_arrive_whole_is_no_index(hub, folders):
    good = as_files(folders / "index")
    spoilt = {**good, "shards/000001.safetensors": bytes(reversed(good["shards/000001.safetensors"]))}
    away = json.loads(good["manifest.json"])
    away["shards"][0]["name"] = "../../secret"
    manifest = {"manifest.json": json.dumps(away).encode()}
    for name, files in (("faulty", good), ("spoilt", spoilt), ("away", good | manifest)):
        hub.add(f"org/{name}", files, kind="dataset")
    # More often than the client tries within one call.
    hub.fail("HEAD", "org/faulty/resolve/.*/shards/000002.safetensors", status=500, times=12)
    hub.fail("GET", "filename=removed/", cut_after=3, times=12)
    answer = run_client(LOAD, hub, "org/faulty", "org/spoilt", "org/away").answer

    first, *_, last = answer["org/faulty"]
    assert first.startswith("FileNotFoundError: org/faulty: 2 of 7 files of the index are neither in the cache")
    assert "shards/000002.safetensors, removed/000002.bin" in first and "run the same again" in first
    assert last == 19
    assert len(hub.asked("GET", "filename=shards/000000", status=200)) == 4, "two files, once for each repository"
    first, *_, last = answer["org/spoilt"]
    assert first == last and "shards/000001.safetensors did not arrive as built" in first
    assert len(hub.asked("GET", "filename=shards/000001.safetensors")) == 1 + 4, "what was spoilt is fetched again"
    assert all("its manifest names shards/../../secret.safetensors" in each for each in answer["org/away"])


# ---- Without a Hub ----


def test_a_folder_is_a_folder(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders / "index", tmp_path / "org" / "i")
    index = EntityIndex.load("org/i")
    assert index.name == "org/i" and len(index) == 19 and not os.path.isabs(index.folder)
    with pytest.raises(ValueError, match=r"revision='v1', but org/i is a folder, which has none"):
        EntityIndex.load("org/i", revision="v1")


@pytest.mark.parametrize("source", ["nowhere", "a/b/c", "./nowhere", "a--b/c", "/nowhere/at/all"])
def test_what_can_be_neither_is_told_without_asking(source):
    with pytest.raises(FileNotFoundError, match="no such folder, and no name of a repository on the Hub"):
        find_index(source)


def test_a_copy_in_the_cache_is_not_written_to(folders, tmp_path, capsys):
    copy = tmp_path / "datasets--org--i" / "snapshots" / ("0" * 40)
    for path in (folders / "index").rglob("*"):
        if path.is_file():
            link = copy / path.relative_to(folders / "index")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    before = as_files(folders / "index")
    index, model, processor = EntityIndex.load(copy), tiny_linker(), tiny_processor()
    changes = [
        lambda: index.remove(index.ids[-1:]),
        lambda: index.add(model, processor, tiny_data().entities),
        index.compact,
        lambda: EntityIndex.build(model, processor, tiny_data().entities, copy, overwrite=True),
    ]
    for change in changes:
        with pytest.raises(PermissionError, match="copy of org/i in the cache of the Hub, which is only read"):
            change()
    assert main(["index", "remove", str(copy), "--ids", index.ids[-1]]) == 2
    assert "hf download org/i" in capsys.readouterr().err
    assert as_files(folders / "index") == before == as_files(copy), "nothing beside it either"
    assert len(index.convert(tmp_path / "small", "int8")) == len(index), "to another folder it can be written"


def test_the_card_names_a_model_on_the_hub(folders, tmp_path):
    copy = shutil.copytree(folders / "index", tmp_path / "index")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"model_source": "org/m"}))
    from hf_mel.hub.publish import index_card

    assert 'Linker.from_pretrained("org/m", "org/i")' in index_card(copy, "org/i", "cc0-1.0")
    assert publish(copy, "org/i", "index", license="cc0-1.0", dry_run=True).commit is None
