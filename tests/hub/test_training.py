"""A training that pushes while it runs, and one that goes on from what was pushed: real clients with clean caches."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load

from hf_mel.checkpoint import SAMPLER_FILE
from hf_mel.hub.cards import MARK
from tests.hub import READ_TOKEN, ClientRun, Hub, run_client
from tests.tiny_recipe import tiny_recipe
from tests.training.common import assert_equal, make_trainer, tiny_linker, weights


pytestmark = pytest.mark.loopback

ROOT = str(Path(__file__).parents[2])
OPTIONS = {
    "max_steps": 6,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "load_best_model_at_end": True,
    "lowest_is_best": True,  # so that the best model is the first one
    "learning_rate": 0.05,
    "vision": False,
}
CARD = b"---\nlicense: cc0-1.0\n---\n# Mine\n"

# ---- What the clients do ----

COMMON = """
import json, os, sys, time, traceback
from threading import Event
import torch
from transformers import TrainerCallback
from hf_mel.cli.main import main
from tests.training.common import make_trainer, tiny_linker, weights

time.sleep = lambda seconds: None  # between tries
torch.set_num_threads(1)
options = json.loads(sys.argv[1])
"""

FIRST = """
class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            raise KeyboardInterrupt


def broken_off():
    trainer = make_trainer(
        os.path.abspath("first"), tiny_linker(False, freeze_text=True), push_to_hub=True, hub_model_id="org/x",
        hub_strategy="checkpoint", hub_always_push=True, hub_private_repo=True, save_total_limit=1, **options,
    )
    trainer.add_callback(Stop())
    trainer.train()


def one_of_two():
    two = {"vision": False, "per_device_train_batch_size": 4, "dataloader_drop_last": True, "hub_model_id": "org/two"}
    saves = {"save_strategy": "steps", "save_steps": 2, "push_to_hub": True, "hub_strategy": "checkpoint"}
    trainer = make_trainer("two", max_steps=2, **two, **saves)
    if trainer.args.process_index == 1:  # slow: the first process has to wait for it
        save, trainer._save_rng_state = trainer._save_rng_state, lambda folder: (Event().wait(2), save(folder))
    trainer.train()
    done = trainer.push_to_hub()
    on = make_trainer("two", max_steps=3, **two)
    on.train(resume_from_checkpoint="org/two")
    total = sum(value.double().sum().item() for value in weights(on).values())
    answer = [trainer.hub_model_id, done and done.oid, on.state.global_step, total]
    with open(os.path.join(sys.argv[2], f"answer-{trainer.args.process_index}.json"), "w") as file:
        json.dump(answer, file)


def child(function, **environment):  # to import all this once is enough
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.environ.update(environment)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def statuses(*processes):
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


import socket

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
alone = statuses(child(broken_off))
both = statuses(*[child(one_of_two, RANK=str(rank), LOCAL_RANK=str(rank), **group) for rank in range(2)])
print(json.dumps([alone, both]))
"""

SECOND = """
READ, answer = sys.argv[3], {}

trainer = make_trainer("second", tiny_linker(False, freeze_text=True), hub_model_id="org/x", **options)
trainer.train(resume_from_checkpoint="org/x")
torch.save(weights(trainer), os.path.join(sys.argv[2], "weights.pt"))
done = trainer.push_to_hub(commit_message="Done", tags=["mine"], license="mit")
answer["second"] = [done.oid, done.commit_message, trainer.state.best_global_step, os.listdir("second")]

model = tiny_linker(False)


def trainer(name, **options):
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "hub_model_id": "org/" + name} | options
    return make_trainer(name, model, vision=False, **options)


def outcome(function, *arguments, **options):
    try:
        return str(function(*arguments, **options))
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


# At the start: a token that may not write, for a repository that is there, and for one that is not.
for name in ("card", "none"):
    answer["read " + name] = outcome(trainer, name, push_to_hub=True, hub_token=READ)

# Every checkpoint, all of them in a branch, and going on from the newest.
done = trainer("all", push_to_hub=True, hub_strategy="all_checkpoints", hub_revision="runs")
done.train()
on = trainer("all", max_steps=3, save_strategy="no")
on.train(resume_from_checkpoint="org/all@runs")
answer["all"] = [on.state.global_step, on.state.log_history[1]["step"]]
answer["main"] = outcome(on.train, resume_from_checkpoint="org/all")
answer["nowhere"] = outcome(on.train, resume_from_checkpoint="org/nowhere")
answer["no folder"] = outcome(on.train, resume_from_checkpoint="./nowhere")
answer["part"] = outcome(on.train, resume_from_checkpoint="org/part")

# The end of the training alone; a card on the Hub that somebody wrote; not waiting.
done = trainer("card", push_to_hub=True, hub_strategy="end")
done.train()
answer["before"] = open("card/README.md").read()
answer["later"] = done.push_to_hub(blocking=False).result(60).commit_message

# A Hub that is down from the first push on.
done = trainer("down", push_to_hub=True)
answer["trained"] = done.train().global_step
answer["pushed"] = outcome(done.push_to_hub)
answer["waiting"] = [folder.name for folder in done.hub.unsent]

# The commands: one that is pushed, and one that goes on from it.
recipe = os.path.join(sys.argv[2], "recipe.yaml")
push = ["--push_to_hub", "--hub_model_id", "org/cli", "--hub_strategy", "checkpoint"]
more = ["--resume_from", "org/cli", "--output_dir", "more", "--num_train_epochs", "3"]
answer["cli"] = [main(["train", recipe, *push]), main(["train", recipe, *more])]
state = json.load(open("more/trainer_state.json"))
answer["cli steps"] = [state["global_step"], [each["step"] for each in state["log_history"]]]
print()
print(json.dumps(answer))
"""

# ---- What came of it ----


@dataclass(frozen=True)
class Runs:
    """
    Args:
        hub ([`Hub`]): As it is after all.
        first, second ([`ClientRun`]): The two clients.
        pushed (`dict[str, bytes]`): The repository of the run that was broken off, when it was.
        titles (`list[str]`): Of the commits there.
        folder (`Path`): What the clients left for the tests.
    """

    hub: Hub
    first: ClientRun
    second: ClientRun
    pushed: dict[str, bytes]
    titles: list[str]
    folder: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    arguments = json.dumps(OPTIONS), str(folder), READ_TOKEN
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tiny_recipe("cli")), encoding="utf-8")
    with Hub() as hub:
        hub.api.large_from = 1000
        hub.add("org/card", {"README.md": CARD})
        hub.add("org/part", {"last-checkpoint/config.json": b"{}", "last-checkpoint/model.safetensors": b""})
        hub.fail("POST", "org/x/commit/", status=500, times=3)  # all three tries of the first checkpoint
        hub.fail("POST", "org/down/commit", status=500, times=None)
        first = run_client(COMMON + FIRST, hub, *arguments, PYTHONPATH=ROOT)
        pushed, titles = hub.files("org/x"), [commit.title for commit in hub.repo("org/x").history("main")]
        second = run_client(COMMON + SECOND, hub, *arguments, PYTHONPATH=ROOT)
        yield Runs(hub, first, second, pushed, titles, folder)


def test_what_is_pushed_while_it_trains(runs):
    assert runs.first.answer[0] == [1] and "KeyboardInterrupt" in runs.first.stderr
    assert "checkpoint-2 was not pushed to org/x" in runs.first.stderr
    assert "The training continues" in runs.first.stderr
    assert runs.titles == ["Training in progress, step 4", "initial commit"] and runs.hub.repo("org/x").private
    model = {name for name in runs.pushed if not name.startswith("last-checkpoint/")}
    assert model == {
        *("README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"),
        *("tokenizer_config.json", "training_args.json", "trainer_state.json"),
        *("generator/config.json", "generator/model.safetensors"),
        *(name for name in model if name.endswith(".py")),
    }
    state = {name.removeprefix("last-checkpoint/") for name in runs.pushed if name.startswith("last-checkpoint/")}
    assert {
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        SAMPLER_FILE,
        "trainer_state.json",
        "config.json",
    } <= state
    assert "training_args.bin" not in state and "best/optimizer.pt" not in state
    for name, content in runs.pushed.items():
        assert b"/first" not in content, f"{name} names a folder of the machine"
    card = ModelCard(runs.pushed["README.md"].decode())
    assert card.data.pipeline_tag == "multimodal-entity-linking" and "org/x" in card.text and MARK in card.text
    assert "4 steps" in card.text


def test_resumed_from_the_hub_it_is_the_uninterrupted_run(runs, tmp_path):
    whole = make_trainer(tmp_path, tiny_linker(False, freeze_text=True), **OPTIONS)
    whole.train()
    commit, message, best, left = runs.second.answer["second"]
    assert best == whole.state.best_global_step == 2, "the best weights are not those of the pushed checkpoint"
    assert_equal(weights(whole), torch.load(runs.folder / "weights.pt"))

    files = runs.hub.files("org/x")
    assert_equal(dict(whole.model.state_dict()), load(files["model.safetensors"]))
    last = runs.hub.repo("org/x").at()
    assert (last.sha, last.title) == (commit, "Done") and message == "Done"
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "mit" and "mine" in card.data.tags and "6 steps" in card.text
    assert {"checkpoint-2", "checkpoint-6", "feature_cache"} <= set(left)
    assert not [name for name in files if name.endswith(".bin") or "feature_cache" in name]
    assert {"checkpoint-2", "checkpoint-4"} <= set(left), "fetched into the output folder, as if the run had been here"


def test_of_two_processes_one_pushes_and_both_go_on(runs):
    assert runs.first.answer[1] == [0, 0], runs.first.stderr
    first, second = (json.loads((runs.folder / f"answer-{rank}.json").read_text()) for rank in range(2))
    commits = [commit.title for commit in runs.hub.repo("org/two").history("main")]
    assert commits == ["End of training", "Training in progress, step 2", "initial commit"]
    assert first[:2] == ["org/two", runs.hub.repo("org/two").at().sha] and second[:2] == [None, None]
    assert first[2:] == second[2:] and first[2] == 3
    assert {"last-checkpoint/rng_state_0.pth", "last-checkpoint/rng_state_1.pth"} <= runs.hub.files("org/two").keys()


def test_a_token_that_may_not_write_is_refused_at_the_start(runs):
    for name in ("card", "none"):  # one that is there, and one that is not
        error = runs.second.answer[f"read {name}"]
        assert error.startswith(f"OSError: cannot push to org/{name}") and "write access to 'org'" in error


def test_all_checkpoints_in_a_branch(runs):
    assert runs.second.answer["all"] == [3, 2], "it went on after the second step"
    files = runs.hub.files("org/all", revision="runs")
    assert {name.split("/")[0] for name in files if "optimizer" in name} == {"checkpoint-1", "checkpoint-2"}
    assert not runs.hub.files("org/all"), "nothing on `main`"


def test_what_cannot_be_resumed(runs):
    answer = runs.second.answer
    assert "no folder last-checkpoint/ (at main)" in answer["main"] and 'hub_strategy="checkpoint"' in answer["main"]
    assert "org/nowhere is no folder here" in answer["nowhere"] and "finds no such place" in answer["nowhere"]
    assert answer["no folder"].startswith("FileNotFoundError: cannot resume from ./nowhere: there is no such folder")
    assert answer["part"].startswith("ValueError: the checkpoint in org/part") and "optimizer*" in answer["part"]


def test_a_card_on_the_hub_is_kept(runs):
    assert runs.second.answer["before"].encode() == CARD == runs.hub.files("org/card")["README.md"]
    assert "org/card has a card that was written by hand: it is kept" in runs.second.stderr
    titles = [commit.title for commit in runs.hub.repo("org/card").history("main")]
    assert titles[0] == runs.second.answer["later"] == "End of training" and "config.json" in runs.hub.files(
        "org/card"
    )


def test_a_hub_that_is_down_does_not_stop_the_training(runs):
    assert runs.second.answer["trained"] == 2 and runs.second.answer["waiting"] == ["checkpoint-2"]
    assert "checkpoint-2 IS NOT ON THE HUB" in runs.second.stderr
    assert runs.second.answer["pushed"].startswith(
        "OSError: org/down was not published: the Hub has a fault of its own"
    )
    assert len(runs.hub.repo("org/down").commits) == 1 and not runs.hub.files("org/down"), "no half repository"


def test_the_command_pushes_with_results_and_goes_on(runs):
    assert runs.second.answer["cli"] == [0, 0], runs.second.stderr
    titles = [commit.title for commit in runs.hub.repo("org/cli").history("main")]
    assert titles[0] == "End of training" and titles[-1] == "initial commit" and "Model save" not in titles
    files = runs.hub.files("org/cli")
    assert {"recipe.yaml", "eval_results.json", "last-checkpoint/optimizer.pt"} <= files.keys()
    assert "## Results" in files["README.md"].decode()
    assert "published: " in runs.second.stdout and "/org/cli/commit/" in runs.second.stdout
    last, logged = runs.second.answer["cli steps"]
    assert last == 9 and logged[0] == 3 and 6 in logged, "two of three epochs are those that were pushed"
