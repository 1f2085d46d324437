"""Batches, and entities that are read with them: by whom makes no difference."""

import numpy as np
import pytest
import torch

from hf_mel.encoding import EntityInputs, MentionInputs
from hf_mel.training.collator import GoldInputs, MELCollator
from tests.training.common import assert_equal, make_trainer, tiny_data, tiny_linker, tiny_processor, weights


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


def collator() -> MELCollator:
    data, processor = tiny_data(), tiny_processor()
    golds = np.array([7, 3, 7, 5] + [0] * 30)
    return MELCollator(MentionInputs(data.mentions["train"], processor), golds, EntityInputs(data.entities, processor))


def test_gold_entities_come_with_their_mentions(reads):
    maker = collator()
    batch, entities = maker([2, 0, 1]), maker.entity_inputs
    assert batch["mentions"].tolist() == [2, 0, 1] and batch["gold_rows"].tolist() == [7, 7, 3] and reads == [[3, 7]]
    inputs = GoldInputs(entities, batch)
    assert batch["gold_inputs"]["rows"].tolist() == [3, 7]
    given = inputs(np.array([3, 7]))
    assert len(reads) == 1
    assert_equal(given, entities([3, 7]))
    for rows in ([7, 3], [3], [3, 5, 7]):  # what did not come with the batch is read
        reads.clear()
        assert_equal(dict(inputs(np.array(rows))), entities(rows))
        assert reads == [rows, rows]
    assert len(inputs) == 20 and np.array_equal(inputs.lengths(), entities.lengths())


def test_a_batch_without_them_reads_them_in_its_step(reads):
    maker = collator()
    maker.entity_inputs, entities = None, maker.entity_inputs
    batch = maker([0, 1])
    assert "gold_inputs" not in batch and not reads
    GoldInputs(entities, batch)(np.array([3, 7]))
    assert reads == [[3, 7]]


def test_a_part_of_a_batch_has_its_own(reads):
    """As `dispatch_batches` of accelerate cuts them: every tensor alike."""
    maker = collator()
    batch = maker([0, 1, 2, 3])  # gold entities 7, 3, 7, 5
    part = {"gold_inputs": {name: value[:2] for name, value in batch["gold_inputs"].items()}}
    inputs = GoldInputs(maker.entity_inputs, part)
    expected = maker.entity_inputs([3, 7])
    reads.clear()
    assert_equal(dict(inputs(np.array([3, 7]))), expected)
    assert reads == [[3, 7]], "the part holds the entities 3 and 5"


@pytest.mark.parametrize("accumulation", [1, 2])
def test_workers_read_the_gold_entities_and_change_nothing(accumulation, reads, tmp_path):
    states, logs = [], []
    for workers in (0, 2):
        reads.clear()
        options = {"negatives": "in_batch", "contrast_weight": 1.0, "gradient_accumulation_steps": accumulation}
        trainer = make_trainer(tmp_path / str(workers), dataloader_num_workers=workers, **options)
        torch.manual_seed(0)
        trainer.train()
        assert bool(reads) is (workers == 0), "a step, or an evaluation, waited for pictures"
        metrics = trainer.evaluate()
        assert bool(reads) is (workers == 0)
        states.append(weights(trainer))
        logs.append({name: value for name, value in metrics.items() if name in ("eval_mrr", "eval_mr")})
    assert_equal(*states)
    assert logs[0] == logs[1] and len(logs[0]) == 2


def test_workers_read_the_knowledge_base_of_a_refresh(reads, tmp_path):
    states, counts = [], []
    for workers in (0, 2):
        reads.clear()
        trainer = make_trainer(tmp_path / str(workers), dataloader_num_workers=workers, negatives="topk", max_steps=3)
        torch.manual_seed(0)
        trainer.train()
        states.append(weights(trainer))
        counts.append(sum(len(rows) for rows in reads))
    assert counts[1] > 0, "who is picked is known in the step alone"
    assert counts[0] - counts[1] == len(tiny_data().entities)  # of the one refresh
    assert_equal(*states)


def test_workers_read_for_frozen_towers(reads, tmp_path):
    model = tiny_linker(freeze_text=True, freeze_vision=True)
    trainer = make_trainer(tmp_path, model, dataloader_num_workers=2, negatives="topk", max_steps=1)
    trainer.train()
    assert trainer.evaluate()["eval_mrr"] > 0 and not reads
