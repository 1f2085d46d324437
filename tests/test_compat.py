"""What this package relies on in transformers, beside its public API, is there."""

import inspect

import pytest
from transformers import Trainer

from hf_mel.compat import PRIVATE_HOOKS


@pytest.mark.parametrize("name", PRIVATE_HOOKS)
def test_the_trainer_has_the_hook(name):
    assert callable(getattr(Trainer, name))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_save", ["self", "output_dir", "state_dict"]),
        ("_save_checkpoint", ["self", "model", "trial"]),
        ("_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
        ("_load_best_model", ["self"]),
        ("training_step", ["self", "model", "inputs", "num_items_in_batch"]),
        ("compute_loss", ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]),
        ("get_batch_samples", ["self", "epoch_iterator", "num_batches", "device"]),
        (
            "evaluation_loop",
            ["self", "dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix"],
        ),
        ("log", ["self", "logs", "start_time"]),
    ],
)
def test_what_is_overridden_has_the_signature_that_is_known(name, parameters):
    assert list(inspect.signature(getattr(Trainer, name)).parameters) == parameters


def test_the_loop_calls_the_hooks():
    """A hook that exists and is not called any more would be the silent way to lose a checkpoint."""
    source = inspect.getsource(Trainer)
    for name in ("_save", "_save_checkpoint", "_load_from_checkpoint", "_load_best_model", "get_batch_samples"):
        assert f"self.{name}(" in source, name
