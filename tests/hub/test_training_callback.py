"""Checkpoints on their way to the Hub. A training that pushes to a server is in `tests/hub/test_training.py`."""

import json
import shutil
from pathlib import Path
from threading import Event

import pytest
from huggingface_hub.utils import httpx
from transformers import TrainerControl, TrainerState, TrainingArguments

from hf_mel.checkpoint import SAMPLER_FILE
from hf_mel.hub import publish, training_callback
from hf_mel.hub.training_callback import HubCallback
from tests.training.common import tiny_linker


class Received:
    """Takes the place of `publish`, and checks what it gets as `publish` does."""

    def __init__(self):
        self.open, self.begun, self.failures, self.error, self.pushes = Event(), Event(), 0, None, []
        self.open.set()

    def __call__(self, folder, repo_id, *, folders, message, **where):
        error = self.error
        self.begun.set()
        assert self.open.wait(10)
        if error is not None:
            raise error
        if self.failures:
            self.failures -= 1
            raise OSError(f"{repo_id} is down.")
        checked = publish(folder, repo_id, folders=folders, dry_run=True)
        places = {"": folder, **{f"{name}/": place for name, place in folders.items()}}
        content = {}
        for file in checked.files:
            prefix = next(each for each in sorted(places, reverse=True) if file.path.startswith(each))
            content[file.path] = (places[prefix] / file.path.removeprefix(prefix)).read_bytes().decode(errors="ignore")
        self.pushes.append((message, content))

    @property
    def messages(self) -> list[str]:
        return [message.removeprefix("Training in progress, ") for message, _ in self.pushes]


@pytest.fixture
def received(monkeypatch):
    received = Received()
    monkeypatch.setattr(training_callback, "publish", received)
    return received


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_linker(False).save_pretrained(folder := tmp_path_factory.mktemp("model")) or folder


@pytest.fixture
def run(tmp_path, model):
    return Run(tmp_path / "run", model)


class Run:
    """The output folder of a run, and the events of its Trainer."""

    def __init__(self, folder: Path, model: Path):
        self.folder, self.model = folder, model

    def start(self, strategy: str = "checkpoint", **options) -> HubCallback:
        options = {"push_to_hub": True, "hub_strategy": strategy, "report_to": "none", "use_cpu": True} | options
        self.args = TrainingArguments(str(self.folder), **options)
        self.callback = HubCallback(self.args)
        self.callback.repo_id = "org/x"
        return self.callback

    def write(self, step: int) -> Path:
        """A checkpoint as the Trainer writes it."""
        checkpoint = self.folder / f"checkpoint-{step}"
        shutil.copytree(self.model, checkpoint)
        for name in ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state_1.pth", SAMPLER_FILE, "notes.txt"):
            (checkpoint / name).write_text(f"{name} {step}")
        state = {"global_step": step, "best_model_checkpoint": str(self.folder / "checkpoint-1"), "epoch": step / 2}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
        return checkpoint

    def save(self, step: int, best: Path | None = None, first_process: bool = True) -> None:
        self.write(step)
        state = TrainerState(global_step=step, epoch=step / 2, is_world_process_zero=first_process)
        state.best_model_checkpoint = None if best is None else str(best)
        self.callback.on_save(self.args, state, TrainerControl())

    def end(self) -> None:
        self.callback.on_train_end(self.args, TrainerState(), TrainerControl())


def left_behind(folder: Path) -> list[Path]:
    return [path for path in (folder / ".cache").rglob("*") if path.is_file()]


# ---- What is pushed ----


def test_a_pushed_checkpoint(received, run):
    """It is pushed whole although the Trainer deletes the checkpoint meanwhile."""
    run.start(load_best_model_at_end=True, save_strategy="steps", eval_strategy="steps")
    best = run.write(1)
    (run.folder / "recipe.yaml").write_text("data: {benchmark: emojimel}")
    (run.folder / "model.safetensors").write_text("older")
    received.open.clear()
    run.save(2, best)
    shutil.rmtree(best), shutil.rmtree(run.folder / "checkpoint-2")
    received.open.set()
    run.end()
    [(message, files)] = received.pushes
    assert message == "Training in progress, step 2"
    model = {name: content for name, content in files.items() if not name.startswith("last-checkpoint/")}
    code = {path.name for path in run.model.iterdir()}
    assert model.keys() == code | {"README.md", "recipe.yaml", "trainer_state.json", "notes.txt"}
    assert "org/x" in model["README.md"] and "2 steps" in model["README.md"]
    assert model["notes.txt"] == "notes.txt 2" and model["model.safetensors"] != "older"
    state = {name.removeprefix("last-checkpoint/"): files[name] for name in files.keys() - model.keys()}
    for name in ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state_1.pth", SAMPLER_FILE):
        assert state[name] == f"{name} 2"
    assert {"trainer_state.json", "config.json", "model.safetensors"} <= state.keys()
    in_best = {name.removeprefix("best/") for name in state if name.startswith("best/")}
    assert in_best == code | {"notes.txt"} and state["best/notes.txt"] == "notes.txt 1"
    assert not left_behind(run.folder)


def test_every_save_pushes_the_model_alone(received, run):
    run.start("every_save", load_best_model_at_end=True, save_strategy="steps", eval_strategy="steps")
    best = run.write(1)
    received.open.clear()
    run.save(2, best)
    [staged] = run.callback.unsent
    assert {"optimizer.pt", "best"}.isdisjoint(path.name for path in staged.iterdir()), "they may be large"
    received.open.set()
    run.end()
    [(_, files)] = received.pushes
    assert "model.safetensors" in files and not [name for name in files if "/" in name or Path(name).match("*.p*t*")]
    assert SAMPLER_FILE not in files


def test_a_best_checkpoint_that_is_the_pushed_one_is_not_pushed_twice(received, run):
    run.start(load_best_model_at_end=True, save_strategy="steps", eval_strategy="steps")
    run.save(1, run.folder / "checkpoint-1")
    run.end()
    assert not [name for name in received.pushes[0][1] if "best/" in name]


def test_a_best_checkpoint_that_was_moved_away_does_not_stop_the_training(received, run):
    run.start(load_best_model_at_end=True, save_strategy="steps", eval_strategy="steps")
    run.save(2, run.folder / "checkpoint-1")
    run.end()
    assert received.messages == ["step 2"]


@pytest.mark.parametrize(
    "options",
    [{"push_to_hub": False}, {"hub_strategy": "end"}, {"first_process": False}],
    ids=lambda options: next(iter(options)),
)
def test_nothing_is_pushed(options, received, run):
    process = {"first_process": options.pop("first_process")} if "first_process" in options else {}
    run.start(**options)
    run.save(1, **process)
    run.end()
    assert not received.pushes and not left_behind(run.folder)


def test_the_message_names_the_epoch_where_epochs_are_saved(received, run):
    run.start(save_strategy="epoch")
    run.save(4)
    run.end()
    assert received.messages == ["epoch 2"]


def test_a_card_written_by_hand_is_pushed(received, run):
    run.start()
    run.folder.mkdir()
    (run.folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    run.save(1)
    run.end()
    assert received.pushes[0][1]["README.md"] == (run.folder / "README.md").read_text() and run.folder.exists()


def test_a_file_that_is_in_the_checkpoint_already_is_not_replaced(received, run):
    """A callback of the user may write one. Through a link it would be written into the checkpoint, too."""
    run.start()
    run.folder.mkdir()
    (run.folder / "recipe.yaml").write_text("data: {benchmark: emojimel}")
    write = run.write

    def write_with_recipe(step):
        (write(step) / "recipe.yaml").write_text("data: {benchmark: wikimel}")

    run.write = write_with_recipe
    run.save(1)
    run.end()
    assert "wikimel" in received.pushes[0][1]["recipe.yaml"]
    assert "wikimel" in (run.folder / "checkpoint-1" / "recipe.yaml").read_text()


# ---- When it is pushed ----


def test_of_the_saves_during_a_push_the_newest_is_pushed_after_it(received, run):
    callback = run.start()
    received.open.clear()
    run.save(1)
    assert received.begun.wait(10)
    for step in (2, 3):
        run.save(step)
    assert [folder.name for folder in callback.unsent] == ["checkpoint-1", "checkpoint-3"]
    assert len(list((run.folder / ".cache/hf_mel/outbox").iterdir())) == 2, "no more of the disk is used"
    received.open.set()
    callback.wait()
    assert received.messages == ["step 1", "step 3"] and not callback.unsent


def test_with_always_push_each_save_is_pushed_in_its_order(received, run):
    run.start(hub_always_push=True)
    received.open.clear()
    received.failures = 1
    for step in (1, 2, 3):
        run.save(step)
    received.open.set()
    run.end()
    assert received.messages == ["step 2", "step 3"], "none after a newer one"


def test_a_failed_push_is_logged_and_the_next_save_replaces_it(received, run, caplog):
    callback = run.start()
    received.failures = 1
    run.save(1)
    callback.wait()
    assert "checkpoint-1 was not pushed to org/x: org/x is down. The training continues" in caplog.text
    run.save(2)
    run.end()
    assert received.messages == ["step 2"] and not callback.unsent
    assert "NOT ON THE HUB" not in caplog.text


def test_a_hub_that_is_down_does_not_fill_the_disk(received, run):
    for always in (False, True):
        callback = run.start(hub_always_push=always)
        received.failures = 99
        for step in range(1 + 4 * always, 5 + 4 * always):
            run.save(step)
            callback.wait()
            assert [folder.name for folder in callback.unsent] == [f"checkpoint-{step}"]
            assert len(list((run.folder / ".cache/hf_mel/outbox").iterdir())) == 1
        received.failures = 0
        run.end()
    assert received.messages == ["step 4", "step 8"]


@pytest.mark.parametrize("always", [False, True])
def test_all_checkpoints_are_pushed_late_if_a_push_fails(always, received, run):
    """Also those whose push failed while later ones were waiting; never an older model over a newer one."""
    callback = run.start("all_checkpoints", hub_always_push=always)
    if always:
        received.open.clear()
    received.failures = 2
    for step in (1, 2, 3):
        run.save(step)
        if not always:
            callback.wait()
    received.open.set()
    run.end()
    [(message, files)] = received.pushes
    assert message.endswith("step 3") and files["notes.txt"] == "notes.txt 3"
    optimizers = {name: content for name, content in files.items() if name.endswith("optimizer.pt")}
    assert optimizers == {f"checkpoint-{step}/optimizer.pt": f"optimizer.pt {step}" for step in (1, 2, 3)}


def test_all_checkpoints_are_pushed_once(received, run):
    run.start("all_checkpoints", hub_always_push=True)
    received.open.clear()
    for step in (1, 2):
        run.save(step)
    received.open.set()
    run.end()
    folders = [
        {name.split("/")[0] for name in files if name.startswith("checkpoint-")} for _, files in received.pushes
    ]
    assert folders == [{"checkpoint-1"}, {"checkpoint-2"}]


def test_the_end_tries_again_and_logs_an_error_if_that_fails(received, run, caplog):
    callback = run.start()
    received.open.clear()
    received.failures = 3  # of step 1, of step 2 after it, and of step 2 in the end
    run.save(1)
    assert received.begun.wait(10)
    run.save(2)
    received.open.set()
    run.end()
    assert [folder.name for folder in callback.unsent] == ["checkpoint-2"] and received.failures == 0
    loud = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(loud) == 1 and "checkpoint-2 IS NOT ON THE HUB" in loud[0].message
    callback.finish()
    assert received.messages == ["step 2"] and not left_behind(run.folder)


def test_a_second_training_in_the_same_process_starts_at_the_first_step_again(received, run):
    run.start()
    run.save(4)
    run.end()
    received.failures = 1
    run.save(2)
    run.end()
    assert received.messages == ["step 4", "step 2"]


@pytest.mark.parametrize("fault", ["encoding", "metadata", "repository", "connection", "upload"])
def test_an_expected_error_is_logged_and_does_not_stop_the_training(fault, received, run, caplog):
    callback = run.start()
    cards = {"encoding": b"\xff", "metadata": b"---\ntags: [\n---\n# Mine\n"}
    errors = {"connection": httpx.ConnectError("refused"), "upload": RuntimeError("the upload of a file failed")}
    if fault in cards:
        run.folder.mkdir()
        (run.folder / "README.md").write_bytes(cards[fault])
    elif fault == "repository":
        callback.repo_id = "no/such/name"
    else:
        received.error = errors[fault]
    run.save(1)
    run.end()
    assert "checkpoint-1 was not pushed" in caplog.text and "NOT ON THE HUB" in caplog.text
    assert not received.pushes


@pytest.mark.parametrize("error", [TypeError, AttributeError, KeyError, AssertionError])
def test_a_programming_error_is_raised_at_the_end_of_the_training(error, received, run, caplog):
    """Not in the middle of it, and also where a later push succeeds."""
    callback = run.start()
    received.error = error("a bug")
    run.save(1)
    assert received.begun.wait(10)
    received.error = None
    run.save(2)
    with pytest.raises(error, match="a bug"):
        run.end()
    assert "was not pushed" not in caplog.text
    run.end()
    assert received.messages == ["step 2"] and not callback.unsent, "it is raised once"


def test_a_full_disk_does_not_stop_the_training(received, run, caplog, monkeypatch):
    callback = run.start()

    def no_space(*paths):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.link", no_space)
        full.setattr("shutil.copy2", no_space)
        run.save(1)
    assert "checkpoint-1 is not pushed" in caplog.text and "No space left" in caplog.text
    assert not callback.unsent and not left_behind(run.folder)
    run.save(2)
    run.end()
    assert received.messages == ["step 2"]


# ---- The outbox ----


def test_what_a_killed_run_left_in_the_outbox_is_deleted(received, run, monkeypatch):
    monkeypatch.setattr(training_callback, "open_repository", lambda args, token, private: "org/x")
    received.failures = 9
    killed = run.start()
    run.save(1)
    killed.wait()
    assert left_behind(run.folder)
    run.start().open_repository()
    assert not left_behind(run.folder)


@pytest.mark.parametrize("works", [True, False], ids=["links", "copies"])
def test_the_outbox_has_links_or_copies(works, received, run, monkeypatch):
    if not works:
        monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(PermissionError("no links here")))
    callback = run.start()
    received.open.clear()
    run.save(1)
    [staged] = callback.unsent
    checkpoint = run.folder / "checkpoint-1"
    assert (checkpoint / "config.json").samefile(staged / "config.json") == works
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    received.open.set()
    run.end()
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before, "links are not written into"
