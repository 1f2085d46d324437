import copy

import pytest
import torch

from hf_mel import PGMELTrainingArguments
from hf_mel.negatives import STRATEGIES

from .common import assert_equal, changed, make_trainer, tiny_data, tiny_linker, weights


# The argument's name until transformers 5.22, and from 5.23 on.
CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing") if hasattr(PGMELTrainingArguments, name)
)


# ---- Who learns when ----


LOOK_AT_SCORES = ("topk", "semi_hard", "cache")


@pytest.mark.parametrize(
    ("name", "scores"), [*((name, "index") for name in STRATEGIES), *((name, "fresh") for name in LOOK_AT_SCORES)]
)
def test_every_strategy_trains(name, scores, tmp_path):
    trainer = make_trainer(
        tmp_path,
        vision=False,
        max_steps=2,
        negatives=name,
        negatives_kwargs={"scores": "fresh"} if scores == "fresh" else None,
    )
    before = weights(trainer)
    trainer.train()
    assert changed(before, weights(trainer)) == ({"discriminator", "generator"} if name == "pg" else {"discriminator"})
    logs = trainer.state.log_history[0]
    assert logs["discriminator_loss"] > 0
    # Each entity once for the losses, and once more where scores are fresh.
    passes = 2 if scores == "fresh" else 1
    most = 8 * (1 if name == "in_batch" else 4 + 8 * (passes - 1))
    assert passes <= logs["encodings"] <= min(most, passes * len(tiny_data().entities))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"discriminator_warmup_epochs": 1.0}, {"discriminator"}),
        ({"generator_warmup_epochs": 1.0}, {"generator"}),
        ({}, {"discriminator", "generator"}),
        ({"generator_steps": 0}, {"discriminator"}),
    ],
)
def test_whose_turn_it_is(options, expected, tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, generator_init="random", **options)
    before = weights(trainer)
    trainer.train()
    assert changed(before, weights(trainer)) == expected


def test_a_cycle_of_steps(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, discriminator_steps=3, generator_steps=1)
    turns = []
    for step in range(6):
        trainer.state.global_step = step
        turns.append(trainer.step.turns(0.0, trainer.state.global_step))
    assert turns == [(True, True), (True, False), (True, False)] * 2


def test_the_loss_of_a_side_reaches_only_that_side(tmp_path):
    """Each loss alone: the other side has no gradient at all, not even zeros."""
    for weight, own, other in (
        ({}, "discriminator", "generator"),
        ({"triplet_weight": 0.0}, "generator", "discriminator"),
    ):
        options = {"generator_steps": 0} if own == "discriminator" else {"contrast_weight": 0.0} | weight
        trainer = make_trainer(tmp_path, vision=False, max_steps=1, **options)
        seen = {}
        original = trainer.clip_gradients

        def clip(original=original, trainer=trainer, seen=seen):
            seen.update(
                {n: None if p.grad is None else p.grad.abs().sum().item() for n, p in trainer.step.named_parameters()}
            )
            return original()

        trainer.clip_gradients = clip
        trainer.train()
        assert any(value for name, value in seen.items() if name.startswith(own))
        assert not any(value for name, value in seen.items() if name.startswith(other))


@pytest.mark.parametrize("generator_type", ["query", "both"])
def test_the_generator_begins_as_the_discriminator_is_after_its_warm_up(generator_type, tmp_path):
    options = {"vision": False, "discriminator_warmup_epochs": 1.0, "generator_steps": 0, "learning_rate": 1e-2}
    trainer = make_trainer(tmp_path, max_steps=5, **options)
    trainer.train()
    assert trainer.step.generator_waits  # 33 mentions in batches of 8: the warm-up has just ended
    longer = make_trainer(tmp_path, max_steps=6, generator_type=generator_type, **options)
    seen = {}
    copy_heads = longer.generator.copy_heads

    def watching(heads):
        copy_heads(heads)
        assert not seen, "the generator began twice"
        seen.update({name: value.clone() for name, value in longer.generator.state_dict().items()})
        seen_heads.update({name: value.clone() for name, value in heads.state_dict().items()})

    seen_heads = {}
    longer.generator.copy_heads = watching
    longer.train()
    assert_equal(seen, dict(longer.generator.state_dict()))  # not trained
    own = {name.removeprefix("heads.").removeprefix("head."): value for name, value in seen.items()}
    assert_equal(own, {name.removeprefix("heads.shared.") if generator_type == "query" else name: value
                       for name, value in seen_heads.items()})  # fmt: skip
    assert changed(seen_heads, dict(longer.model.heads.state_dict()))


# ---- Same result ----


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    runs = []
    for number, seed in enumerate((0, 0, 1)):
        trainer = make_trainer(tmp_path / str(number), vision=False, seed=seed, max_steps=3)
        torch.rand(number)  # what was drawn before must not matter
        trainer.train()
        runs.append(weights(trainer))
    assert_equal(runs[0], runs[1])
    assert changed(runs[0], runs[2])


@pytest.mark.parametrize("negatives", ["pg", "topk", "random"])
def test_accumulation_is_the_large_batch_where_rows_do_not_meet(negatives, tmp_path):
    """As in every Trainer: the contrast, which is over the batch, is left out."""
    results = []
    for size, accumulation in ((16, 1), (8, 2), (4, 4)):
        trainer = make_trainer(
            tmp_path / str(size),
            vision=False,
            negatives=negatives,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=2,
            optim="sgd",
            learning_rate=2e-3,
            generator_learning_rate=2e-3,
            max_grad_norm=0.0,  # clipping would hide a wrong scale
            contrast_weight=0.0,
        )
        start = weights(trainer)
        trainer.train()
        results.append(weights(trainer))
    assert changed(start, results[0])
    for other in results[1:]:
        for name, value in results[0].items():
            # Rounding is all that differs; the advantage, divided by a small spread, makes the most of it.
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5, msg=name)


def test_mentions_of_one_entity_are_no_negatives_of_each_other(tmp_path):
    mentions = tiny_data().mentions["train"]
    golds = mentions["entity_id"][:]
    often = max({gold for gold in golds if gold is not None}, key=golds.count)
    same = mentions.select([row for row, gold in enumerate(golds) if gold == often])
    assert len(same) > 1
    trainer = make_trainer(tmp_path, vision=False, train=same, negatives="in_batch", max_steps=1)
    trainer.train()
    assert trainer.state.log_history[0]["contrast_loss"] == 0  # nothing is left in the denominator but the gold entity


# ---- Optimizer ----


def test_learning_rates_and_decay_by_group(tmp_path):
    trainer = make_trainer(
        tmp_path, learning_rate=1e-3, generator_learning_rate=2e-3, tower_learning_rate=1e-5, weight_decay=0.1
    )
    names = {id(parameter): name for name, parameter in trainer.step.named_parameters()}
    groups = trainer.create_optimizer().param_groups
    assert sum(len(group["params"]) for group in groups) == len(names)
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            tower = ".text_model." in name or ".vision_model." in name
            expected = 2e-3 if name.startswith("generator") else 1e-5 if tower else 1e-3
            assert group["lr"] == expected, name
            assert group["weight_decay"] == (
                0.0
                if "bias" in name
                or "layer_norm" in name.lower()
                or "layernorm" in name.lower()
                or "layrnorm" in name.lower()
                else 0.1
            ), name


def test_each_side_is_clipped_by_its_own_norm(tmp_path):
    trainer = make_trainer(
        tmp_path, vision=False, max_steps=1, discriminator_max_grad_norm=1e-3, generator_max_grad_norm=1e-4
    )
    seen = {}
    clip = trainer.clip_gradients

    def watching():
        norm = clip()
        for name, side in (("discriminator", trainer.model), ("generator", trainer.generator)):
            grads = [p.grad for p in side.parameters() if p.grad is not None]
            seen[name] = torch.stack([grad.norm() for grad in grads]).norm().item()
        return norm

    trainer.clip_gradients = watching
    trainer.train()
    assert seen["discriminator"] == pytest.approx(1e-3, rel=1e-3)
    assert seen["generator"] == pytest.approx(1e-4, rel=1e-3)
    assert trainer.state.log_history[0]["discriminator_grad_norm"] > 1e-3


def test_the_generator_becomes_less_certain_with_a_higher_entropy_weight(tmp_path):
    entropies = []
    for weight in (0.0, 5.0):
        trainer = make_trainer(
            tmp_path,
            vision=False,
            max_steps=25,
            entropy_weight=weight,
            entropy_floor=1.0,
            generator_learning_rate=2e-2,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
        )
        trainer.train()
        entropies.append(trainer.state.log_history[24]["generator_entropy"])
    assert entropies[1] > entropies[0] + 0.02


def test_a_generator_beside_towers_in_training_has_features_to_read(tmp_path):
    """Also where neither the pool nor the rewards need the index."""
    options = {"generator_type": "both", "pool_dense_share": 0.0, "pool_uniform_share": 0.75, "pool_rewards": "fresh"}
    trainer = make_trainer(tmp_path, max_steps=2, **options)
    before = weights(trainer)
    trainer.train()
    assert changed(before, weights(trainer)) == {"discriminator", "generator"}


# ---- Precision and trouble ----


def test_bf16(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, bf16=True, max_steps=2)
    before = weights(trainer)
    trainer.train()
    assert changed(before, weights(trainer)) == {"discriminator", "generator"}
    assert all(torch.isfinite(value).all() for value in weights(trainer).values())
    assert {value.dtype for value in trainer.model.state_dict().values()} == {torch.float32}


def test_activation_checkpointing_changes_nothing(tmp_path):
    results = []
    for on in (False, True):
        trainer = make_trainer(tmp_path / str(on), max_steps=2, **({CHECKPOINTING: True} if on else {}))
        trainer.train()
        results.append(weights(trainer))
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-5, atol=1e-7, msg=name)


def test_a_loss_that_is_not_finite_stops_with_names(tmp_path):
    trainer = make_trainer(tmp_path, vision=False, max_steps=6, save_strategy="steps", save_steps=2)
    compute = trainer.compute_loss

    def broken(*args, **kwargs):
        loss = compute(*args, **kwargs)
        return loss * float("nan") if trainer.state.global_step == 3 else loss

    trainer.compute_loss = broken
    with pytest.raises(FloatingPointError, match=r"step 4; mentions of the batch: .*train.*checkpoint-2"):
        trainer.train()


def test_a_collapsed_generator_is_reported(tmp_path, caplog):
    trainer = make_trainer(tmp_path, vision=False, max_steps=1, policy_temperature=1e-4)
    trainer.train()
    assert trainer.state.log_history[0]["generator_entropy"] < 0.1
    assert "collapsing" in caplog.text


def test_evaluation_is_the_same_whatever_the_batch_size(tmp_path):
    results = []
    for size in (3, 64):
        trainer = make_trainer(tmp_path / str(size), per_device_eval_batch_size=size)
        results.append(trainer.predict(tiny_data().mentions["test"]).predictions)
        metrics = trainer.evaluate()
        assert metrics["eval_num_mentions"] + metrics["eval_num_nil"] == 10
    assert results[0].tolist() == results[1].tolist()


def test_frozen_towers_use_kept_features_and_learn_the_same(tmp_path, monkeypatch):
    results = []
    for kept in (True, False):
        model = tiny_linker(freeze_text=True, freeze_vision=True)
        if not kept:
            monkeypatch.setattr(type(model), "towers_frozen", property(lambda self: False))
        trainer = make_trainer(tmp_path / str(kept), model=model, max_steps=3)
        before = copy.deepcopy(dict(model.text_model.state_dict()))
        trainer.train()
        assert_equal(before, dict(model.text_model.state_dict()))
        results.append(weights(trainer))
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-4, atol=1e-6, msg=name)
