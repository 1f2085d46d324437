"""Checkpoints on the Hub, in the output folder. Downloads are in `tests/hub/test_training.py`."""

import json
from pathlib import Path

import pytest
from transformers import TrainingArguments

from hf_mel.checkpoint import SAMPLER_FILE
from hf_mel.hub import fetch_checkpoint as fetching
from hf_mel.hub.fetch_checkpoint import local_checkpoint, place_checkpoint


def write_cached(folder: Path, step: int = 4, best: int | None = None) -> Path:
    """A checkpoint as it is in the cache, with the best weights so far where they are of another step."""
    checkpoint = folder / "last-checkpoint"
    checkpoint.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", SAMPLER_FILE, "config.json", "model.safetensors"):
        (checkpoint / name).write_text(f"{name} {step}")
    state = {"global_step": step, "best_global_step": best, "best_model_checkpoint": None}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    if best not in (None, step):
        (checkpoint / "best").mkdir()
        (checkpoint / "best" / "model.safetensors").write_text(f"model.safetensors {best}")
    return checkpoint


def best_in_state(checkpoint: Path) -> str | None:
    return json.loads((checkpoint / "trainer_state.json").read_text())["best_model_checkpoint"]


def text_of(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_the_trainer_resolves_itself_is_returned_as_it_is(tmp_path):
    args = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    assert local_checkpoint(None, args) is None
    assert local_checkpoint(True, args) is True and local_checkpoint(False, args) is False
    assert local_checkpoint(tmp_path, args) == local_checkpoint(str(tmp_path), args) == str(tmp_path)


@pytest.mark.parametrize("name", ["/none", "./none", "a/b/c", "~/none", "a b/c"])
def test_what_is_neither_a_folder_nor_a_repository_is_refused(name, tmp_path):
    args = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    with pytest.raises(FileNotFoundError, match="cannot resume from .*: there is no such folder"):
        local_checkpoint(name, args)


@pytest.mark.parametrize(
    ("source", "revision"),
    [("org/x", "runs"), ("org/x@v1", "v1"), ("org/y", None), ("org/y@v1", "v1")],
)
def test_the_revision_that_is_fetched(source, revision, tmp_path, monkeypatch):
    """Of the repository to which this run pushes, it is the branch to which it pushes."""
    args = TrainingArguments(
        str(tmp_path / "output"), hub_model_id="org/x", hub_revision="runs", report_to="none", use_cpu=True
    )
    fetched, cached = [], write_cached(tmp_path / "cache")
    monkeypatch.setattr(fetching, "fetch_checkpoint", lambda *where: fetched.append(where) or cached)
    assert local_checkpoint(source, args) == str(tmp_path / "output" / "checkpoint-4")
    assert fetched == [(source.split("@")[0], revision, None)]


@pytest.mark.parametrize(
    ("folders", "newest"),
    [
        (["checkpoint-2", "checkpoint-10", "checkpoint-9"], "checkpoint-10"),
        (["checkpoint-best", "last-checkpoint"], None),
        ([], None),
    ],
)
def test_the_newest_checkpoint_is_that_of_the_last_step(folders, newest):
    files = ["config.json", "checkpoint-99", *(f"{folder}/config.json" for folder in folders)]
    assert fetching._newest_checkpoint(files) == newest


def test_a_checkpoint_is_placed_where_the_trainer_would_have_saved_it(tmp_path):
    cached, output = write_cached(tmp_path / "cache", best=2), tmp_path / "output"
    before = text_of(cached)
    for _ in range(2):  # the second time it is there
        assert place_checkpoint(cached, output) == output / "checkpoint-4"
    files = text_of(output)
    assert (
        files["checkpoint-4/optimizer.pt"] == "optimizer.pt 4" and "checkpoint-4/best/model.safetensors" not in files
    )
    assert {name for name in files if "checkpoint-2" in name} == {"checkpoint-2/model.safetensors"}
    assert best_in_state(output / "checkpoint-4") == str(output / "checkpoint-2")
    assert text_of(cached) == before and set(output.glob(".cache/hf_mel/*")) == set()


@pytest.mark.parametrize(
    ("best", "found"), [(4, "checkpoint-4"), (None, None)], ids=["the best is the last", "nothing was evaluated"]
)
def test_the_best_checkpoint_in_the_state(best, found, tmp_path, caplog):
    placed = place_checkpoint(write_cached(tmp_path / "cache", best=best), tmp_path / "output", warn=True)
    assert best_in_state(placed) == (found and str(tmp_path / "output" / found)) and not caplog.text


@pytest.mark.parametrize("warn", [True, False])
def test_best_weights_that_are_nowhere_are_reported(warn, tmp_path, caplog):
    cached = write_cached(tmp_path / "cache", best=2)
    (cached / "best" / "model.safetensors").unlink(), (cached / "best").rmdir()
    assert best_in_state(place_checkpoint(cached, tmp_path / "output", warn)) is None
    assert ("those of step 2, are neither in" in caplog.text) == warn


def test_best_weights_that_are_only_in_the_output_folder_are_found(tmp_path):
    cached, output = write_cached(tmp_path / "cache", best=2), tmp_path / "output"
    (cached / "best" / "model.safetensors").unlink(), (cached / "best").rmdir()
    (output / "checkpoint-2").mkdir(parents=True)
    assert best_in_state(place_checkpoint(cached, output)) == str(output / "checkpoint-2")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("checkpoint-2/model.safetensors", "other"),
        ("checkpoint-4/model.safetensors", "other"),
        ("checkpoint-4/optimizer.pt", "other"),
        ("checkpoint-4/rng_state.pth", None),
    ],
)
def test_a_checkpoint_of_another_run_is_not_mixed_with_this_one(name, text, tmp_path):
    cached, output = write_cached(tmp_path / "cache", best=2), tmp_path / "output"
    place_checkpoint(cached, output)
    (output / name).write_text(text) if text else (output / name).unlink()
    before = text_of(output)
    with pytest.raises(
        ValueError, match=f"{name.split('/')[0]} is not the checkpoint .* or choose another `output_dir`"
    ):
        place_checkpoint(cached, output)
    assert text_of(output) == before
