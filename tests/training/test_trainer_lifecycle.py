"""The Trainer as users of transformers know it: what it is given, what is called in which order, and what stays usable."""

import json

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_mel import (
    EntityIndex,
    Linker,
    MELTrainer,
    MELTrainingArguments,
    MentionQuery,
    PGMELGenerator,
    PGMELGeneratorConfig,
    PGMELModel,
    PGMELTrainer,
    PGMELTrainingArguments,
)
from hf_mel.training import trainer as trainer_module

from .common import assert_equal, changed, make_trainer, tiny_data, tiny_linker, tiny_processor, weights


def make(folder, cls=PGMELTrainer, model=None, options=None, **given):
    """A Trainer with its own signature: `given` are its arguments, `options` those of the training."""
    small = {"pool_size": 8, "pool_dense_neighbours": 10, "pool_lexical_neighbours": 10, "num_negatives": 3}
    small |= {"max_steps": 2, "per_device_train_batch_size": 8, "discriminator_warmup_epochs": 0.0, "logging_steps": 1}
    small |= {"save_strategy": "no", "report_to": "none", "use_cpu": True, "disable_tqdm": True}
    args = cls.args_class(str(folder), **(small | (options or {})))
    data = tiny_data()
    needed = {"train_dataset": data.mentions["train"], "knowledge_base": data.entities, "args": args}
    needed |= {"eval_dataset": data.mentions["validation"], "processing_class": tiny_processor(False)}
    if model is None and "model_init" not in given:
        model = tiny_linker(False)
    return cls(model, **(needed | given))


def fresh_linker(**options) -> PGMELModel:
    """A `model_init` that leaves the random numbers alone: the order of the mentions depends on their seed."""
    with torch.random.fork_rng(devices=[]):
        return tiny_linker(False, **options)


# ---- What it is given ----


@pytest.mark.parametrize(
    ("cls", "arguments"), [(MELTrainer, MELTrainingArguments), (PGMELTrainer, PGMELTrainingArguments)]
)
def test_a_folder_as_model_and_no_arguments(cls, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_linker(False).save_pretrained("model")
    tiny_processor(False).save_pretrained("model")
    data = tiny_data()
    given = {"train_dataset": data.mentions["train"], "knowledge_base": data.entities}
    trainer = cls("model", **given)
    assert type(trainer.args) is arguments and trainer.args.output_dir == "tmp_trainer"
    assert_equal(dict(trainer.model.cpu().state_dict()), dict(tiny_linker(False).state_dict()))
    own = arguments("out", use_cpu=True, max_steps=1, report_to="none")
    trainer = cls(tmp_path / "model", own, **given)
    trainer.train()
    assert changed(dict(trainer.model.state_dict()), dict(tiny_linker(False).state_dict()))


@pytest.mark.parametrize("name", ["data_collator", "compute_loss_func", "preprocess_logits_for_metrics"])
def test_arguments_of_the_trainer_that_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}` cannot be used: "):
        make(tmp_path, **{name: lambda *args: None})


@pytest.mark.parametrize("name", ["train_dataset", "knowledge_base", "processing_class"])
def test_arguments_of_the_trainer_that_are_needed(name, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}` is missing"):
        make(tmp_path, **{name: None})


def test_metrics_of_the_user(tmp_path):
    """Their keys get the prefix once, and one of them may choose the best model."""

    def own(prediction):
        assert prediction.predictions.min() >= 1 and prediction.label_ids.dtype.kind == "i"
        return {
            "worst": np.float32(prediction.predictions.max()),
            "eval_median": torch.tensor(np.median(prediction.predictions)),
        }

    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    options |= {"metric_for_best_model": "worst", "greater_is_better": False, "load_best_model_at_end": True}
    trainer = make(tmp_path, compute_metrics=own, options=options)
    trainer.train()
    found = [log for log in trainer.state.log_history if "eval_worst" in log]
    assert trainer.state.best_metric == min(log["eval_worst"] for log in found)
    assert all("eval_median" in log and "eval_eval_median" not in log and "eval_mrr" in log for log in found)
    assert json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())["best_metric"]
    assert {"test_worst", "test_mrr"} <= trainer.predict(tiny_data().mentions["test"]).metrics.keys()


# ---- Optimizers ----


class Recorder(TrainerCallback):
    """The events of a training."""

    def __init__(self):
        self.events = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.events.append(("begin", model))

    def on_step_end(self, args, state, control, optimizer=None, **kwargs):
        self.events.append(("step", [group["lr"] for group in optimizer.param_groups]))


def test_the_class_of_the_optimizer(tmp_path):
    """Its learning rate is the discriminator's, its decay that of both."""
    options = {"lr_scheduler_type": "constant", "generator_learning_rate": 0.02}
    given = {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.25}
    trainer = make(tmp_path, optimizer_cls_and_kwargs=(torch.optim.SGD, given), options=options)
    recorder = Recorder()
    trainer.add_callback(recorder)
    trainer.train()
    groups = trainer.optimizer.param_groups
    assert {(group["group"], group["lr"]) for group in groups} == {
        ("discriminator", 0.5), ("towers", 0.5), ("generator", 0.02),
    }  # fmt: skip
    assert {group["weight_decay"] for group in groups} == {0.0, 0.25} and {g["momentum"] for g in groups} == {0.9}
    assert isinstance(trainer.optimizer.optimizer, torch.optim.SGD) and recorder.events[0] == ("begin", trainer.model)


def test_an_optimizer_that_is_made_from_a_model_is_refused(tmp_path):
    trainer = make(tmp_path, optimizer_cls_and_kwargs=(lambda model, **options: None, {}))
    with pytest.raises(ValueError, match="`optimizer_cls_and_kwargs` must hold a subclass of `torch.optim.Optimizer`"):
        trainer.train()


def test_the_optimizer_and_schedule_of_the_user(tmp_path):
    model = tiny_linker(False)
    generator = PGMELGenerator(PGMELGeneratorConfig.from_model_config(model.config, generator_type="query"))
    optimizer = torch.optim.SGD([*model.parameters(), *generator.parameters()], lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    recorder = Recorder()
    trainer = make(tmp_path, model=model, generator=generator, optimizers=(optimizer, schedule), callbacks=[recorder])
    before = weights(trainer)
    trainer.train()
    assert trainer.optimizer.optimizer is optimizer and trainer.lr_scheduler is schedule
    assert changed(before, weights(trainer)) == {"discriminator", "generator"}
    assert optimizer.param_groups[0]["lr"] == 0.1 * 0.5**2


def test_an_optimizer_that_leaves_out_a_side_is_refused(tmp_path):
    model = tiny_linker(False)
    with pytest.raises(ValueError, match="`optimizers`: the optimizer holds no parameter of the generator"):
        make(tmp_path, model=model, optimizers=(torch.optim.SGD(model.parameters(), lr=0.1), None))
    with pytest.raises(ValueError, match="no parameter of the discriminator"):
        other = torch.optim.SGD(tiny_linker(False).parameters(), lr=0.1)
        make(tmp_path, model=model, optimizers=(other, None), options={"negatives": "in_batch"})
    own = torch.optim.SGD(model.heads.parameters(), lr=0.1)  # a part of a side is the user's choice
    make(tmp_path, model=model, optimizers=(own, None), options={"negatives": "in_batch"}).train()


def test_callbacks_as_classes_and_instances(tmp_path):
    recorder = Recorder()
    trainer = make(tmp_path, callbacks=[recorder])
    trainer.add_callback(Recorder)
    trainer.train()
    assert [name for name, _ in recorder.events] == ["begin", "step", "step"]
    other = trainer.pop_callback(recorder) and trainer.pop_callback(Recorder)
    assert [name for name, _ in other.events] == ["begin", "step", "step"]


# ---- Usable at every point ----


def check_usable(trainer, folder):
    """Predictions, linker and a saved model agree about who is first."""
    mentions = tiny_data().mentions["test"]
    ranks = trainer.predict(mentions).predictions
    assert len(ranks) == 10 - mentions["entity_id"][:].count(None)
    linked = mentions.select([row for row, gold in enumerate(mentions["entity_id"][:]) if gold is not None])
    queries = [MentionQuery(mention=row["mention"], text=row["text"]) for row in linked]
    processor, kb = trainer.processing_class, trainer.knowledge_base
    trainer.model.save_pretrained(folder)
    for model in (trainer.model, PGMELModel.from_pretrained(folder)):
        index = EntityIndex.build(model, processor, kb, encode_dtype="float32")
        found = [answer.candidates[0].entity_id for answer in Linker(model, processor, index).link_queries(queries)]
        first = [found == gold for found, gold in zip(found, linked["entity_id"][:], strict=True)]
        assert first == (ranks == 1).tolist()
    assert any(first)


def test_the_model_is_usable_before_and_after_training_and_as_the_best_one(tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    options |= {"load_best_model_at_end": True, "max_steps": 3, "learning_rate": 0.05}
    trainer = make(tmp_path / "run", options=options)
    model = trainer.model
    check_usable(trainer, tmp_path / "before")
    before = trainer.evaluate()
    trainer.train()
    assert trainer.model is model
    check_usable(trainer, tmp_path / "after")
    assert trainer.evaluate()["eval_mrr"] == trainer.state.best_metric
    assert before["eval_mrr"] != trainer.evaluate()["eval_mrr"]


def test_evaluations_of_a_named_set_and_of_several(tmp_path):
    mentions = tiny_data().mentions
    trainer = make(tmp_path, eval_dataset={"a": mentions["validation"], "b": mentions["test"]})
    every = trainer.evaluate()
    alone = trainer.evaluate("b", metric_key_prefix="eval_b"), trainer.evaluate(mentions["test"])
    assert every["eval_b_mrr"] == alone[0]["eval_b_mrr"] == alone[1]["eval_mrr"] != every["eval_a_mrr"]
    given = trainer.evaluate({"c": mentions["test"]}, metric_key_prefix="x")
    assert given["x_c_mrr"] == every["eval_b_mrr"]
    assert make(tmp_path, eval_dataset=None).evaluate(mentions["test"])["eval_mrr"] == every["eval_b_mrr"]
    with pytest.raises(ValueError, match="evaluation requires an eval_dataset"):
        make(tmp_path, eval_dataset=None).evaluate()


def test_a_second_training_goes_on_with_the_model_and_a_new_index(tmp_path):
    trainer = make(tmp_path, options={"optim": "sgd", "learning_rate": 0.1})
    trainer.train()
    middle, index = weights(trainer), trainer.sampler.entity_vectors.clone()
    rates = [log["learning_rate"] for log in trainer.state.log_history if "learning_rate" in log]
    trainer.train()
    assert trainer.state.global_step == 2 and changed(middle, weights(trainer))
    assert [log["learning_rate"] for log in trainer.state.log_history if "learning_rate" in log] == rates
    assert trainer.sampler.costs["refresh_encodings"] == 2 * len(trainer.knowledge_base)
    assert not torch.equal(trainer.sampler.entity_vectors, index)
    alone = make(tmp_path, model=_loaded(middle), options={"optim": "sgd", "learning_rate": 0.1})
    alone.train()
    assert torch.equal(alone.sampler.entity_vectors, trainer.sampler.entity_vectors)


def _loaded(state):
    model = tiny_linker(False)
    model.load_state_dict({n.removeprefix("discriminator."): v for n, v in state.items() if n.startswith("discr")})
    return model


# ---- A new model for each training ----


def test_a_model_of_model_init_is_trained_with_lists_and_generator_of_its_own(tmp_path):
    made = []

    def init():
        made.append(fresh_linker())
        return made[-1]

    options = {"negatives": "pg", "max_steps": 3}
    trainer = make(tmp_path / "init", model_init=init, options=options)
    found = []
    for number in (2, 3):
        trainer.train()
        assert len(made) == number and trainer.model is made[-1] is trainer.step.discriminator
        found.append(weights(trainer))
    assert_equal(*found)
    given = make(tmp_path / "given", options=options)
    given.train()
    assert_equal(found[0], weights(given))  # the lexical lists are there
    with pytest.raises(ValueError, match="`generator` cannot be used: with `model_init`"):
        make(tmp_path, model_init=init, generator=trainer.generator)


def test_features_of_frozen_towers_are_those_of_the_model_at_hand(tmp_path):
    seeds = iter((1, 2, 1))
    options = {"negatives": "in_batch"}
    trainer = make(
        tmp_path / "init", model_init=lambda: fresh_linker(seed=next(seeds), freeze_text=True), options=options
    )
    trainer.evaluate()
    trainer.train()
    second = weights(trainer)
    given = make(tmp_path / "given", model=tiny_linker(False, seed=2, freeze_text=True), options=options)
    given.train()
    assert_equal(second, weights(given))


# ---- Hyperparameter search ----


class Trials(TrainerCallback):
    """What each trial began with, and the weights it ended with."""

    def __init__(self):
        self.begun, self.ended, self.trainer = [], [], None

    def on_train_begin(self, args, state, control, **kwargs):
        step = self.trainer.step
        self.begun.append((args.learning_rate, step.sampler.strategy, step.generator, step.discriminator))

    def on_train_end(self, args, state, control, **kwargs):
        self.ended.append(weights(self.trainer))


@pytest.fixture
def optuna():
    module = pytest.importorskip("optuna")
    module.logging.set_verbosity(module.logging.WARNING)
    return module


def grid(optuna, **values):
    def space(trial):
        return {name: trial.suggest_categorical(name, choices) for name, choices in values.items()}

    return {"hp_space": space, "sampler": optuna.samplers.GridSampler(values, seed=0), "backend": "optuna"}


def test_a_search_over_learning_rate_and_negatives(optuna, tmp_path):
    """Each trial is the training with its arguments: model, generator, strategy and lists are its own."""
    trials, options = Trials(), {"save_strategy": "steps", "save_steps": 2}
    trainer = make(tmp_path, model_init=lambda: fresh_linker(), callbacks=[trials], options=options)
    trials.trainer = trainer
    choices = {"learning_rate": [1e-4, 5e-2], "negatives": ["pg", "lexical"]}
    trainer.hyperparameter_search(n_trials=4, **grid(optuna, **choices))
    ran = [(rate, type(strategy).__name__, generator is not None) for rate, strategy, generator, _ in trials.begun]
    assert sorted(ran) == [
        (rate, name, has) for rate in (1e-4, 5e-2) for name, has in (("Lexical", False), ("PolicyGradient", True))
    ]
    assert len({id(each) for trial in trials.begun for each in trial[1:] if each is not None}) == 4 + 4 + 2
    assert len(list(tmp_path.glob("run-*/checkpoint-2"))) == 4
    for (rate, _, generator, _), state in zip(trials.begun, trials.ended, strict=True):
        if rate == 1e-4:  # the other rate of both strategies shows the same
            continue
        negatives = "lexical" if generator is None else "pg"
        alone = make(tmp_path / "alone", options=options | {"learning_rate": rate, "negatives": negatives})
        alone.train()
        assert_equal(state, weights(alone))


@pytest.mark.parametrize(("metric", "own", "best"), [("mrr", False, 0.625), ("mr", False, 2.5), ("mrr", True, 0.0)])
def test_a_search_optimizes_the_metric_of_the_best_model_or_the_objective_of_the_user(
    metric, own, best, optuna, tmp_path, monkeypatch
):
    options = {"metric_for_best_model": metric, "negatives": "in_batch", "max_steps": 1}
    trainer = make(tmp_path, model_init=lambda: fresh_linker(), options=options)
    ranks, given = [[2, 9], [1, 4]], {}
    if own:
        given = {"compute_objective": lambda metrics: metrics["eval_hits@1"]}
    left = [np.array(each, dtype=float) for each in ranks]
    monkeypatch.setattr(trainer_module, "rank_mentions", lambda *args, **kwargs: left.pop(0))
    found = trainer.hyperparameter_search(n_trials=2, **given, **grid(optuna, learning_rate=[1e-4, 1e-3]))
    assert found.objective == pytest.approx(best)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_negatives": [0]}, "`num_negatives` must be positive"),
        ({"negatives": ["hardest"]}, "hardest"),
        ({"label_smoothing_factor": [0.1]}, "`label_smoothing_factor=0.1` cannot be used"),
    ],
)
def test_a_value_of_a_trial_is_checked_like_an_argument(values, message, optuna, tmp_path):
    trainer = make(tmp_path, model_init=lambda: fresh_linker())
    with pytest.raises(ValueError, match=message):
        trainer.hyperparameter_search(n_trials=1, **grid(optuna, **values))


def test_a_trial_changes_the_norm_to_which_gradients_are_clipped(optuna, tmp_path):
    trainer = make(tmp_path, model_init=lambda: fresh_linker(), options={"optim": "sgd", "max_grad_norm": 1.0})
    norms = []

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
            norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())

    trainer.add_callback(Watch)
    trainer.hyperparameter_search(n_trials=1, **grid(optuna, max_grad_norm=[1e-3]))
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_a_search_needs_model_init(optuna, tmp_path):
    with pytest.raises(RuntimeError, match="model_init"):
        make_trainer(tmp_path, vision=False).hyperparameter_search(n_trials=1)


def test_steps_that_nobody_logs_are_not_kept(tmp_path):
    trainer = make(tmp_path, options={"logging_strategy": "no", "negatives": "in_batch", "max_steps": 5})
    trainer.train()
    assert not trainer._metrics
    logged = make(tmp_path, options={"logging_steps": 2, "negatives": "in_batch", "max_steps": 3})
    for _ in range(2):
        logged.train()
        assert len(logged._metrics) == 2  # those of the third step
