"""Flags of `hf-mel train`: how values are read, what is refused, and that nothing heavy is imported for it."""

import json
import subprocess
import sys

import pytest

from hf_mel.cli.main import main
from hf_mel.cli.recipe_flags import help_text, parse_train
from hf_mel.recipe_files import KeyTable, find_recipe, recipe_names


TABLE = KeyTable.shipped()


def changes(line: str) -> dict:
    recipe, found, _ = parse_train(["emojimel", *line.split()], TABLE)
    assert recipe == "emojimel"
    return found


def refused(argv: list[str], capsys) -> str:
    """The message, of the parser or of the command."""
    try:
        status = main(["train", *argv])
    except SystemExit as done:
        status = done.code
    assert status == 2
    return capsys.readouterr().err


# ---- Values ----


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--learning_rate 1e-4", {"learning_rate": 1e-4}),
        ("--learning-rate=2", {"learning_rate": 2}),
        ("--max_steps -1", {"max_steps": -1}),
        ("--bf16", {"bf16": True}),
        ("--bf16 --seed 3", {"bf16": True, "seed": 3}),
        ("--bf16 false", {"bf16": False}),
        ("--gather_across_devices=false", {"gather_across_devices": False}),
        ("--run_name 17", {"run_name": "17"}),
        ("--run_name true", {"run_name": "true"}),
        ("--output_dir runs/a=b", {"output_dir": "runs/a=b"}),
        ("--save_strategy no", {"save_strategy": "no"}),
        ("--refresh_steps null", {"refresh_steps": None}),
        ("--data.raw_dir null", {"data.raw_dir": None}),
        ("--evaluation.splits validation test", {"evaluation.splits": ["validation", "test"]}),
        ("--evaluation.splits [test]", {"evaluation.splits": ["test"]}),
        ("--evaluation.splits test", {"evaluation.splits": ["test"]}),
        ("--report_to none", {"report_to": "none"}),
        ("--report_to tensorboard wandb", {"report_to": ["tensorboard", "wandb"]}),
        ("--model.vision false", {"model.vision": False}),
        ("--model.vision facebook/dinov2-small", {"model.vision": "facebook/dinov2-small"}),
        ("--model.config.text_config.hidden_size 64", {"model.config.text_config.hidden_size": 64}),
        ("--model.config.aggregation_temperatures 1 2.5", {"model.config.aggregation_temperatures": [1, 2.5]}),
        ("--model.lora.target_modules [q_proj,v_proj]", {"model.lora.target_modules": ["q_proj", "v_proj"]}),
        ("--negatives_kwargs.scores fresh", {"negatives_kwargs.scores": "fresh"}),
    ],
)
def test_values(line, expected):
    found = changes(line)
    assert found == expected and [type(each) for each in found.values()] == [type(each) for each in expected.values()]


def test_a_mapping_as_one_word():
    _, found, _ = parse_train(["emojimel", "--negatives_kwargs", "{scores: fresh, choose_from: 10}"], TABLE)
    assert found == {"negatives_kwargs": {"scores": "fresh", "choose_from": 10}}


def test_a_switch_before_the_recipe_does_not_take_it_for_its_value():
    recipe, found, options = parse_train(["--bf16", "emojimel", "--resume"], TABLE)
    assert (recipe, found, options.resume) == ("emojimel", {"bf16": True}, True)


# ---- Refused ----


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--lerning_rate 1", "did you mean --learning_rate?"),
        ("--fusion concat", "did you mean --model.config.fusion?"),
        ("--training.seed 1", "did you mean --seed?"),
        ("--model.config.fusoin gmu", "did you mean --model.config.fusion?"),
        ("--data.benchmark.name x", "did you mean --data.name?"),
        ("--resume_from_checkpoint x", "did you mean --resume_from?"),
        ("--set training.seed=1", "write --KEY VALUE, such as --seed 1"),
        ("--learning_rate 1e-4x", "argument --learning_rate: must be a number, got '1e-4x'"),
        ("--seed 1.5", "argument --seed: must be an integer, got 1.5"),
        ("--seed null", "argument --seed: must be an integer, got None"),
        ("--eval_strategy epochs", "must be one of no, steps, epoch, got 'epochs' (did you mean epoch?)"),
        ("--data.layout ghmcf", "(did you mean ghmfc?)"),
        ("--bf16 maybe", "a switch takes true or false"),
        ("--negatives_kwargs [1", "is not YAML"),
        ("--negatives_kwargs 3", "must be a mapping, got 3"),
        ("--resume --resume_from x", "give one of them"),
        ("--model.config.matching_size 3", "emojimel: unknown key model.config.matching_size; known are "),
    ],
)
def test_refused_flags(line, message, capsys):
    assert message in refused(["emojimel", *line.split()], capsys)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "a recipe is missing: `hf-mel recipes` lists those of the package"),
        (["emojimell"], "there is no recipe 'emojimell', did you mean 'emojimel'? `hf-mel recipes` lists"),
        (["pgmel-wikimle"], "did you mean 'pgmel-wikimel'?"),
        (["recipes/emojimel.yaml"], "there is no recipe recipes/emojimel.yaml; the package has one named 'emojimel'"),
    ],
)
def test_refused_recipes(argv, message, capsys):
    assert message in refused(argv, capsys)


@pytest.mark.parametrize(
    "name", ["pgmel-wikimel", "pgmel-lora-richpediamel", "pgmel-text-wikidiverse", "m3el-wikidiverse"]
)
def test_data_that_are_not_there(name, capsys, monkeypatch, tmp_path):
    """Before anything is loaded; the message says how to get them."""
    benchmark = name.rsplit("-", 1)[1]
    monkeypatch.delenv(benchmark.upper(), raising=False)
    argv = [name, "--output_dir", str(tmp_path / "run")]
    error = refused(argv, capsys)
    assert f"set the environment variable {benchmark.upper()}" in error and "is not part of the package" in error
    assert "https://github.com/" in error and f"hf-mel data build {benchmark}" in error
    monkeypatch.setenv(benchmark.upper(), str(tmp_path / "none"))
    error = refused(argv, capsys)
    assert f"`data.raw_dir`: no folder {tmp_path / 'none'}" in error and "--data.raw_dir FOLDER" in error
    error = refused([*argv, "--data.raw_dir", "null"], capsys)
    assert "`data.raw_dir` is missing" in error and "--data.path FOLDER" in error
    assert not (tmp_path / "run").exists()


# ---- Help and start ----


def test_help_names_every_key():
    shown = help_text(TABLE, 100)
    missing = [flag for flag in TABLE.flags() if f"  --{flag} " not in shown]
    assert not missing and "--fp16" not in shown, "refused arguments are not offered"
    assert max(map(len, shown.splitlines())) < 120
    (entry,) = [each for each in shown.split("\n  --") if each.startswith("learning_rate ")]
    assert entry.startswith("learning_rate NUMBER\n") and entry.endswith("[0.001]")


LIGHT = """
import json, sys
from hf_mel.cli.main import main
answers = []
for argv in json.loads(sys.argv[1]):
    try:
        answers.append(main(argv))
    except SystemExit as done:
        answers.append(done.code)
heavy = {"torch", "transformers", "datasets"} & set(sys.modules)
print(json.dumps([answers, sorted(heavy)]))
"""


def test_nothing_heavy_is_imported_before_the_arguments_are_right():
    wrong = ["train", "emojimel", "--model.config.matching_size", "3"]
    commands = [["train", "--help"], ["recipes"], ["recipes", "show", "emojimel"], ["train", "emojimell"], wrong]
    words = [sys.executable, "-c", LIGHT, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1]) == [[0, 0, 0, 2, 2], []]


# ---- hf-mel recipes ----


def test_recipes_lists_all(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines[1 : len(recipe_names()) + 1]}
    assert list(rows) == recipe_names()
    line = next(line for line in lines if line.startswith("pgmel-lora-wikimel "))
    assert line.split(maxsplit=3)[1:3] == ["PGMEL", "wikimel"]
    assert "clip-vit-base-patch32 (LoRA)" in line and line.endswith("GPU, WIKIMEL, hf-mel[peft]")
    assert rows["emojimel"][-1] == "-" and rows["pgmel-text-wikidiverse"][-1] == "WIKIDIVERSE"


def test_recipes_show_and_copy(tmp_path, monkeypatch, capsys):
    import yaml

    from hf_mel.recipes import load_recipe

    assert main(["recipes", "show", "pgmel-lora-wikimel"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# PGMEL on WikiMEL") and "torchrun --nproc_per_node" in shown
    assert yaml.safe_load(shown)["model"]["lora"]["r"] == 16 and "extends" not in yaml.safe_load(shown)
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", "show", "pgmel-lora-wikimel", "--copy"]) == 0
    assert (tmp_path / "pgmel-lora-wikimel.yaml").read_text() == shown
    assert main(["recipes", "show", "pgmel-lora-wikimel", "--copy", "mine.yaml"]) == 0
    assert load_recipe("mine.yaml").given == load_recipe(find_recipe("pgmel-lora-wikimel")).given
    capsys.readouterr()
    assert main(["recipes", "show", "pgmel-lora-wikimel", "--copy", "mine.yaml"]) == 2
    assert "there is already a file mine.yaml" in capsys.readouterr().err
    assert main(["recipes", "show", "pgmel-wikimell"]) == 2
    assert "did you mean 'pgmel-wikimel'?" in capsys.readouterr().err
