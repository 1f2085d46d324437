"""The answers that `make demo` shows."""

import contextlib
import io
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from hf_mel.cli.main import main


ROOT = Path(__file__).parents[1]
# What follows `link`, in the order of the Makefile: the entity that is shown first, or that there is none.
ANSWERS = ["dish-satellite", "dish-paella", "seal-animal", "seal-wax", "NIL", "marimba", "NIL"]


def commands(target: str, runs: Path) -> list[list[str]]:
    """Arguments of the `hf-mel` commands of a target of the Makefile, with all it writes in another folder."""
    printed = subprocess.run(
        ["make", "-n", target, f"RUNS={runs}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = printed.replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("HF_HUB_OFFLINE=1 ") for line in lines]
    return [shlex.split(line)[1:] for line in lines if line.startswith(".venv/bin/hf-mel ")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> list[tuple[list[str], str]]:
    """Each command of `make demo` with what it printed."""
    runs = tmp_path_factory.mktemp("runs")
    found = []
    with contextlib.chdir(ROOT):
        for words in commands("demo", runs):
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                assert main(words) == 0, words
            found.append((words, output.getvalue()))
    found.append((["runs"], str(runs)))
    return found


def test_every_answer_is_right(shown):
    links = [(words, output) for words, output in shown if words[0] == "link" and "--mention" in words]
    assert len(links) == len(ANSWERS)
    for (words, output), wanted in zip(links, ANSWERS, strict=True):
        first = output.splitlines()[0].split(": ", 1)[1]
        assert first.split()[0].strip(",") == wanted, (words, first)
        assert "(prior)" in output


def test_the_file_is_linked_with_fitted_probabilities(shown):
    runs = Path(dict((words[0], output) for words, output in shown)["runs"])
    answers = [json.loads(line) for line in (runs / "mentions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {each["id"]: each["entity_id"] for each in answers} == {
        "anchor": "anchor",
        "violin": "bow-violin",
        "marimba": None,
    }
    assert {each["calibration"] for each in answers} == {"fitted"}


def test_the_explanation_names_the_word_that_decided(shown):
    (output,) = [output for words, output in shown if words[0] == "explain"]
    assert "seal-animal" in output
    assert any(word in line for line in output.splitlines() for word in ("ice", "dived", "fish")), output


def test_clip_runs_the_same_commands(tmp_path):
    ours, clip = commands("demo", tmp_path), commands("demo-clip", tmp_path)
    renamed = [[word.replace(f"{tmp_path}/emojimel-clip", f"{tmp_path}/emojimel") for word in words] for words in clip]
    assert clip[0][1] == "emojimel-clip" and renamed[1:] == ours[1:]
