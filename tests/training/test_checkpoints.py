"""What a run leaves on disk, and what it goes on from."""

import json

import pytest
from transformers import AutoModel, AutoProcessor

from hf_mel import PGMELGenerator, PGMELModel
from hf_mel.checkpoint import ARGUMENTS_FILE, GENERATOR_FOLDER
from hf_mel.models.encodings import flatten
from hf_mel.training.run_state import SAMPLER_FILE

from .common import assert_equal, make_trainer, weights


# ---- Resume ----


STEPS = (2, 5, 7)  # the first epoch has five steps: within it, at its end, and within the second


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"negatives": "pg", "baseline": "ema"}, STEPS),
        ({"negatives": "pg", "refresh_steps": 2, "gradient_accumulation_steps": 2}, (2, 3, 7)),
        ({"negatives": "pg", "generator_type": "both", "baseline": "ema"}, STEPS),
        ({"negatives": "cache"}, STEPS),
        ({"negatives": "cache", "discriminator_warmup_epochs": 0.0, "dataloader_num_workers": 2}, (2, 5)),
        ({"negatives": "topk", "dataloader_num_workers": 2}, (5, 7)),
    ],
    ids=["pg", "accumulation", "both", "cache", "cache-workers", "workers"],
)
def test_resume_is_the_uninterrupted_run(options, steps, tmp_path):
    """Within and between epochs, bit for bit: models, optimizer, schedule, pools."""
    options = {"max_steps": 9, "discriminator_warmup_epochs": 0.5, "vision": False} | options
    whole = make_trainer(tmp_path / "whole", save_strategy="steps", save_steps=1, **options)
    whole.train()
    for step in steps:
        resumed = make_trainer(tmp_path / f"resumed-{step}", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert resumed.state.global_step == 9
        assert_equal(weights(whole), weights(resumed))
        assert_equal(*(flatten(each.sampler.state_dict()) for each in (whole, resumed)))


def test_resume_with_pictures_and_towers_in_training(tmp_path):
    whole = make_trainer(tmp_path / "whole", save_strategy="steps", save_steps=3, max_steps=5)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", max_steps=5)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert_equal(weights(whole), weights(resumed))


def test_a_checkpoint_without_its_negatives_is_refused(tmp_path):
    make_trainer(tmp_path, vision=False, save_strategy="steps", save_steps=2, max_steps=2).train()
    (tmp_path / "checkpoint-2" / SAMPLER_FILE).unlink()
    with pytest.raises(ValueError, match=SAMPLER_FILE):
        make_trainer(tmp_path, vision=False, max_steps=4).train(resume_from_checkpoint=True)


# ---- Saving and loading ----


def test_what_a_run_leaves(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.train()
    trainer.save_model()
    model = AutoModel.from_pretrained(tmp_path)
    assert type(model) is PGMELModel
    assert_equal(dict(trainer.model.state_dict()), dict(model.state_dict()))
    generator = PGMELGenerator.from_pretrained(tmp_path / GENERATOR_FOLDER)
    assert_equal(dict(trainer.generator.state_dict()), dict(generator.state_dict()))
    assert AutoProcessor.from_pretrained(tmp_path).text_views == "both"
    written = json.loads((tmp_path / ARGUMENTS_FILE).read_text())
    assert written["arguments"]["negatives"] == "pg" and "negatives" not in written["defaults"]
    assert written["arguments"]["max_steps"] == 2 and written["defaults"]["max_steps"] == -1
    for path in tmp_path.rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), f"{path.name} names a folder of this machine"
    assert not list(tmp_path.glob("**/*.bin"))  # nothing pickled beside a model


def test_the_best_model_is_loaded_at_the_end(tmp_path):
    trainer = make_trainer(
        tmp_path,
        vision=False,
        max_steps=6,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        learning_rate=0.05,
    )
    trainer.train()
    history = {log["step"]: log["eval_mrr"] for log in trainer.state.log_history if "eval_mrr" in log}
    best = max(history, key=history.get)
    assert len(history) == 3 and trainer.state.best_metric == history[best]
    saved = PGMELModel.from_pretrained(tmp_path / f"checkpoint-{best}")
    assert_equal(dict(saved.state_dict()), dict(trainer.model.state_dict()))
