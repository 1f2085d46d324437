"""The table of models and negatives: what a run is, and what is written from runs that are finished."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_mel.evaluation.models import describe_ranks, write_result
from hf_mel.recipes import load_recipe
from tests.training.common import tiny_data


ROOT = Path(__file__).parents[2]
PUBLISHED = "<!-- generated: published -->\n<!-- end: published -->\n"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import peers

        yield peers
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", ["emojimel", "emojimel-baselines", "wikimel"])
def test_every_run_is_a_recipe(benchmark, name):
    table = benchmark.Table(name, [0])
    assert table.recipes
    for model, path in table.recipes.items():
        for negatives in table.negatives:
            recipe = load_recipe(path, table.changes(model, negatives, 3))
            args = recipe.arguments()
            assert args.seed == 3 and args.eval_strategy == "no" and recipe.evaluation.splits == [table.split]
            if negatives != "recipe":
                assert args.negatives == negatives
                assert recipe.evaluation.model_name == benchmark.MODELS[model]
            if name == "emojimel":
                assert args.num_negatives == 1 and args.pool_size == 32
                assert (args.batch_sampler == "attribute") is (negatives == "attribute")


def finished(table, model: str, negatives: str, seed: int, ranks: list[int]) -> None:
    """What a run leaves."""
    data = tiny_data()
    found = np.resize(np.array(ranks, dtype=float), len(data.mentions["test"]))
    extra = {"encodings_per_mention": 2.0, "train_seconds": 60.0 + seed}
    about = {"model_name": model, "data_name": "tiny", "seeds": [seed], "command": "x", "extra": extra}
    folder = table.folder(model, negatives, seed)
    folder.mkdir(parents=True)
    result = describe_ranks(found, data, "test", **about)
    write_result(dataclasses.replace(result, ranks_file=f"ranks_{table.split}.npz"), found, folder, table.split)


def test_the_table_holds_what_is_finished(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "page.md")
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "page.md").write_text("<!-- generated: peers-emojimel -->\n<!-- end: peers-emojimel -->\n" + PUBLISHED)
    table = benchmark.Table("emojimel", [0, 1], ["mimic", "m3el"], ["in_batch", "pg"])
    with pytest.raises(SystemExit, match="no run on emojimel is finished"):
        table.write()
    for seed in (0, 1):
        finished(table, "mimic", "in_batch", seed, [1, 2])
        finished(table, "mimic", "pg", seed, [1, 1] if seed else [1, 2])
    finished(table, "m3el", "in_batch", 0, [1])  # one seed of two
    table.write()
    stored = json.loads((tmp_path / "docs" / "results" / "peers-emojimel.json").read_text())
    assert list(stored["cells"]) == ["mimic"] and list(stored["cells"]["mimic"]) == ["in_batch", "pg"]
    in_batch, pg = (stored["cells"]["mimic"][name]["metrics"]["hits@1"] for name in ("in_batch", "pg"))
    assert (in_batch["value"], in_batch["seed_std"]) == (0.5, 0.0)
    assert pg["value"] == 0.75 and pg["seed_std"] == pytest.approx(0.5**0.5 / 2)
    assert stored["minus_in_batch"]["mimic"]["pg"]["hits@1"]["difference"] == pytest.approx(0.25)
    page = (tmp_path / "page.md").read_text()
    assert "negatives minus `in_batch`" in page
    assert "| H@1 | in_batch | pg |" in page and "| MIMIC | 50.0 [" in page and "] ± 35.4 |" in page
    assert "| MIMIC | pg | +25.0 [" in page and "| MIMIC | 2.0; 60 | 2.0; 60 |" in page
    assert "10 mentions, each against all 20 entities" in page and "M3EL" not in page.split(PUBLISHED[:20])[0]


def test_a_table_of_one_column_compares_with_the_start(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "page.md")
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "page.md").write_text("<!-- generated: peers-wikimel -->\n<!-- end: peers-wikimel -->\n" + PUBLISHED)
    table = benchmark.Table("wikimel", [0], ["ghmfc"])
    for negatives, ranks in (("start", [2]), ("in_batch", [1])):
        finished(table, "ghmfc", negatives, 0, ranks)
    table.write()
    page = (tmp_path / "page.md").read_text()
    assert "negatives minus `start`" in page and "| GHMFC | in_batch | +100.0 [" in page
