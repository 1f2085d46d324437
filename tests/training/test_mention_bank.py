"""The mentions that MELOV stores: filled when it is evaluated and saved, resumed, the same in each process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from hf_mel import MELOVConfig, MELOVModel
from hf_mel.encoding import MentionInputs, fill_mention_bank, tower_features

from .common import TEXT, VISION, assert_equal, make_trainer, tiny_data, tiny_processor, weights


def melov(**fields) -> MELOVModel:
    torch.manual_seed(0)
    fields = {"matching_size": 8, "latent_size": 4, "bank_size": 12, "max_text_tokens": 32, **fields}
    return MELOVModel(MELOVConfig(text_config=dict(TEXT), vision_config=dict(VISION), pooling="mean", **fields))


def trainer(folder, model=None, **options):
    options = {"negatives": "in_batch", "contrast_weight": 1.0, "unit_weight": 1.0, "triplet_weight": 0.0, **options}
    return make_trainer(folder, model=melov() if model is None else model, **options)


def bank(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.optimiser.graph.named_buffers()}


def test_the_first_mentions_of_an_order_by_seed():
    model = melov()
    inputs = MentionInputs(tiny_data().mentions["train"], tiny_processor())
    fill_mention_bank(model.train(), lambda: inputs, seed=3, batch_size=5)
    assert model.training
    rows = np.random.default_rng(3).permutation(len(inputs))[:12]
    with torch.no_grad():
        read = model.eval().reader(tower_features(model, inputs(rows)))
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
    run = trainer(tmp_path, melov(freeze_text=frozen, freeze_vision=frozen), max_steps=3)
    run.train()
    trained = bank(run.model)
    assert trained["bank_count"] > 0
    metrics = run.evaluate()
    assert_equal(trained, bank(run.model))
    run.save_model()
    loaded = AutoModel.from_pretrained(tmp_path)
    assert_equal(trained, bank(loaded))
    assert trainer(tmp_path, loaded).evaluate()["eval_mrr"] == metrics["eval_mrr"]


def test_the_generator_learns(tmp_path):
    run = trainer(tmp_path, melov(generation_weight=1.0), max_steps=20, learning_rate=3e-3)
    run.train()
    losses = [log["generation_loss"] for log in run.state.log_history if "generation_loss" in log]
    assert len(losses) == 20 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


@pytest.mark.parametrize("options", [{}, {"negatives": "topk", "refresh_steps": 2}], ids=["in_batch", "topk"])
def test_resume_is_the_uninterrupted_run(options, tmp_path):
    """Also where the negatives come from an index, for which the mentions are encoded beside the bank."""
    options = {"max_steps": 5, **options}
    whole = trainer(tmp_path / "whole", save_strategy="steps", save_steps=2, **options)
    whole.train()
    for step in (2, 4):
        resumed = trainer(tmp_path / f"resumed-{step}", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert_equal(weights(whole), weights(resumed))


def test_mini_batches_are_the_large_batch_without_graph(tmp_path):
    """With a graph over the batch a mini-batch is another one than the large batch, and is refused."""
    with pytest.raises(ValueError, match="mini_batch_size.*MELOV"):
        trainer(tmp_path, melov(), mini_batch_size=4)
    options = {"max_steps": 1, "optim": "sgd", "learning_rate": 1e-3, "contrast_temperature": 1.0}
    found = []
    for size in (8, 4):
        model = melov(sample_latents=False, use_aggregation=False, generation_weight=0.1)
        run = trainer(
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


@pytest.mark.loopback
def test_two_processes_have_one_bank(tmp_path):
    """With accumulation, in which `DistributedDataParallel` leaves the buffers of each process to itself."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", __name__, str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, *launcher], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(tmp_path / f"state-{process}.safetensors") for process in range(2))
    assert_equal(first, second)
    assert first["bank_count"] > 0
    assert_equal({n: v for n, v in first.items() if n != "mrr"}, bank(MELOVModel.from_pretrained(tmp_path)))


def _run_in_a_process(folder: str) -> None:
    torch.set_num_threads(1)
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "dataloader_drop_last": True}
    run = trainer(folder, max_steps=2, save_strategy="no", **options)
    run.train()
    metrics = run.evaluate()
    run.save_model()
    state = bank(run.model) | {"mrr": torch.tensor(metrics["eval_mrr"])}
    save_file(state, Path(folder) / f"state-{run.args.process_index}.safetensors")


if __name__ == "__main__":
    _run_in_a_process(sys.argv[1])
