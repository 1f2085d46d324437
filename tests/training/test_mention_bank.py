"""The mentions that MELOV stores: filled when it is evaluated and saved, and resumed."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from hf_mel.encoding import MentionInputs, fill_mention_bank

from .common import assert_equal, tiny_data, tiny_processor, weights
from .mention_bank_common import bank, melov, melov_trainer


def test_the_first_mentions_of_an_order_by_seed():
    model = melov()
    inputs = MentionInputs(tiny_data().mentions["train"], tiny_processor())
    fill_mention_bank(model.train(), lambda: inputs, seed=3, batch_size=5)
    assert model.training
    rows = np.random.default_rng(3).permutation(len(inputs))[:12]
    with torch.no_grad():
        read = model.eval().reader(model.tower_features(inputs(rows)))
    count = int(model.optimiser.graph.bank_count)
    assert 0 < count == read.has_image.sum()
    torch.testing.assert_close(model.optimiser.graph.bank_text[:count], read.text[read.has_image])
    filled = bank(model)
    fill_mention_bank(model, lambda: inputs, seed=4, batch_size=5)
    assert not torch.equal(filled["bank_text"], model.optimiser.graph.bank_text)


def test_a_model_without_a_bank_asks_for_nothing():
    def asked():
        raise AssertionError("nothing is needed")

    for fields in ({"use_aggregation": False}, {"bank_size": 0}):
        fill_mention_bank(melov(**fields), asked, seed=0)


@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_saved_scores_as_what_was_evaluated(frozen, tmp_path):
    run = melov_trainer(tmp_path, melov(freeze_text=frozen, freeze_vision=frozen), max_steps=3)
    run.train()
    trained = bank(run.model)
    assert trained["bank_count"] > 0
    metrics = run.evaluate()
    assert_equal(trained, bank(run.model))
    run.save_model()
    loaded = AutoModel.from_pretrained(tmp_path)
    assert_equal(trained, bank(loaded))
    assert melov_trainer(tmp_path, loaded).evaluate()["eval_mrr"] == metrics["eval_mrr"]


def test_the_generator_learns(tmp_path):
    run = melov_trainer(tmp_path, melov(generation_weight=1.0), max_steps=20, learning_rate=3e-3)
    run.train()
    losses = [log["generation_loss"] for log in run.state.log_history if "generation_loss" in log]
    assert len(losses) == 20 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


@pytest.mark.parametrize("options", [{}, {"negatives": "topk", "refresh_steps": 2}], ids=["in_batch", "topk"])
def test_resume_is_the_uninterrupted_run(options, tmp_path):
    """Also where the negatives come from an index, for which the mentions are encoded beside the bank."""
    options = {"max_steps": 5, **options}
    whole = melov_trainer(tmp_path / "whole", save_strategy="steps", save_steps=2, **options)
    whole.train()
    for step in (2, 4):
        resumed = melov_trainer(tmp_path / f"resumed-{step}", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert_equal(weights(whole), weights(resumed))


def test_mini_batches_are_the_large_batch_without_graph(tmp_path):
    """With a graph over the batch a mini-batch is another one than the large batch, and is refused."""
    with pytest.raises(ValueError, match="mini_batch_size.*MELOV"):
        melov_trainer(tmp_path, melov(), mini_batch_size=4)
    options = {"max_steps": 1, "optim": "sgd", "learning_rate": 1e-3, "contrast_temperature": 1.0}
    found = []
    for size in (8, 4):
        model = melov(sample_latents=False, use_aggregation=False, generation_weight=0.1)
        run = melov_trainer(
            tmp_path / str(size),
            model,
            mini_batch_size=size,
            max_grad_norm=0.0,
            **options,
        )
        run.train()
        found.append(weights(run))
    assert len(found[0]) > 80 and any("units." in name for name in found[0])
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-6, msg=name)
