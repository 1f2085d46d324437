"""Strategies, rewards and baselines as the user passes them: built, copied for each training, or refused by name."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from hf_mel import Candidates, NegativeStrategy, PGMELTrainingArguments
from hf_mel.negatives.strategies import Cache, InBatch, PolicyGradient, TopK
from hf_mel.policy import MovingAverageBaseline
from hf_mel.training.arguments import MELTrainingArguments

from .common import assert_equal, make_trainer, tiny_linker, weights


class NoPool(InBatch):
    """Another strategy without a pool."""


class Slope:
    """A reward with an option of its own."""

    def __init__(self, factor: float = 1.0):
        self.factor = factor

    def __call__(self, negatives, gold):
        return negatives * self.factor


# ---- Refused ----


GUARDS = {"owner_guard": 0.9, "false_negative_share": 0.95, "false_negative_margin": 0.1}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        *(
            ({"negatives": negatives, name: value}, ValueError, f"`{name}` has no effect with `negatives='{shown}'`")
            for negatives, shown in (("in_batch", "in_batch"), (NoPool, "NoPool"), (InBatch(), "InBatch"))
            for name, value in GUARDS.items()
        ),
        ({"negatives": NoPool(), "contrast_weight": 0}, ValueError, "`negatives='NoPool'` has no loss"),
        ({"negatives": InBatch, "contrast_weight": 0}, ValueError, "`negatives='InBatch'` has no loss"),
        (
            {"negatives": TopK(2), "num_negatives": 3},
            ValueError,
            "`num_negatives=3` has no effect on an instance with 2",
        ),
        (
            {"negatives": TopK(2), "negatives_kwargs": {"scores": "fresh"}},
            ValueError,
            "`negatives_kwargs` has no effect",
        ),
        (
            {"baseline": MovingAverageBaseline(), "baseline_kwargs": {"decay": 0.5}},
            ValueError,
            "`baseline_kwargs` has no effect on an instance, here of MovingAverageBaseline: pass the class",
        ),
        ({"reward": Slope(), "reward_kwargs": {"factor": 2.0}}, ValueError, "`reward_kwargs` has no effect"),
        ({"negatives": "topk", "negatives_kwargs": {"chose": 1}}, TypeError, "`negatives_kwargs` of 'topk': .*chose"),
        ({"reward": "hinge", "reward_kwargs": {"margn": 1}}, TypeError, "`reward_kwargs` of 'hinge': .*margn"),
        ({"baseline": "ema", "baseline_kwargs": {"dcay": 1}}, TypeError, "`baseline_kwargs` of 'ema': .*dcay"),
        ({"estimator": "expected", "baseline": "ema"}, ValueError, "no effect with `estimator='expected'`"),
        ({"estimator": "expected", "baseline": "leave_one_out"}, ValueError, "no effect with `estimator='expected'`"),
    ],
    ids=lambda value: re.sub(r" object at 0x\w+", "", str(value)),  # the same in every process
)
def test_what_has_no_effect_is_refused_by_name(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        PGMELTrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **options)


def test_the_number_of_negatives_is_that_of_the_instance(tmp_path):
    def number(**options):
        args = PGMELTrainingArguments(str(tmp_path), use_cpu=True, report_to="none", **options)
        assert args.build_strategy().num_negatives == args.num_negatives
        return args.num_negatives

    assert number() == 4 and number(negatives=TopK) == 4 and number(negatives=TopK(2)) == 2
    assert number(negatives=TopK(2), num_negatives=2) == 2 and number(negatives=TopK, num_negatives=3) == 3


# ---- Built ----


def test_two_trainings_share_no_state(tmp_path):
    """The given objects stay as they are, and a second training begins as the first did."""
    cache, baseline = Cache(3), MovingAverageBaseline(0.5)
    cached = {"negatives": cache, "num_negatives": None, "vision": False}
    averaged = {"baseline": baseline, "vision": False, "reward": Slope, "reward_kwargs": {"factor": 2.0}}
    for options in (cached, averaged):
        found = []
        for number in range(2):
            trainer = make_trainer(tmp_path / str(number), **options)
            trainer.train()
            found.append(weights(trainer))
        assert_equal(*found)
    assert cache.kept is None and baseline.average.isnan()
    assert not trainer.step.baseline.average.isnan() and trainer.step.reward.factor == 2.0


def test_a_generator_is_made_for_the_strategy_as_built(tmp_path):
    """The strategy chooses what it reads when it is made; its class alone does not tell."""

    class Late(PolicyGradient):
        reads = "nothing"

        def __init__(self, num_negatives):
            super().__init__(num_negatives)
            self.reads = "policy"

    trainer = make_trainer(tmp_path, vision=False, negatives=Late, generator_type="both", max_steps=2)
    trainer.train()
    assert trainer.generator is not None and trainer.sampler.features is not None
    assert all("generator_loss" in log for log in trainer.state.log_history[:2])


def test_arguments_take_their_help_from_the_docstring():
    own = {each.name for each in dataclasses.fields(MELTrainingArguments)}
    own -= {each.name for each in dataclasses.fields(TrainingArguments)}
    for arguments in (MELTrainingArguments, PGMELTrainingArguments):
        for each in dataclasses.fields(arguments):
            if each.name in own:
                assert each.metadata["help"].endswith("."), each.name
    texts = {each.name: each.metadata["help"] for each in dataclasses.fields(PGMELTrainingArguments)}
    assert texts["pool_size"] == "Candidates of a mention."
    assert texts["negatives"] == "Negative strategy: `pg` draws from the generator."
    assert texts["pool_dense_share"] == texts["pool_uniform_share"]


# ---- Drawn ----


class Counting(NegativeStrategy):
    """The columns depend on how many mentions were seen before, whichever they were."""

    shares_state = True
    pool_shares = {"uniform": 1.0}

    def __init__(self, num_negatives: int):
        super().__init__(num_negatives)
        self.seen, self.seen_at_draws = 0, []

    def columns(self, candidates):
        self.seen_at_draws.append(self.seen)
        columns = (torch.arange(self.num_negatives) + self.seen // 8) % candidates.size
        return columns.expand(len(candidates.rows), -1)

    def updates(self, candidates):
        return np.zeros((len(candidates.rows), 1))

    def remember(self, mentions, values):
        self.seen += len(mentions)


@pytest.mark.parametrize("options", [{}, {"dataloader_num_workers": 2}], ids=["plain", "workers"])
def test_a_strategy_with_shared_state_is_asked_in_the_step(options, tmp_path):
    """A data loader would draw ahead, and a worker from its own copy of the state."""
    trainer = make_trainer(tmp_path, tiny_linker(False, freeze_text=True), vision=False, negatives=Counting, **options)
    trainer.train()
    assert trainer.sampler.strategy.seen_at_draws == [0, 8, 16, 24]


class BelowGold(NegativeStrategy):
    reads = "index"

    def columns(self, candidates):
        candidates.drop("above_gold", candidates.scores < candidates.gold_scores.unsqueeze(1))
        return super().columns(candidates)


def test_candidates_that_a_strategy_drops_are_logged(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, negatives=BelowGold, max_steps=1)
    trainer.train()
    logs = trainer.state.log_history[0]
    assert 0 < logs["dropped_by_above_gold"] < logs["masked_candidates"]


def test_the_example_takes_no_candidate_above_the_gold_entity():
    text = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from hf_mel import NegativeStrategy.*?)\nregister_strategy", text, re.DOTALL).group(
        1
    )
    names = {}
    exec(code, names)  # noqa: S102
    scores = torch.tensor([[0.9, 0.4, 0.6, 0.5], [0.1, 0.2, 0.3, 0.9]])
    candidates = Candidates(
        np.arange(2),
        torch.arange(8).view(2, 4),
        torch.ones(2, 4).bool(),
        scores=scores,
        gold_scores=torch.full((2,), 0.5),
    )
    chosen = names["JustBelowGold"](num_negatives=3).select(candidates)
    taken = [scores[row][chosen.columns[row]][chosen.mask[row]].tolist() for row in range(2)]
    assert [[round(score, 1) for score in row] for row in taken] == [[0.4], [0.3, 0.2, 0.1]]


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": "random"},
        {"negatives": "in_batch"},
        {"negatives": "topk", "negatives_kwargs": {"scores": "fresh"}},
    ],
    ids=["random", "in_batch", "fresh"],
)
def test_each_entity_is_counted_once_where_it_is_encoded(options, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=2, **options)
    encode, rows = trainer.step.encode, []

    def counting(side, inputs):
        if side == "entity":
            rows.append(len(next(iter(inputs.values()))))
        return encode(side, inputs)

    trainer.step.encode = counting
    trainer.train()
    logged = [log["encodings"] for log in trainer.state.log_history if "encodings" in log]
    assert sum(logged) == sum(rows) == trainer.total_encodings
    assert max(rows) <= 20  # the entities of the knowledge base
