"""Batches of mentions whose entities share attributes."""

import itertools

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from hf_mel.negatives import AttributeBatches

from .common import assert_equal, make_trainer, tiny_data, weights


def random_sets(count: int, seed: int = 0) -> list[frozenset[str]]:
    random = np.random.default_rng(seed)
    return [frozenset(random.choice(list("abcdefgh"), size=random.integers(0, 4)).tolist()) for _ in range(count)]


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def plain_batches(attributes, golds, batch_size, seed, epoch) -> list[list[int]]:
    """The formula by loops; the last batch may be short."""
    random = np.random.default_rng((seed, epoch))
    left, batches = random.permutation(len(golds)).tolist(), []
    while len(left) > batch_size:
        first, seen, keys = left[0], set(), []
        for position, mention in enumerate(left):
            again = golds[mention] in seen
            seen.add(golds[mention])
            keys.append((again, -jaccard(attributes[golds[first]], attributes[golds[mention]]), position))
        taken = [left[position] for _, _, position in sorted(keys)[:batch_size]]
        batches.append(taken)
        left = [mention for mention in left if mention not in taken]
    whole = batches + [left] * (len(left) == batch_size)
    return [whole[i] for i in random.permutation(len(whole))] + [left] * (len(left) < batch_size)


@pytest.mark.parametrize(("count", "batch_size"), [(40, 8), (37, 8), (5, 8), (8, 8), (9, 1)])
def test_by_loops(count, batch_size):
    attributes, golds = random_sets(12), np.random.default_rng(1).integers(0, 12, count)
    sampler = AttributeBatches(attributes, golds, batch_size, seed=3)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        expected = plain_batches(attributes, golds, batch_size, 3, epoch)
        assert list(sampler) == list(itertools.chain(*expected))
        assert sorted(sampler) == list(range(count)) and len(sampler) == count


def test_the_order_depends_on_seed_and_epoch_alone():
    attributes, golds = random_sets(20), np.arange(20)
    orders = []
    for seed, epoch in itertools.product(range(2), repeat=2):
        torch.manual_seed(len(orders))
        np.random.seed(len(orders))  # noqa: NPY002
        samplers = [AttributeBatches(attributes, golds, 4, seed) for _ in range(2)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        list(samplers[0])  # what was drawn before changes nothing
        assert list(samplers[0]) == list(samplers[1])
        orders.append(tuple(samplers[0]))
    assert len(set(orders)) == 4


def test_entities_of_a_batch_share_more_than_those_of_a_random_one():
    attributes, golds = random_sets(60), np.arange(60)

    def shared(order) -> float:
        blocks = [order[begin : begin + 6] for begin in range(0, 60, 6)]
        pairs = [pair for block in blocks for pair in itertools.combinations(block, 2)]
        return np.mean([jaccard(attributes[a], attributes[b]) for a, b in pairs])

    assert shared(list(AttributeBatches(attributes, golds, 6))) > 1.5 * shared(list(range(60)))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_batches_of_one(processes):
    """What all processes take in a step is a batch of the sampler, in the order of a single process."""
    attributes, golds = random_sets(12), np.random.default_rng(1).integers(0, 12, 32)
    whole = list(BatchSampler(AttributeBatches(attributes, golds, 8), 8, drop_last=True))
    shards = [
        list(
            BatchSamplerShard(
                BatchSampler(AttributeBatches(attributes, golds, 8), 8 // processes, drop_last=True), processes, index
            )
        )
        for index in range(processes)
    ]
    assert [list(itertools.chain(*step)) for step in zip(*shards, strict=True)] == whole


# ---- In a training ----


def recorded(folder, epochs: int = 2, **options) -> tuple[list[list[int]], dict]:
    """Mentions of each batch."""
    options = {"negatives": "in_batch", "vision": False, "batch_sampler": "attribute", "max_steps": -1} | options
    run, steps = make_trainer(folder, num_train_epochs=epochs, **options), []
    sample = run.get_batch_samples

    def record(*args, **kwargs):
        batches, number = sample(*args, **kwargs)
        steps.extend(batch["mentions"].tolist() for batch in batches)
        return batches, number

    run.get_batch_samples = record
    run.train()
    return steps, weights(run)


@pytest.mark.parametrize(
    "options",
    [{}, {"dataloader_num_workers": 2}, {"gradient_accumulation_steps": 2}],
    ids=["plain", "workers", "accumulation"],
)
def test_the_batches_of_a_training(options, tmp_path):
    steps, _ = recorded(tmp_path, **options)
    data, run = tiny_data(), make_trainer(tmp_path, vision=False, batch_sampler="attribute")
    sampler, expected = run.train_sampler(), []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        expected += list(BatchSampler(sampler, 8, drop_last=False))
    assert steps == expected
    names = run.train_mentions.gold_rows
    sets = data.entities.attribute_sets(names)
    assert any(sets) and len({tuple(sorted(step)) for step in steps}) == len(steps)


def test_resume_takes_the_batches_that_are_left(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1}
    whole, expected = recorded(tmp_path / "whole", **options)
    for step in (2, 7):  # of five an epoch
        options = {"negatives": "in_batch", "vision": False, "batch_sampler": "attribute", "max_steps": -1}
        resumed = make_trainer(tmp_path / f"resumed-{step}", num_train_epochs=2, **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert resumed.state.global_step == len(whole) == 10
        assert_equal(expected, weights(resumed))


def test_by_default_the_order_is_that_of_the_trainer(tmp_path):
    run = make_trainer(tmp_path, vision=False)
    assert run.train_sampler() is None
    assert type(run._get_train_sampler()).__name__ == "RandomSampler"
    with pytest.raises(ValueError, match="`batch_sampler` must be one of random, attribute, got 'attributes'"):
        make_trainer(tmp_path, batch_sampler="attributes")
