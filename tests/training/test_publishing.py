"""What of a run goes to the Hub, and when; the Hub itself is in `tests/hub/test_training.py`."""

import json
import shutil
from pathlib import Path
from threading import Event

import pytest
from transformers import TrainerControl, TrainerState

from hf_mel.hub import publish
from hf_mel.hub.cards import LICENSE, MARK, update_model_card
from hf_mel.recipes import recipe_from_dict
from hf_mel.training import pushes as pushes_module
from hf_mel.training.checkpoints import SAMPLER_FILE
from hf_mel.training.pushes import CheckpointPushes, link_files, write_portable_state
from hf_mel.training.resuming import BestCheckpoint, _restore_best, local_checkpoint

from .common import make_trainer, tiny_linker


class Hub:
    """Takes the place of `publish`."""

    def __init__(self):
        self.open, self.failures, self.received = Event(), 0, []
        self.open.set()

    def __call__(self, folder, repo_id, *, folders, message, **where):
        assert self.open.wait(10)
        if self.failures:
            self.failures -= 1
            raise OSError(f"{repo_id} is down.")
        sent = {name: text_of(place) for name, place in folders.items()}
        self.received.append((message, text_of(folder), sent))


def text_of(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(pushes_module, "publish", hub)
    return hub


def make_pushes(folder, keep_all=False, always=False) -> CheckpointPushes:
    return CheckpointPushes(folder, "org/x", lambda model: (model / "README.md").write_text("card"), keep_all, always)


def make_checkpoint(folder, step) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "generator").mkdir(parents=True)
    for name in ("config.json", "generator/config.json", "optimizer.pt", "rng_state_1.pth", SAMPLER_FILE):
        (checkpoint / name).write_text(f"{name} {step}")
    state = {"global_step": step, "best_model_checkpoint": str(folder / "checkpoint-1"), "best_global_step": 1}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return checkpoint


def add(pushes, folder, step, name="last-checkpoint", best=None) -> None:
    pushes.add(make_checkpoint(folder, step), step, f"step {step}", name, best)


# ---- Checkpoints on their way ----


def test_what_is_sent(hub, tmp_path):
    (tmp_path / "recipe.yaml").write_text("data: {}")
    (tmp_path / "model.safetensors").write_text("older")
    best = make_checkpoint(tmp_path, 1)
    pushes = make_pushes(tmp_path)
    hub.open.clear()
    add(pushes, tmp_path, 2, best=best)
    shutil.rmtree(best), shutil.rmtree(tmp_path / "checkpoint-2")  # `save_total_limit`
    hub.open.set()
    pushes.finish()
    [(message, model, folders)] = hub.received
    state = model.pop("trainer_state.json")
    assert str(tmp_path) not in state and json.loads(state)["best_global_step"] == 1
    generator = {"generator/config.json": "generator/config.json 2"}
    assert model == {"config.json": "config.json 2", "README.md": "card", "recipe.yaml": "data: {}"} | generator
    run = folders.pop("last-checkpoint")
    assert not folders and run["trainer_state.json"] == state
    assert run["optimizer.pt"] == "optimizer.pt 2" and run[SAMPLER_FILE] == f"{SAMPLER_FILE} 2"
    assert run["rng_state_1.pth"] and run["generator/config.json"]
    assert run["best/config.json"] == "config.json 1" and "best/optimizer.pt" not in run
    assert not [path for path in (tmp_path / ".cache").rglob("*") if path.is_file()], "nothing is left behind"


def test_one_that_comes_while_another_is_sent_waits_and_the_newest_is_there_in_the_end(hub, tmp_path):
    pushes = make_pushes(tmp_path)
    hub.open.clear()
    for step in (1, 2, 3):
        add(pushes, tmp_path, step)
    assert len(pushes.unsent) == 2, "that which is being sent, and the newest: no more of the disk is used"
    hub.open.set()
    pushes.finish()
    assert [message for message, _, _ in hub.received] == ["step 1", "step 3"] and not pushes.unsent


def test_always_means_each_one_in_its_order(hub, tmp_path):
    pushes = make_pushes(tmp_path, always=True)
    hub.open.clear()
    hub.failures = 1
    for step in (1, 2, 3):
        add(pushes, tmp_path, step)
    hub.open.set()
    pushes.finish()
    assert [message for message, _, _ in hub.received] == ["step 2", "step 3"], "none after a newer one"


def test_what_failed_goes_with_the_next(hub, tmp_path, caplog):
    pushes = make_pushes(tmp_path)
    hub.failures = 1
    add(pushes, tmp_path, 1)
    pushes.wait()
    assert "the checkpoint of step 1 was not pushed to org/x: org/x is down. The training goes on" in caplog.text
    add(pushes, tmp_path, 2)
    pushes.finish()
    assert [message for message, _, _ in hub.received] == ["step 2"] and not pushes.unsent
    assert "NOT ON THE HUB" not in caplog.text


def test_all_checkpoints_are_sent_late_if_need_be(hub, tmp_path):
    pushes = make_pushes(tmp_path, keep_all=True)
    hub.failures = 2
    for step in (1, 2, 3):
        add(pushes, tmp_path, step, f"checkpoint-{step}")
        pushes.wait()
    [(message, model, folders)] = hub.received
    assert message == "step 3" and model["config.json"] == "config.json 3"
    assert {name: run["config.json"] for name, run in folders.items()} == {
        f"checkpoint-{step}": f"config.json {step}" for step in (1, 2, 3)
    }


def test_the_end_tries_again_and_says_loudly_what_failed(hub, tmp_path, caplog):
    pushes = make_pushes(tmp_path)
    hub.open.clear()
    hub.failures = 2
    for step in (1, 2):  # the second comes while the first is under way
        add(pushes, tmp_path, step)
    hub.open.set()
    pushes.finish()
    assert [parcel.step for parcel in pushes.unsent] == [2] and hub.failures == 0
    loud = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(loud) == 1 and "THE CHECKPOINT OF STEP 2 IS NOT ON THE HUB" in loud[0].message
    pushes.finish()
    assert [message for message, _, _ in hub.received] == ["step 2"]


def test_a_killed_run_leaves_no_links_to_the_next(hub, tmp_path):
    hub.failures = 9
    killed = make_pushes(tmp_path)
    add(killed, tmp_path, 1)
    killed.wait()
    assert make_pushes(tmp_path).unsent == [] and not (tmp_path / ".cache/hf_mel/pushes").exists()


@pytest.mark.parametrize("works", [True, False], ids=["links", "no links"])
def test_links_or_copies(works, tmp_path, monkeypatch):
    source, target = make_checkpoint(tmp_path, 1), tmp_path / "there"
    if not works:
        monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(PermissionError("no links here")))
    link_files(source, target, leave_out=("trainer_state.json",))
    assert text_of(target) == {n: text for n, text in text_of(source).items() if n != "trainer_state.json"}
    assert (source / "config.json").samefile(target / "config.json") == works
    if works:
        with pytest.raises(FileExistsError):
            link_files(source, target)


def test_a_state_is_made_portable_without_touching_what_it_is_linked_to(tmp_path):
    state = make_checkpoint(tmp_path, 1) / "trainer_state.json"
    before = state.read_text()
    (tmp_path / "linked.json").hardlink_to(state)
    write_portable_state(state, tmp_path / "linked.json")
    assert state.read_text() == before and str(tmp_path) not in (tmp_path / "linked.json").read_text()


# ---- Going on ----


def test_a_folder_is_taken_as_it_is_and_no_other_name_is(tmp_path):
    args = make_trainer(tmp_path, vision=False).args
    assert local_checkpoint(tmp_path, args) == tmp_path
    for name in (tmp_path / "none", "./none", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            local_checkpoint(name, args)


def test_the_best_weights_do_not_replace_those_of_another_run(tmp_path):
    fetched, output = make_checkpoint(tmp_path / "hub", 4), tmp_path / "output"
    (fetched / "best").mkdir()
    (fetched / "best" / "model.safetensors").write_text("best")
    output.mkdir()
    for _ in range(2):  # the second time it is there, and the same
        _restore_best(fetched, output)
        assert text_of(output) == {"checkpoint-1/model.safetensors": "best"}
    (output / "checkpoint-1" / "model.safetensors").write_text("other")
    with pytest.raises(ValueError, match="choose another `output_dir`"):
        _restore_best(fetched, output)


def test_best_weights_that_are_nowhere_are_told_at_the_start(tmp_path, caplog):
    args = make_trainer(tmp_path, vision=False).args
    args.load_best_model_at_end = True
    state = TrainerState(best_global_step=3)
    BestCheckpoint().on_train_begin(args, state, TrainerControl())
    assert "those of step 3, are not in" in caplog.text and state.best_model_checkpoint is None
    (tmp_path / "checkpoint-3").mkdir()
    BestCheckpoint().on_train_begin(args, state, TrainerControl())
    assert state.best_model_checkpoint == str(tmp_path / "checkpoint-3")


# ---- The card and the folder ----


def test_what_a_finished_run_would_publish(tmp_path):
    """`hf-mel push model` and `push_to_hub` send the same, and nothing that the run only needs itself."""
    trainer = make_trainer(
        tmp_path,
        tiny_linker(False, freeze_text=True),
        vision=False,
        max_steps=2,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
    )
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    trainer.create_model_card(dataset="miniature", license="mit", finetuned_from="org/base", tags="mine")
    assert {"checkpoint-1", "feature_cache"} <= {path.name for path in tmp_path.iterdir()}
    files = {file.path for file in publish(tmp_path, "org/x", dry_run=True).files}
    assert {"config.json", "model.safetensors", "generator/model.safetensors", "trainer_state.json"} <= files
    assert not [name for name in files if name.startswith(("checkpoint-", "feature_cache", ".cache")) or "bin" in name]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in ("license: mit", "- miniature", "org/base", "- mine", "2 steps", MARK):
        assert part in card, part


def test_a_card_that_somebody_wrote_is_kept(tmp_path):
    tiny_linker(False).save_pretrained(tmp_path)
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: cc0-1.0\n---\n", encoding="utf-8")  # as the Hub's website begins a repository
    update_model_card(tmp_path)
    assert "license: cc0-1.0" in card.read_text(encoding="utf-8")
    update_model_card(tmp_path, license="mit")
    assert "license: mit" in card.read_text(encoding="utf-8")
    update_model_card(tmp_path)
    assert f"license: {LICENSE}" in card.read_text(encoding="utf-8")
    mine = card.read_text(encoding="utf-8").replace(MARK, "I have read it.")
    card.write_text(mine, encoding="utf-8")
    update_model_card(tmp_path, license="mit")
    assert card.read_text(encoding="utf-8") == mine


def test_a_token_in_a_recipe_is_not_written_down(tmp_path):
    training = {"output_dir": "out", "hub_token": "hf_secret", "max_steps": 3}
    recipe = recipe_from_dict({"data": {"benchmark": "miniature"}, "training": training})
    assert recipe.training["hub_token"] == "hf_secret"
    text = recipe.save(tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert "max_steps: 3" in text and "hf_secret" not in text
