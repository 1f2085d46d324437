"""The card of a run, and what of its folder goes to the Hub; the Hub itself is in `tests/hub/test_training.py`."""

import json

import pytest
from transformers import TrainerCallback

from hf_mel.checkpoint import SAMPLER_FILE
from hf_mel.hub import Publication, publish, training_callback
from hf_mel.hub.cards import LICENSE, MARK, update_model_card
from hf_mel.hub.paths import content_to_publish
from hf_mel.recipes import recipe_from_dict

from .common import make_trainer, tiny_linker


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
    assert str(tmp_path) in (tmp_path / "trainer_state.json").read_text(encoding="utf-8")
    state = json.loads(content_to_publish(tmp_path / "trainer_state.json"))
    assert state["best_global_step"] in (1, 2) and str(tmp_path) not in json.dumps(state)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in ("license: mit", "- miniature", "org/base", "- mine", "2 steps", MARK):
        assert part in card, part


def test_callbacks_learn_of_each_push(tmp_path, monkeypatch):
    """Some loggers write into the card when a push begins."""
    begun = []

    class Watch(TrainerCallback):
        def on_push_begin(self, args, state, control, **kwargs):
            begun.append(state.global_step)

    monkeypatch.setattr(training_callback, "open_repository", lambda args, token, private: "org/x")
    monkeypatch.setattr(training_callback, "publish", lambda *args, **where: Publication("org/x", "model", ()))
    saves = {"vision": False, "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    for strategy, steps in (("every_save", [1, 2, 2]), ("end", [2])):
        trainer = make_trainer(tmp_path / strategy, push_to_hub=True, hub_strategy=strategy, **saves)
        trainer.add_callback(Watch)
        trainer.train()
        trainer.push_to_hub()
        assert begun == steps and trainer.hub_model_id == "org/x"
        begun.clear()


@pytest.mark.parametrize("given", [True, False], ids=["by the call", "by the arguments"])
def test_what_push_to_hub_passes_on(given, tmp_path, monkeypatch):
    opened, published = [], []

    def open_repository(args, token, private):
        opened.append((token, private))
        return "org/x"

    def take(folder, repo_id, **where):
        published.append((folder, repo_id, where))
        return Publication(repo_id, "model", ())

    monkeypatch.setattr(training_callback, "open_repository", open_repository)
    monkeypatch.setattr(training_callback, "publish", take)
    trainer = make_trainer(tmp_path, vision=False, hub_token="hf_args", hub_revision="runs")
    options = {"commit_message": "Mine", "token": "hf_call", "revision": "other", "private": True} if given else {}
    trainer.push_to_hub(**options, license="mit")
    assert opened == [("hf_call", True) if given else ("hf_args", None)]
    told = {"message": "Mine", "token": "hf_call", "revision": "other"} if given else None
    default = {"message": "End of training", "token": "hf_args", "revision": "runs"}
    assert published == [(str(tmp_path), "org/x", told or default)]
    assert "license: mit" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_checkpoint_can_be_published_without_the_state_of_its_run(tmp_path):
    make_trainer(tmp_path, vision=False, max_steps=1, save_strategy="steps", save_steps=1).train()
    checkpoint = tmp_path / "checkpoint-1"
    update_model_card(checkpoint)
    files = {file.path for file in publish(checkpoint, "org/x", dry_run=True).files}
    left = {path.name for path in checkpoint.iterdir() if path.is_file()} - files
    assert left == {"optimizer.pt", "scheduler.pt", "rng_state.pth", SAMPLER_FILE}


def test_a_damaged_state_is_named(tmp_path):
    for text in ("{", "[1]"):
        (tmp_path / "trainer_state.json").write_text(text)
        with pytest.raises(ValueError, match="trainer_state.json must be a JSON object"):
            publish(tmp_path, "org/x", dry_run=True)


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
