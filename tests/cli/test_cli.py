"""What a user sees in a terminal: output, exit status, messages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from transformers import AutoModel, BertConfig, BertModel

from hf_mel import PGMELGenerator, make_miniature
from hf_mel.cli.main import COMMANDS, main
from hf_mel.encoding import EntityInputs
from hf_mel.evaluation import load_ranks, load_results
from hf_mel.linking.index.fingerprints import describe_model
from tests.tiny_recipe import DATA_OPTIONS, tiny_recipe


def write(recipe: dict, path: Path) -> str:
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run: the recipe's file and the output folder."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write(tiny_recipe(folder / "out"), folder / "recipe.yaml")
    assert main(["train", recipe]) == 0
    return recipe, folder / "out"


@pytest.fixture(scope="module")
def kb_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kb")
    make_miniature(**DATA_OPTIONS).entities.save(folder)
    return str(folder)


def refused(argv, capsys) -> str:
    """The message, after what progress bars wrote."""
    assert main([str(word) for word in argv]) == 2
    before, prefix, error = capsys.readouterr().err.rpartition(f"hf-mel {argv[0]}: ")
    assert prefix and "Traceback" not in before
    return error


# ---- Commands and options ----


def test_help_lists_every_command(capsys):
    for argv in ([], ["--help"], ["-h"]):
        assert main(argv) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("init", "--text_views"),
        ("train", "--learning_rate NUMBER"),
        ("recipes", "show"),
        ("evaluate", "--split"),
        ("link", "--mention"),
        ("index build", "--precision"),
        ("index add", "--update"),
        ("index remove", "--ids"),
        ("index info", "--json"),
        ("index search", "--top_k"),
        ("review export", "--sample"),
        ("review import", "--reviewed"),
        ("calibrate", "--nil_share"),
        ("explain", "--gold"),
        ("serve", "--port"),
        ("push", "--dry_run"),
        ("card", "--beside"),
        ("report", "--mistakes"),
        ("data build", "--raw"),
        ("data check", "--html"),
        ("data import", "--entities"),
        ("data wikidata", "--endpoint"),
        ("env", "--help"),
    ],
)
def test_help_of_a_command(command, option, capsys):
    with pytest.raises(SystemExit) as done:
        main([*command.split(), "--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: hf-mel {command} ") and option in shown


def test_every_command_has_its_help_tested():
    parameters = test_help_of_a_command.pytestmark[0].args[1]
    assert {command for command, _ in parameters} == set(COMMANDS)


def test_a_library_that_is_not_installed_is_told_and_a_broken_import_is_not_hidden(monkeypatch, capsys):
    def run(argv):
        if argv:
            import no_such_module  # noqa: F401
        raise ImportError('this needs faiss: pip install "hf-mel[faiss]"')

    monkeypatch.setattr("hf_mel.cli.env.run", run)
    assert main(["env"]) == 2
    assert capsys.readouterr().err == 'hf-mel env: this needs faiss: pip install "hf-mel[faiss]"\n'
    with pytest.raises(ModuleNotFoundError):
        main(["env", "broken"])


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["trian", "recipe.yaml"]) == 2
    assert "unknown command 'trian'; did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "nearest"),
    [
        (["train", "recipe.yaml", "--resum"], "--resume"),
        (["link", "m", "--kb", "miniature", "--text", "a", "--mention", "a", "--topk", "3"], "--top_k"),
        (["evaluate", "m", "--spilt=test"], "--split"),
    ],
)
def test_an_unknown_option_names_the_nearest(argv, nearest, capsys):
    with pytest.raises(SystemExit) as done:
        main(argv)
    assert done.value.code == 2
    assert f"did you mean {nearest}?" in capsys.readouterr().err


def test_what_is_needed_is_asked_for(capsys):
    with pytest.raises(SystemExit) as done:
        main(["data", "import", "--mentions", "a.csv"])
    assert done.value.code == 2
    assert "required: --entities, --out" in capsys.readouterr().err


def test_env_prints_versions(capsys):
    import torch
    import transformers

    import hf_mel

    assert main(["env"]) == 0
    rows = {line[:16].strip(): line[17:] for line in capsys.readouterr().out.splitlines()}
    # The metadata of a build for CUDA can lack the name of its build.
    assert torch.__version__.startswith(rows["torch"]) and rows["transformers"] == transformers.__version__
    assert rows["hf-mel"] == hf_mel.__version__ and "CPU core" in rows["machine"]


def test_as_a_process():
    command = [sys.executable, "-m", "hf_mel.cli.main", "train", "no/such.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "hf-mel train: there is no recipe no/such.yaml\n")


# ---- train ----


def test_what_train_leaves(trained):
    _, folder = trained
    assert type(AutoModel.from_pretrained(folder)).__name__ == "PGMELModel"
    assert (folder / "model.safetensors").exists() and (folder / "config.json").exists()
    PGMELGenerator.from_pretrained(folder / "generator")
    result = load_results(folder)["test"]
    ranks, _ = load_ranks(folder / result.ranks_file)
    assert result.metrics["num_mentions"] == len(ranks) == result.protocol.num_mentions
    assert result.metrics["mrr"] == pytest.approx(np.mean(1 / ranks))
    assert result.protocol.kb_size == 20 and result.seeds == [42] and result.extra["negatives"] == "pg"
    assert result.command == "hf-mel train recipe.yaml"  # the folder is this machine's affair


def test_train_prints_what_came_out_and_flags_change_the_recipe(trained, tmp_path, capsys):
    recipe, folder = trained
    options = ["--seed", "3", "--output_dir", str(tmp_path), "--save_strategy", "no"]
    assert main(["train", recipe, *options, "--data.name", "Toy"]) == 0
    shown = capsys.readouterr().out
    assert "warm start mrr" in shown and "final mrr" in shown and "best mrr" in shown
    assert "Toy, test   hits@1" in shown and "full KB of 20 entities" in shown and str(tmp_path) in shown
    result = load_results(tmp_path)["test"]
    assert result.seeds == [3] and result.dataset == "Toy, test"
    assert not list(tmp_path.glob("checkpoint-*"))
    same = load_ranks(tmp_path / "ranks_test.npz")[0].tolist() == load_ranks(folder / "ranks_test.npz")[0].tolist()
    assert not same, "another seed gave the same model"


def test_what_a_run_says_of_its_result(trained):
    folder = trained[1]
    result = load_results(folder)["test"]
    assert result.model_fingerprint == describe_model(AutoModel.from_pretrained(folder))["fingerprint"]
    ranks, _ = load_ranks(folder / "ranks_test.npz")
    for groups in result.groups.values():
        assert sum(group.count for group in groups) == len(ranks)
        hits = sum(group.count * group.metrics["hits@1"] for group in groups)
        assert hits == pytest.approx((ranks <= 1).sum())
    assert list(result.groups) == ["image_status", "namesakes"]


def test_resume_goes_on_to_the_same_end(trained, tmp_path):
    recipe, folder = trained
    shutil.copytree(folder / "checkpoint-3", tmp_path / "checkpoint-3")
    # The switch before the recipe: it must not take the recipe for its value.
    assert main(["train", "--resume", recipe, f"--output_dir={tmp_path}"]) == 0
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["global_step"] == 6
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert load_ranks(tmp_path / "ranks_test.npz")[0].tolist() == load_ranks(folder / "ranks_test.npz")[0].tolist()


def test_resume_without_a_checkpoint(trained, tmp_path, capsys):
    assert str(tmp_path) in refused(["train", trained[0], "--resume", "--output_dir", tmp_path], capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--fp16", "`fp16=True` cannot be use"),
        ("--model.config.fusion=gmuu", "`fusion` must be one of"),
        ("--model.config.matching_size=4", "unknown key model.config.matching_size; known are "),
        ("--data.options.num_train=0", "num_train"),
        ("--evaluation.splits=[tset]", "tset"),
    ],
)
def test_train_says_what_is_wrong_in_a_line(change, message, trained, tmp_path, capsys):
    argv = ["train", trained[0], change, "--output_dir", str(tmp_path), "--max_steps", "1"]
    assert message in refused(argv, capsys)


# ---- evaluate ----


def test_evaluate_repeats_the_ranks_of_the_run(trained, tmp_path, capsys):
    recipe, folder = trained
    assert main(["evaluate", str(folder), "--recipe", recipe, "--output_dir", str(tmp_path), "--show", "2"]) == 0
    shown = capsys.readouterr().out
    first, again = (load_results(place)["test"] for place in (folder, tmp_path))
    assert again.metrics == first.metrics and again.intervals == first.intervals
    assert (again.seen, again.unseen) == (first.seen, first.unseen)
    assert again.protocol == first.protocol and again.data_fingerprint == first.data_fingerprint
    assert load_ranks(tmp_path / "ranks_test.npz")[0].tolist() == load_ranks(folder / "ranks_test.npz")[0].tolist()
    assert f"mrr {100 * first.metrics['mrr']:.1f}" in shown and again.model_name == "out"
    assert shown.count(" -> ") == 2


def test_evaluate_on_another_split(trained, tmp_path, capsys):
    recipe, folder = trained
    options = ["--split", "validation", "--name", "Mine", "--output_dir", str(tmp_path)]
    assert main(["evaluate", str(folder), "--recipe", recipe, *options]) == 0
    result = load_results(tmp_path)["validation"]
    assert result.model_name == "Mine" and result.dataset == "miniature, validation"
    state = json.loads((folder / "trainer_state.json").read_text())
    last = [log["eval_mrr"] for log in state["log_history"] if "eval_mrr" in log][-1]
    assert result.metrics["mrr"] == last
    assert "'dev'" in refused(["evaluate", folder, "--recipe", recipe, "--split", "dev"], capsys)


@pytest.mark.parametrize("candidates", [[], ["--num_candidates", "3"]])
def test_workers_read_for_an_evaluation(candidates, trained, monkeypatch, capsys):
    recipe, folder = trained
    here, original = [], EntityInputs.__call__
    monkeypatch.setattr(EntityInputs, "__call__", lambda self, rows: here.append(rows) or original(self, rows))
    lines = []
    for number in ("0", "1"):
        here.clear()
        assert main(["evaluate", str(folder), "--recipe", recipe, "--num_workers", number, *candidates]) == 0
        lines.append(capsys.readouterr().out)
        assert bool(here) is (number == "0")
    assert lines[0] == lines[1] and "mrr" in lines[0]


def test_evaluate_among_lexical_candidates(trained, tmp_path, capsys):
    recipe, folder = trained
    assert (
        main(["evaluate", str(folder), "--recipe", recipe, "--num_candidates", "3", "--output_dir", str(tmp_path)])
        == 0
    )
    result = load_results(tmp_path)["test"]
    assert result.protocol.kind == "candidate-k" and result.protocol.num_candidates == 3
    among, whole = (load_ranks(place / "ranks_test.npz")[0] for place in (tmp_path, folder))
    found = among <= 3
    assert (among[~found] == float("inf")).all()  # a gold entity that was not retrieved stays in the denominator
    assert (among[found] <= whole[found]).all()  # fewer rivals
    assert result.metrics["retrieved"] == found.mean() and result.metrics["T@1"] == (among <= 1).mean()
    assert "missed golds count as wrong" in capsys.readouterr().out
    error = refused(["evaluate", str(folder), "--recipe", recipe, "--output_dir", str(tmp_path)], capsys)
    assert "holds a result of 'miniature, test' among candidates" in error and "name another folder" in error
    dense = ["evaluate", str(folder), "--recipe", recipe, "--candidates", "dense"]
    error = refused([*dense, "--num_candidates", "3", "--output_dir", str(tmp_path)], capsys)
    assert "holds a result of 'miniature, test' among candidates" in error, "which were other ones"
    assert "give their number as well, --num_candidates" in refused(dense, capsys)
    assert "--candidates dens; did you mean 'dense'" in refused([*dense[:-1], "dens"], capsys)
    assert load_results(tmp_path) == {"test": result}


@pytest.mark.parametrize("command", ["evaluate", "link"])
def test_a_checkpoint_that_is_none(command, tmp_path, trained, kb_folder, capsys):
    options = [] if command == "evaluate" else ["--kb", kb_folder, "--text", "a", "--mention", "a"]
    for missing in ("no-such-model", str(tmp_path / "no" / "model")):
        assert f"no folder {missing!r}" in refused([command, missing, *options], capsys)
    tiny = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    BertModel(BertConfig(**tiny)).save_pretrained(tmp_path / "bert")
    assert "holds a model of type 'bert'" in refused([command, tmp_path / "bert", *options], capsys)
    assert "'pgmel_generator'" in refused([command, trained[1] / "generator", *options], capsys)
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refused([command, tmp_path / "empty", *options], capsys)
