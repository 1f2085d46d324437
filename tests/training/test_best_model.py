"""The metric of the best model: its direction, its evaluation set, and what follows it."""

import copy

import numpy as np
import pytest
import torch
from transformers import EarlyStoppingCallback

from hf_mel import MELTrainingArguments
from hf_mel.evaluation import DIRECTIONS, candidate_metrics, higher_is_better, linking_measures, ranking_metrics
from hf_mel.training import trainer as trainer_module

from .common import assert_equal, make_trainer, tiny_data


# ---- Directions ----


def test_every_metric_of_the_package_has_a_direction_or_is_a_count():
    counts = {"num_mentions", "retriever", "mentions", "not_retrieved", "nil", "nil_predicted"}
    noise = {"ece_noise", "best_ece_noise", "accuracy_at"}  # chance alone, and a curve
    probabilities = np.array([[0.8, 0.1], [0.3, 0.2]]), np.array([0.1, 0.5]), np.array([0, -1])
    found = ranking_metrics([1, 2], ks=(1, 7)) | candidate_metrics([1], retriever="BM25")
    found |= (
        candidate_metrics([1], retriever="BM25", gold_added=True) | linking_measures(*probabilities, threshold=0.4)[0]
    )
    assert {name for name in found if higher_is_better(name) is None} == counts | noise
    assert {name for name in found if higher_is_better(name) is False} == {
        "mr", "ece", "ece_equal_mass", "best_ece", "best_ece_equal_mass", "brier", "nll",
    }  # fmt: skip
    assert all(value is not None for value in DIRECTIONS.values())


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("hits@1", True), ("hits@200", True), ("T@5 (gold added)", True), ("hits@0", None), ("hits@", None), ("hits@5x", None)],
)  # fmt: skip
def test_any_cut_off_has_a_direction(metric, expected):
    assert higher_is_better(metric) is expected


def arguments(metric, **options) -> MELTrainingArguments:
    return MELTrainingArguments("unused", use_cpu=True, metric_for_best_model=metric, **options)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("mrr", True), ("mr", False), ("hits@3", True), ("eval_mr", False), ("eval_mrr", True),
        ("eval_validation_mr", False), ("my_own_set_mr", False), ("validation_mrr", True), ("a_hits@10", True),
        (None, True),
    ],
)  # fmt: skip
def test_the_direction_of_the_best_model_is_that_of_the_metric(metric, expected):
    assert arguments(metric).greater_is_better is expected
    assert arguments(metric, greater_is_better=expected).greater_is_better is expected


@pytest.mark.parametrize("metric", ["num_nil", "num_mentions", "eval_num_nil", "loss", "xmr", "unknown"])
def test_a_metric_without_a_direction_is_refused_with_the_list(metric):
    with pytest.raises(
        ValueError, match=f"`metric_for_best_model='{metric}'` has no direction.*mrr.*greater_is_better"
    ):
        arguments(metric)


def test_a_choice_against_the_direction_is_refused():
    with pytest.raises(ValueError, match="`greater_is_better=True` contradicts `metric_for_best_model='mr'`.*lower"):
        arguments("mr", greater_is_better=True)
    with pytest.raises(ValueError, match="`greater_is_better=False` contradicts.*higher"):
        arguments("eval_mrr", greater_is_better=False)
    with pytest.raises(ValueError, match="num_nil"):
        arguments("num_nil", greater_is_better=True)
    assert arguments("mine", greater_is_better=False).greater_is_better is False


# ---- The best model of a training ----


RANKS = [[1, 4], [1, 2], [1, 9], [2, 2]]  # mean ranks 2.5, 1.5, 5, 2; reciprocal 0.625, 0.75, 0.56, 0.5


def run(folder, monkeypatch, *, ranks=RANKS, callbacks=(), evaluate=None, compute_metrics=None, **options):
    """A training of up to four steps whose evaluations find the given ranks."""
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1} | options
    trainer = make_trainer(folder, vision=False, negatives="in_batch", evaluate=evaluate, **options)
    trainer.compute_metrics = compute_metrics
    for callback in callbacks:
        trainer.add_callback(callback)
    left = [np.array(each, dtype=float) for each in ranks]
    monkeypatch.setattr(trainer_module, "rank_mentions", lambda *args, **kwargs: left.pop(0))
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("metric", "step", "value"),
    [(None, 2, 0.75), ("mrr", 2, 0.75), ("mr", 2, 1.5), ("eval_mr", 2, 1.5), ("hits@1", 1, 0.5)],
)
def test_the_best_model_is_loaded_at_the_end(metric, step, value, tmp_path, monkeypatch):
    at_step = {}
    trainer = run(tmp_path, monkeypatch, metric_for_best_model=metric, load_best_model_at_end=True)
    assert trainer.state.best_global_step == step and trainer.state.best_metric == value
    for number in (step, 4):
        saved = type(trainer.model).from_pretrained(tmp_path / f"checkpoint-{number}")
        at_step[number] = saved.state_dict()
    assert_equal(dict(trainer.model.state_dict()), dict(at_step[step]))
    assert any(not torch.equal(at_step[4][name], value) for name, value in at_step[step].items())


def test_only_the_best_model_is_saved(tmp_path, monkeypatch):
    trainer = run(tmp_path, monkeypatch, metric_for_best_model="mr", save_strategy="best")
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert trainer.state.best_metric == 1.5


@pytest.mark.parametrize(("metric", "steps"), [("mr", 4), ("mrr", 3)])
def test_early_stopping_follows_the_direction(metric, steps, tmp_path, monkeypatch):
    """Mean ranks 5, 4, 3, 2 improve in every step; the reciprocal ones get worse from the second on."""
    ranks = [[1, 9], [3, 5], [3, 3], [2, 2]]
    trainer = run(
        tmp_path,
        monkeypatch,
        ranks=ranks,
        metric_for_best_model=metric,
        load_best_model_at_end=True,
        callbacks=[EarlyStoppingCallback(2)],
    )
    assert trainer.state.global_step == steps


@pytest.mark.parametrize(("scheduler", "metric", "mode"), [
    ("reduce_lr_on_plateau", "mr", "min"), ("reduce_lr_on_plateau", "mrr", "max"), ("greedy", "mrr", "max"),
])  # fmt: skip
def test_schedules_that_follow_a_metric_follow_its_direction(scheduler, metric, mode, tmp_path, monkeypatch):
    ranks = [[1, 3], [1, 3], [1, 2], [1, 1]]  # both metrics improve
    options = {"lr_scheduler_type": scheduler, "metric_for_best_model": metric, "save_strategy": "no"}
    if scheduler == "reduce_lr_on_plateau":
        options["lr_scheduler_kwargs"] = {"patience": 0, "factor": 0.5}
    trainer = run(tmp_path, monkeypatch, ranks=ranks, **options)
    assert trainer.lr_scheduler.mode == mode
    if scheduler == "reduce_lr_on_plateau":  # the second evaluation found no better one
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(trainer.args.learning_rate / 2)
    wrong = {"lr_scheduler_kwargs": {"mode": {"min": "max", "max": "min"}[mode]}, "eval_strategy": "epoch"}
    with pytest.raises(ValueError, match=f"`mode` in `lr_scheduler_kwargs` must be '{mode}'"):
        arguments(metric, lr_scheduler_type=scheduler, **wrong)


# ---- Several evaluation sets ----


def sets() -> dict:
    mentions = tiny_data().mentions
    return {"a": mentions["validation"], "b": mentions["test"]}


def test_the_first_of_several_evaluation_sets_chooses_the_best_model(tmp_path, monkeypatch):
    ranks = [r for pair in zip(RANKS, reversed(RANKS), strict=True) for r in pair]
    trainer = run(tmp_path, monkeypatch, ranks=ranks, evaluate=sets(), load_best_model_at_end=True)
    assert trainer.state.best_global_step == 2 and trainer.args.metric_for_best_model == "a_mrr"
    logs = trainer.state.log_history
    assert [log["eval_a_mrr"] for log in logs if "eval_a_mrr" in log][1] == 0.75
    assert [log["eval_b_mrr"] for log in logs if "eval_b_mrr" in log][2] == 0.75


@pytest.mark.parametrize("metric", ["b_mr", "eval_b_mr"])
def test_another_evaluation_set_is_named(metric, tmp_path, monkeypatch):
    ranks = [r for pair in zip(RANKS, reversed(RANKS), strict=True) for r in pair]
    options = {"metric_for_best_model": metric, "load_best_model_at_end": True}
    trainer = run(tmp_path, monkeypatch, ranks=ranks, evaluate=sets(), callbacks=[EarlyStoppingCallback(2)], **options)
    assert trainer.state.best_metric == 1.5 and trainer.state.best_global_step == 3  # mean ranks 2, 5, 1.5, 2.5
    assert trainer.state.global_step == 4


def test_the_arguments_of_the_user_stay_as_they_are(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, evaluate=sets())
    args = copy.copy(trainer.args)
    args.metric_for_best_model = "mrr"
    again = type(trainer)(
        trainer.model,
        args,
        train_dataset=tiny_data().mentions["train"],
        eval_dataset={"other": tiny_data().mentions["test"]},
        knowledge_base=trainer.knowledge_base,
        processing_class=trainer.processing_class,
    )
    assert again.args.metric_for_best_model == "other_mrr" and args.metric_for_best_model == "mrr"


@pytest.mark.parametrize(
    ("metric", "evaluate", "message"),
    [
        ("hits@2", None, "`metric_for_best_model='hits@2'` is not computed by an evaluation: choose one of hits@1"),
        ("T@5", None, "is not computed"),
        ("c_mrr", sets, "of one of the sets a, b"),
        ("a_hits@7", sets, "is not computed"),
        ("validation_mrr", None, "is not computed"),
    ],
)
def test_a_metric_that_no_evaluation_computes_is_refused_before_the_training(metric, evaluate, message, tmp_path):
    evaluate = evaluate and evaluate()
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, vision=False, evaluate=evaluate, metric_for_best_model=metric)


def test_a_choice_against_the_direction_in_a_named_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`greater_is_better=True` contradicts `metric_for_best_model='mr'`"):
        make_trainer(tmp_path, vision=False, evaluate=sets(), metric_for_best_model="b_mr", greater_is_better=True)
