"""Other runs on the same data beside a checkpoint: what may stand there, and what is said of it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from hf_mel.evaluation import load_ranks, load_results, paired_comparison, ranking_metrics, save_ranks, save_result
from hf_mel.hub import compare, render_model_card, write_model_card
from hf_mel.hub.comparisons import changed_keys, load_comparisons


@pytest.fixture
def other(run, tmp_path):
    """A run with another strategy, which is worse on three mentions."""
    folder = tmp_path / "alice" / "other"
    folder.mkdir(parents=True)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["training"] |= {"negatives": "topk", "output_dir": "elsewhere", "logging_steps": 3}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    ranks, _ = load_ranks(run / "ranks_test.npz")
    worse = ranks + (np.arange(len(ranks)) < 3)
    metrics = ranking_metrics(worse)
    command = f"hf-mel train {folder}/recipe.yaml"
    save_result(
        replace(load_results(run)["test"], model_name="top | k", metrics=metrics, command=command), folder, "test"
    )
    save_ranks(folder / "ranks_test.npz", worse)
    return folder


def table_of(text: str) -> str:
    return text.split("\n### Beside other runs\n")[1].split("\n#")[0]


def test_a_run_beside(run, other):
    (found,) = compare(run, [other])
    assert found.changes == ["training.negatives: default -> topk"]
    ranks, worse = (load_ranks(folder / "ranks_test.npz")[0] for folder in (run, other))
    expected = paired_comparison(ranks, worse, ("hits@1", "mrr"))
    for name, each in expected.items():
        difference = found.differences[name]
        assert (difference.difference, difference.low, difference.high) == (each.difference, each.low, each.high)
    text = table_of(render_model_card(run).text)
    mrr = expected["mrr"]
    assert f"| {100 * mrr.difference:+.1f} [{100 * mrr.low:+.1f}, {100 * mrr.high:+.1f}] |\n" in text
    own, beside = (line for line in text.splitlines() if line.startswith(("| PGMEL", "| top")))
    assert own.startswith("| PGMEL (this model) | - |") and own.endswith("| - | - |")
    assert beside.startswith("| top \\| k | training.negatives: default -> topk |")
    assert "hf-mel train PATH" in text and "alice" not in (run / "comparisons.json").read_text()


def test_rows_of_several_splits_are_labelled(run, other):
    for folder in (run, other):
        result = load_results(folder)["test"]
        name = result.dataset.removesuffix(", test")
        save_result(replace(result, dataset=f"{name}, validation", ranks_file="ranks_test.npz"), folder, "validation")
    assert [each.split for each in compare(run, [other])] == ["test", "validation"]
    text = table_of(render_model_card(run).text)
    assert "| model | split | what differs |" in text
    rows = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith(("| PGMEL", "| top"))]
    own, beside = "| PGMEL (this model)", "| top \\| k"
    assert rows == [[own, "test"], [beside, "test"], [own, "validation"], [beside, "validation"]]


def test_the_folder_alone_renders_it_again(run, other):
    compare(run, [other / "eval_results.json"])
    first = write_model_card(run).read_bytes()
    shutil.rmtree(other)
    assert write_model_card(run).read_bytes() == first and b"### Beside other runs" in first
    assert compare(run, []) == [] and b"### Beside other runs" not in write_model_card(run).read_bytes()


def test_of_a_run_that_was_measured_again_nothing_is_claimed(run, other):
    compare(run, [other])
    assert len(load_comparisons(run)) == 1
    result = load_results(run)["test"]
    save_result(replace(result, metrics=result.metrics | {"mrr": 0.5}), run, "test")
    assert load_comparisons(run) == [] and "Beside other runs" not in render_model_card(run).text


def test_without_ranks_there_is_no_interval(run, other):
    (other / "ranks_test.npz").unlink()
    (other / "recipe.yaml").unlink()
    (found,) = compare(run, [other])
    assert found.changes == [] and all(each.low is None for each in found.differences.values())
    text = table_of(render_model_card(run).text)
    difference = found.differences["mrr"].difference
    assert (
        f"| {100 * difference:+.1f} |\n" in text and "what differs" not in text.split("\n|---")[0].split("| model")[1]
    )


def test_only_the_same_data_and_protocol_stand_beside(run, other, tmp_path):
    result = load_results(other)["test"]
    save_result(replace(result, data_fingerprint="1" * 64), other, "test")
    candidates = replace(result.protocol, kind="candidate-k", retriever="r", num_candidates=5)
    save_result(replace(result, protocol=candidates), tmp_path / "among", "test")
    save_result(result, tmp_path / "dev", "validation")
    with pytest.raises(ValueError) as raised:
        compare(run, [other, tmp_path / "among", tmp_path / "dev"])
    message = str(raised.value)
    assert "3 problems" in message and "other data: 'miniature, test' with the fingerprint 111111111111" in message
    assert "protocol.kind is 'candidate-k', here 'full-kb'" in message and "not of test" in message
    assert not (run / "comparisons.json").exists()
    with pytest.raises(FileNotFoundError, match="nothing has no results"):
        compare(run, [tmp_path / "nothing"])
    with pytest.raises(FileNotFoundError, match="there is nothing to compare with"):
        compare(tmp_path, [other])


def test_ranks_that_are_not_of_the_result(run, other):
    save_ranks(other / "ranks_test.npz", np.ones(3))
    with pytest.raises(ValueError, match="has 3 ranks, but its result is of 10 mentions"):
        compare(run, [other])


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "{"])
def test_a_damaged_file_is_named(run, other, content):
    compare(run, [other])
    (run / "comparisons.json").write_text(content)
    with pytest.raises(ValueError, match="comparisons.json"):
        render_model_card(run)
    kept = json.loads(json.dumps([each.to_dict() for each in compare(run, [other])]))
    (run / "comparisons.json").write_text(json.dumps([kept[0] | {"differences": {"mrr": 1}}]))
    with pytest.raises(ValueError, match="comparisons.json: `differences` must hold"):
        render_model_card(run)


def test_what_differs_in_recipes():
    own = {
        "data": {"benchmark": "emojimel"},
        "model": {"config": {"vision_config": {"model_type": "resnet", "depths": [1]}, "fusion": "late"}},
        "training": {"seed": 0, "output_dir": "a", "margin": 0.3},
        "evaluation": {"model_name": "x"},
    }
    other = {
        "data": {"benchmark": "emojimel"},
        "model": {"config": {"vision_config": None, "fusion": "late"}, "image_size": 8},
        "training": {"seed": 1, "output_dir": "b"},
    }
    assert changed_keys(own, other) == [
        "model.config.vision_config: resnet -> none",
        "model.image_size: default -> 8",
        "training.seed: 0 -> 1",
        "training.margin: 0.3 -> default",
    ]
    assert changed_keys(own, own) == changed_keys(own, {}) == changed_keys({}, own) == []
