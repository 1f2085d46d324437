"""`hf-mel index`: from the first build to an entity that is gone again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_mel.cli.main import main
from hf_mel.data import make_miniature
from hf_mel.linking.index import EntityIndex
from tests.linking.index.common import contents
from tests.training.common import tiny_linker, tiny_processor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model that nobody trained."""
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    tiny_linker(True).save_pretrained(folder)
    tiny_processor(True).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def built(checkpoint, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("index") / "index")
    argv = ["--kb", "miniature", "--out", folder, "--encode_dtype", "float32", "--shard_rows", "60"]
    assert main(["index", "build", checkpoint, *argv]) == 0
    return folder


@pytest.fixture
def index(built, tmp_path):
    import shutil

    shutil.copytree(built, tmp_path / "index")
    return str(tmp_path / "index")


def said(argv, capsys, status: int = 0) -> str:
    """What a command prints; the error where it fails."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == status
    captured = capsys.readouterr()
    return captured.err if status == 2 else captured.out


@pytest.mark.parametrize("command", ["build", "add", "remove", "info", "search"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["index", command, "--help"])
    assert caught.value.code == 0 and f"hf-mel index {command}" in capsys.readouterr().out


def test_build(checkpoint, built, tmp_path, capsys):
    index = EntityIndex.load(built)
    assert len(index) == 160 and index.ids == make_miniature().entities.ids
    argv = ["--kb", "miniature", "--out", tmp_path / "small", "--encode_dtype", "float32"]
    printed = said(
        ["index", "build", checkpoint, *argv, "--precision", "int8", "--no_modalities", "--thumbnail_size", "0"],
        capsys,
    )
    assert "160 entities" in printed and "in int8" in printed and "recall@10" in printed and "160 ok" in printed
    small = EntityIndex.load(tmp_path / "small")
    assert set(small.manifest.tensors) == {"embeds", "image_weight"} and small.manifest.precision == "int8"
    assert small.entities([0])[0].thumbnail is None
    again = said(["index", "build", checkpoint, *argv], capsys, 2)
    assert "holds an index already" in again
    assert "160 entities" in said(["index", "build", checkpoint, *argv, "--overwrite"], capsys)


def test_own_columns_and_texts(checkpoint, tmp_path, capsys):
    table = "sku;title;description;aliases\nA-1;Kettle;boils water;pot/boiler\nA-2;Lamp;;\n"
    (tmp_path / "products.csv").write_text(table)
    argv = ["--kb", tmp_path / "products.csv", "--out", tmp_path / "index", "--columns", "id=sku", "name=title"]
    argv += ["--delimiter", ";", "--list_separator", "/"]
    said(["index", "build", checkpoint, *argv], capsys)
    kettle = EntityIndex.load(tmp_path / "index").entities([0])[0]
    assert kettle.text == "boils water" and list(kettle.aliases) == ["pot", "boiler"]
    (tmp_path / "more.csv").write_text("sku;title\nA-3;Cup\n")
    argv = ["--kb", tmp_path / "more.csv", "--columns", "id=sku", "name=title", "--delimiter", ";"]
    assert "1 entity added" in said(["index", "add", tmp_path / "index", "--model", checkpoint, *argv], capsys)


def test_info(index, checkpoint, capsys):
    printed = said(["index", "info", index, "--verify"], capsys)
    assert "160 entities" in printed and "3 shards" in printed and "all files are what was written" in printed
    assert (
        os.path.realpath(checkpoint) in os.path.realpath(printed.split("from ")[1].split("\n")[0])
        or "model" in printed
    )
    values = json.loads(said(["index", "info", index, "--json"], capsys))
    assert values["num_entities"] == values["num_rows"] == 160 and values["dim"] == 8
    assert values["images"] == {"ok": 160} and values["model"]["type"] == "pgmel" and "damaged_files" not in values
    file = Path(index) / "shards/000001.parquet"
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    assert "damaged: " in said(["index", "info", index, "--verify"], capsys, 1)
    damaged = json.loads(said(["index", "info", index, "--json", "--verify"], capsys, 1))
    assert damaged["damaged_files"] == ["shards/000001.parquet"]


def test_a_new_entity_is_found_at_once_and_gone_when_removed(index, checkpoint, tmp_path, capsys):
    """The model is where it was when the index was built, or is named."""
    model = ["--model", checkpoint]
    (tmp_path / "new.jsonl").write_text(json.dumps({"id": "NEW", "name": "Zyx", "attributes": "Occupation: zyx."}))
    assert "1 entity added, 0 replaced, 0 there already" in said(
        ["index", "add", index, *model, "--kb", tmp_path / "new.jsonl"], capsys
    )
    assert "0 entities added, 0 replaced, 1 there" in said(
        ["index", "add", index, *model, "--kb", tmp_path / "new.jsonl"], capsys
    )
    question = ["index", "search", index, *model, "--text", "Zyx was here.", "--mention", "Zyx", "--top_k", "200"]
    found = [json.loads(line) for line in said([*question, "--json"], capsys).splitlines()]
    assert len(found) == 161 and "NEW" in [each["entity_id"] for each in found]
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    assert {"entity_id", "name", "text", "score"} == set(found[0])
    assert "NEW  Zyx  (Occupation: zyx.)" in said(question, capsys)
    typed = said([*question, "--types", "person"], capsys)
    assert 0 < len(typed.splitlines()) < 161 and "Zyx" not in typed

    (tmp_path / "new.jsonl").write_text(json.dumps({"id": "NEW", "name": "Zyxa", "attributes": "Occupation: zyx."}))
    refused = said(["index", "add", index, *model, "--kb", tmp_path / "new.jsonl"], capsys, 2)
    assert "1 entity with another content in the index: NEW. To replace them, use --update" in refused
    assert "1 replaced" in said(["index", "add", index, *model, "--update", "--kb", tmp_path / "new.jsonl"], capsys)
    assert "Zyxa" in said(question, capsys)

    assert "1 entity removed; " in said(["index", "remove", index, "--ids", "NEW"], capsys)
    assert "NEW" not in said(question, capsys)
    assert "1 id not in this index: NEW" in said(["index", "remove", index, "--ids", "NEW"], capsys, 2)
    assert "0 entities removed" in said(["index", "remove", index, "--ids", "NEW", "--missing_ok"], capsys)


def test_remove_by_a_file(index, capsys, tmp_path):
    ids = EntityIndex.load(index).ids
    (tmp_path / "ids.txt").write_text(f"\ufeff{ids[3]}\n\n {ids[4]} \n", encoding="utf-8")
    printed = said(
        ["index", "remove", index, "--ids", ids[0], "--ids_file", tmp_path / "ids.txt", "--compact"], capsys
    )
    assert "3 entities removed" in printed and "holds 157" in printed
    assert EntityIndex.load(index).num_rows == 157
    assert "name the entities by --ids" in said(["index", "remove", index], capsys, 2)
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in said(["index", "remove", index, "--ids_file", tmp_path / "ids.txt"], capsys, 2)


def test_the_model_that_the_index_remembers(checkpoint, built, capsys):
    question = ["--text", "Zyx was here.", "--mention", "Zyx", "--top_k", "3"]
    assert said(["index", "search", built, *question], capsys) == said(
        ["index", "search", built, "--model", checkpoint, *question], capsys
    )


def test_another_model_is_refused(index, tmp_path, capsys):
    tiny_linker(True, seed=1).save_pretrained(tmp_path / "other")
    tiny_processor(True).save_pretrained(tmp_path / "other")
    for command in (["search", index, "--text", "a", "--mention", "a"], ["add", index, "--kb", "miniature"]):
        error = said(["index", *command, "--model", tmp_path / "other"], capsys, 2)
        assert "was made with another model: the weights of the" in error


def test_no_index(tmp_path, capsys):
    assert "there is no index" in said(["index", "info", tmp_path / "x"], capsys, 2)
    assert "is no index of entities" in said(["index", "info", tmp_path], capsys, 2)


def test_interrupted(checkpoint, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(EntityIndex, "build", interrupted)
    assert main(["index", "build", checkpoint, "--kb", "miniature", "--out", str(tmp_path / "index")]) == 130
    assert "interrupted; the same command goes on from there" in capsys.readouterr().err


@pytest.mark.loopback
def test_two_processes_write_the_same_bytes_as_one(checkpoint, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "hf_mel.cli.main"]
    options = ["--kb", "miniature", "--encode_dtype", "float32", "--shard_rows", "50", "--precision", "int8", "--out"]
    command = [sys.executable, *launcher, "index", "build", checkpoint, *options, tmp_path / "two"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("160 entities") == 1, "only the first process prints"
    assert main(["index", "build", checkpoint, *options, str(tmp_path / "one")]) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
