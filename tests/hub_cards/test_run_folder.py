"""What is told from the files of a run."""

import json

import pytest
import yaml

from hf_mel import PGMELTrainingArguments
from hf_mel.hub.paths import plain_name, portable, without_paths
from hf_mel.hub.run_folder import changed_arguments, known_name, split_dataset
from hf_mel.models.towers import is_repository
from hf_mel.recipes import load_recipe
from hf_mel.training.run_state import save_arguments


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("hf-mel train recipes/a.yaml --set training.seed=1", None),
        ("hf-mel evaluate org/name --data https://host/x 'two words'", None),
        ("hf-mel train /home/alice/a.yaml", "hf-mel train PATH"),
        ("x --set a=/home/alice b='/home/alice c/d' c=1", "x --set a=PATH b=PATH c=1"),
        ("x '/home/alice b/c' --out=~/y ~alice", "x PATH --out=PATH PATH"),
        ("x C:\\Users\\alice\\y ../../alice/x file:///home/alice", "x PATH PATH PATH"),
        ("x k=[/home/alice,/b] 'two words'", "x k=[PATH 'two words'"),
        ("it's /home/alice b", "it's PATH"),
        ("'/home/alice b", "'PATH"),
        ("it's a=1 b", None),
    ],
)
def test_paths_of_this_machine_are_not_shown(command, shown):
    assert without_paths(command) == (command if shown is None else shown)


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [
        ("emojimel", "emojimel"),
        ("EmojiMEL", "emojimel"),
        ("WikiMEL (GHMFC)", "wikimel"),
        ("miniature", "miniature"),
        ("emojimel of mine", None),
        ("wikimel-own", None),
        ("", None),
        (None, None),
    ],
)
def test_which_benchmark_a_name_means(name, benchmark):
    assert known_name(name) == benchmark


def test_names(tmp_path, monkeypatch):
    assert split_dataset("WikiMEL (GHMFC), test") == ("WikiMEL (GHMFC)", "test")
    assert split_dataset("a, b, dev") == ("a, b", "dev")
    assert plain_name("/home/alice/data/") == plain_name("C:\\data") == plain_name("data") == "data"
    assert is_repository("org/name") and is_repository("gpt2")
    (tmp_path / "models" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    none = (
        "/org/name",
        "./name",
        "a/b/c",
        "$HOME/x",
        "~/x",
        "../x",
        "C:\\x",
        "two words",
        "models/bert",
        tmp_path,
        True,
    )
    assert not any(map(is_repository, none))


def test_only_arguments_that_differ_and_matter(tmp_path):
    def changed(**options):
        save_arguments(PGMELTrainingArguments(str(tmp_path), report_to="none", use_cpu=True, **options), tmp_path)
        written = json.loads((tmp_path / "training_args.json").read_text())
        return changed_arguments(written["arguments"], written["defaults"])

    assert changed(eval_strategy="epoch", run_name="alice", logging_steps=7) == {}
    found = changed(margin=0.4, seed=0, lr_scheduler_type="cosine")
    assert found == {"margin": (0.4, 0.3), "seed": (0, 42), "lr_scheduler_type": ("cosine", "linear")}
    # Defaults of another version: those of the file count.
    assert changed_arguments({"margin": 0.4, "seed": 42}, {"margin": 0.2}) == {"margin": (0.4, 0.2)}


# ---- The recipe of a run ----


def test_a_recipe_is_written_as_it_was_given_and_without_paths(tmp_path, monkeypatch):
    monkeypatch.delenv("MEL_DATA", raising=False)
    written = tmp_path / "given.yaml"
    written.write_text(
        "data: {benchmark: wikimel, raw_dir: $MEL_DATA/raw}\n"
        "model: {text: /home/alice/bert, processor: {mention_template: '{mention} / {text}'}}\n"
        "training: {output_dir: runs/x, save_strategy: no, learning_rate: 1e-3}\n"
    )
    recipe = load_recipe(written, {"seed": 3, "evaluation.splits": ["test"], "model.vision": "~/vit"})
    path = recipe.save(tmp_path / "out" / "recipe.yaml")
    assert yaml.safe_load(path.read_text()) == {
        "data": {"benchmark": "wikimel", "raw_dir": "$MEL_DATA/raw"},
        "model": {"text": "PATH", "vision": "PATH", "processor": {"mention_template": "{mention} / {text}"}},
        "training": {"output_dir": "runs/x", "save_strategy": "no", "learning_rate": 0.001, "seed": 3},
        "evaluation": {"splits": ["test"]},
    }
    again = load_recipe(path)
    assert (again.training, again.evaluation, again.data) == (recipe.training, recipe.evaluation, recipe.data)
    assert again.save(tmp_path / "again.yaml").read_bytes() == path.read_bytes()
    own = load_recipe(
        written,
        {"data.benchmark": None, "data.path": "/home/alice/own", "data.raw_dir": None, "data.name": None},
    )
    content = yaml.safe_load(own.save(tmp_path / "own.yaml").read_text())
    assert content["data"] == {"benchmark": None, "raw_dir": None, "path": "PATH", "name": "own"}


def test_portable_keeps_what_is_no_path():
    kept = {"a": ["org/name", "https://host/x", "1/2", "{mention} / {text}", 1, None], "b": {"c": "runs/x"}}
    assert portable(kept) == kept
    assert portable({"a": ["/home/alice", {"b": "x=/home/alice b"}]}) == {"a": ["PATH", {"b": "x=PATH"}]}
