"""Batches, and entities that are read with them: by whom makes no difference."""

import pytest
import torch

from hf_mel.encoding import EntityInputs
from hf_mel.training.collator import MELCollator
from tests.training.common import assert_equal, make_trainer, tiny_linker, weights


@pytest.fixture
def reads(monkeypatch) -> list[list[int]]:
    """The entities that were read in this process."""
    found: list[list[int]] = []
    original = EntityInputs.__call__

    def noted(self, rows):
        found.append([int(row) for row in rows])
        return original(self, rows)

    monkeypatch.setattr(EntityInputs, "__call__", noted)
    return found


def test_negatives_that_need_no_live_model_come_with_their_batch(reads, tmp_path):
    trainer = make_trainer(tmp_path, negatives="topk", uniform_share=0.0)
    trainer.sampler.prepare(progress=False)
    trainer.refresh()
    collator = MELCollator(trainer.sampler, trainer.inputs_of(trainer.train_mentions), trainer.inputs_of(None))
    assert set(collator([2, 0])) == {"mentions", "gold_rows", "inputs"}  # no epoch has begun
    collator.start_epoch(0)
    reads.clear()
    batch = collator([2, 0, 1])
    golds = trainer.train_mentions.gold_rows[[2, 0, 1]]
    assert batch["mentions"].tolist() == [2, 0, 1] and batch["gold_rows"].tolist() == golds.tolist()
    picked = batch["candidates"]["rows"].gather(1, batch["negatives"]["columns"])
    rows = sorted({*golds.tolist(), *picked.flatten().tolist()})
    assert reads == [rows] and len(batch["entities"]["input_ids"]) == len(rows)
    # The hardest of the pool by the index, never the gold entity.
    vectors = trainer.sampler.mention_vectors, trainer.sampler.entity_vectors
    for row, mention in enumerate([2, 0, 1]):
        pool, mask = batch["candidates"]["rows"][row], batch["candidates"]["mask"][row]
        scores = (vectors[0][mention] @ vectors[1][pool].T).masked_fill(~mask, -9)
        assert picked[row].tolist() == pool[scores.topk(3).indices].tolist()
        assert golds[row] not in picked[row]


@pytest.mark.parametrize(
    ("options", "epoch", "ahead"),
    [
        ({}, 0, True),
        ({"refresh_steps": 2}, 0, False),
        ({"discriminator_warmup_epochs": 0.5}, 0, False),
        ({"discriminator_warmup_epochs": 0.5}, 1, True),
        ({"discriminator_warmup_epochs": 1.0}, 0, True),
        ({"dataloader_num_workers": 1, "dataloader_persistent_workers": True}, 0, False),
    ],
)
def test_who_draws(options, epoch, ahead, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, negatives="random", **options)
    assert trainer.sampler.draws_ahead(epoch) is ahead


@pytest.mark.parametrize("negatives", ["in_batch", "random", "topk", "cache"])
def test_workers_open_the_pictures_and_change_nothing(negatives, reads, tmp_path):
    states, logs = [], []
    for workers in (0, 2):
        reads.clear()
        options = {"negatives": negatives, "max_steps": 7, "dataloader_num_workers": workers}
        trainer = make_trainer(tmp_path / str(workers), **options)
        torch.manual_seed(0)
        trainer.train()
        assert bool(reads) is (workers == 0), "a step, a refresh or an evaluation waited for pictures"
        metrics = trainer.evaluate()
        assert bool(reads) is (workers == 0)
        states.append(weights(trainer))
        logs.append({name: value for name, value in metrics.items() if name in ("eval_mrr", "eval_mr")})
    assert_equal(*states)
    assert logs[0] == logs[1] and len(logs[0]) == 2


@pytest.mark.parametrize("options", [{"negatives": "topk"}, {"negatives": "cache"}, {"negatives": "pg"}], ids=str)
def test_a_step_that_draws_draws_the_same(options, tmp_path, monkeypatch):
    """As with a refresh in the middle of an epoch, which data-loading workers could not see."""
    states = []
    for ahead in (True, False):
        trainer = make_trainer(tmp_path / str(ahead), vision=False, max_steps=7, **options)
        if not ahead:
            monkeypatch.setattr(type(trainer.sampler), "draws_ahead", lambda self, epoch: False)
        trainer.train()
        states.append(weights(trainer))
    assert_equal(*states)


def test_what_a_strategy_picks_in_the_step_is_read_there(reads, tmp_path):
    trainer = make_trainer(tmp_path, dataloader_num_workers=2, negatives="pg", max_steps=2)
    trainer.train()
    assert len(reads) == 2  # gold entities and samples of each step; workers read the knowledge base


def test_workers_read_for_frozen_towers(reads, tmp_path):
    model = tiny_linker(freeze_text=True, freeze_vision=True)
    trainer = make_trainer(tmp_path, model, dataloader_num_workers=2, negatives="topk", max_steps=1)
    trainer.train()
    assert trainer.evaluate()["eval_mrr"] > 0 and not reads
