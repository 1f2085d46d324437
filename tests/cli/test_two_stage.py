"""Two-stage scoring on the command line: an index tells what it finds, searches and links by it."""

import json

import pytest

from hf_mel.cli.main import main
from hf_mel.hub.publish import index_card
from hf_mel.linking.index import EntityIndex
from hf_mel.linking.index.backends import base
from tests.linking.index.units import units_parts
from tests.training.common import tiny_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, a knowledge base and an index of it."""
    folder = tmp_path_factory.mktemp("two-stage")
    model, processor = units_parts()
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    tiny_data().entities.save(folder / "kb")
    argv = ["--kb", folder / "kb", "--out", folder / "index", "--encode_dtype", "float32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "NUM_PROPOSALS", 3)
        assert main([str(word) for word in ["index", "build", folder / "model", *argv]]) == 0
    return folder


def said(argv, capsys, status: int = 0) -> str:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == status
    captured = capsys.readouterr()
    return captured.err if status == 2 else captured.out


def test_info(folder, capsys):
    (line,) = [line for line in said(["index", "info", folder / "index"], capsys).splitlines() if "two_stage" in line]
    told = EntityIndex.load(folder / "index").manifest.proposals
    assert line.startswith(f"  two_stage  recall@1 {told['recall@1']:.4f}, recall@10 ")
    assert "of 18 proposals" in line and "entities read as mentions, without themselves" in line
    values = json.loads(said(["index", "info", folder / "index", "--json"], capsys))
    assert values["proposals"] == told and values["model"]["proposal_name"] == "dense"


def test_the_card_of_the_index(folder):
    manifest = EntityIndex.load(folder / "index").manifest
    card = index_card(folder / "index", "org/index", "cc0-1.0")
    (line,) = [line for line in card.splitlines() if line.startswith("- ")]
    assert line.startswith(f"- Two-stage search with 18 proposals: recall@1 {manifest.proposals['recall@1']:.4f}, ")
    assert line.endswith("of an exact search, measured with entities read as mentions, without themselves.")
    assert "is refused.\n\n- Two-stage" in card and "themselves.\n\n```python" in card


def test_search(folder, capsys):
    row = tiny_data().mentions["test"][0]
    question = ["index", "search", folder / "index", "--model", folder / "model", "--json", "--top_k", "3"]
    question += ["--text", row["text"], "--mention", row["mention"]]
    exact = [json.loads(line) for line in said(question, capsys).splitlines()]
    for more in (
        ["--backend", "two_stage"],
        ["--backend", "faiss"],
        ["--backend", "two_stage", "--num_proposals", 19],
    ):
        found = [json.loads(line) for line in said([*question, *more], capsys).splitlines()]
        assert [each["entity_id"] for each in found] == [each["entity_id"] for each in exact]
        assert [each["score"] for each in found] == pytest.approx([each["score"] for each in exact], rel=1e-5)
    few = [
        json.loads(line)
        for line in said([*question, "--backend", "two_stage", "--num_proposals", 3], capsys).splitlines()
    ]
    assert len(few) == 3 and few[0]["score"] <= exact[0]["score"] + 1e-4
    refused = said([*question, "--num_proposals", "5"], capsys, 2)
    assert "num_proposals: the backend 'exact' scores every entity" in refused


def test_link(folder, capsys):
    row = tiny_data().mentions["test"][0]
    command = [
        "link",
        folder / "model",
        "--index",
        folder / "index",
        "--json",
        "--top_k",
        "2",
        "--num_candidates",
        "2",
    ]
    command += ["--text", row["text"], "--mention", row["mention"]]
    exact = json.loads(said(command, capsys))["candidates"]
    options = ["--backend", "two_stage", "--num_proposals"]
    found = json.loads(said([*command, *options, "19"], capsys))["candidates"]
    assert [each["entity_id"] for each in found] == [each["entity_id"] for each in exact]
    assert "num_proposals must be at least 1, got 0" in said([*command, *options, "0"], capsys, 2)
