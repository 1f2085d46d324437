"""What is told from the files of a run."""

import pytest

from hf_mel import PGMELTrainingArguments
from hf_mel.hub.run_folder import changed_arguments, is_repo_id, known_name, plain_name, split_dataset, without_paths


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


def test_names():
    assert split_dataset("WikiMEL (GHMFC), test") == ("WikiMEL (GHMFC)", "test")
    assert split_dataset("a, b, dev") == ("a, b", "dev")
    assert plain_name("/home/alice/data/") == plain_name("C:\\data") == plain_name("data") == "data"
    assert is_repo_id("org/name") and is_repo_id("gpt2")
    assert not any(map(is_repo_id, ("/org/name", "./name", "a/b/c", "$HOME/x", "~/x", "two words")))


def test_only_arguments_that_differ_and_matter(tmp_path):
    same = PGMELTrainingArguments(str(tmp_path), report_to="none", use_cpu=True, eval_strategy="epoch")
    assert changed_arguments(same.to_dict()) == {}
    other = PGMELTrainingArguments(
        str(tmp_path), report_to="none", use_cpu=True, margin=0.4, seed=0, lr_scheduler_type="cosine"
    )
    changed = changed_arguments(other.to_dict())
    assert changed == {"margin": (0.4, 0.3), "seed": (0, 42), "lr_scheduler_type": ("cosine", "linear")}
    assert changed_arguments({}) == {}
    assert changed_arguments({"logging_dir": "/home/alice/logs", "output_dir": "out", "run_name": "alice"}) == {}
