"""A museum's 40 objects and 60 captions, linked from the command line alone, without training."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from hf_mel.cli.main import main
from hf_mel.evaluation import load_ranks, load_results


MUSEUM = Path(__file__).parent / "fixtures" / "museum"
MINILM = os.environ.get("MINILM")


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_hold_what_the_guide_says():
    objects, captions = read(MUSEUM / "objects.csv"), read(MUSEUM / "captions.csv")
    known = {each["id"] for each in objects}
    gold = [each["entity_id"] for each in captions]
    assert (len(known), len(captions), len([each for each in gold if each])) == (40, 60, 44)
    assert {each for each in gold if each} == known, "every object has a caption"
    assert all(each["mention"] in each["text"] for each in captions)


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def linked(tower: str, folder: Path) -> tuple[list[dict], dict]:
    """The links of all captions, and the metrics of those that have an object."""
    model, captions = folder / "model", folder / "captions.csv"
    shutil.copy(MUSEUM / "captions.csv", captions)
    run("init", tower, "--out", model)
    index = ["--kb", MUSEUM / "objects.csv", "--out", folder / "index"]
    run("index", "build", model, *index, "--encode_dtype", "float32")  # as `evaluate` computes, whatever the machine
    run(
        "link", model, "--index", folder / "index", "--input", captions, "--output", folder / "links.csv", "--top_k", 3
    )
    run("data", "import", "--entities", MUSEUM / "objects.csv", "--test", captions, "--out", folder / "museum")
    run("evaluate", model, "--data", folder / "museum", "--output_dir", folder / "results")
    result = load_results(folder / "results")["test"]
    assert result.protocol.num_nil == 16 and len(load_ranks(folder / "results" / "ranks_test.npz")[0]) == 44
    return read(folder / "links.csv"), result.metrics


def right(links: list[dict]) -> int:
    """Captions whose best candidate is their object."""
    gold = {each["id"]: each["entity_id"] for each in read(MUSEUM / "captions.csv")}
    best = {each["id"]: json.loads(each["candidates"])[0]["entity_id"] for each in links}
    return sum(bool(wanted) and best[number] == wanted for number, wanted in gold.items())


def check(links: list[dict], metrics: dict, at_least: int) -> None:
    """The wanted number of the 44 captions is right, outsiders are NIL by the prior, and the commands agree."""
    assert len(links) == 60 and right(links) >= at_least
    outside = {each["id"] for each in read(MUSEUM / "captions.csv") if not each["entity_id"]}
    nil = {each["id"] for each in links if each["is_nil"] == "true"}
    assert len(nil & outside) >= 14 and len(nil - outside) <= 6
    assert metrics["hits@1"] == pytest.approx(right(links) / 44)


def test_the_tower_of_the_package_links_most_captions(tmp_path):
    check(*linked("static-words", tmp_path), at_least=42)


@pytest.mark.skipif(MINILM is None, reason="set MINILM to a folder of all-MiniLM-L6-v2")
def test_minilm_links_most_captions(tmp_path):
    check(*linked(MINILM, tmp_path), at_least=43)
