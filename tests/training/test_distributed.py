"""Two processes on the loopback interface do what one does with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hf_mel import MELOVModel, PGMELModel

from .common import assert_equal, tiny_linker, tiny_processor
from .distributed_run import CASES, train
from .mention_bank_common import bank


ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of the trainings in two processes, which are started once for all of them."""
    folder = tmp_path_factory.mktemp("two")
    for part in (tiny_linker(), tiny_processor()):
        part.save_pretrained(folder / "base")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    command = [sys.executable, *launcher, "tests.training.distributed_run", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def states(folder: Path) -> list[dict[str, torch.Tensor]]:
    """What each of the two processes had in the end, the same in both."""
    first, second = (load_file(folder / f"state-{process}.safetensors") for process in range(2))
    assert_equal(first, second)
    return first


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(case, trained, tmp_path):
    """16 mentions a step: one process with 16, two processes with 8 each, in mini-batches or not."""
    alone = train(case, tmp_path, trained / "base", processes=1)
    both = states(trained / case)
    assert alone.keys() == both.keys()
    for name, value in alone.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, both[name], rtol=1e-3, atol=2e-5, msg=name)
        else:  # neighbours that are nearly tied may change places when a sum is rounded in another order
            assert (value == both[name]).float().mean() > 0.95, name


def test_adapters_of_two_processes_are_saved_without_the_towers_and_load(trained):
    saved = trained / "lora"
    learnt = {name: value for name, value in states(saved).items() if ".lora_B." in name}
    assert all(value.any() for value in learnt.values())
    # Else the tolerance of the comparison would hide them. Those of queries and keys move less: a tiny model attends evenly.
    assert sum(value.abs().max() > 1e-3 for value in learnt.values()) >= 6
    assert not any("base_layer" in name for name in load_file(saved / "model.safetensors"))
    model = PGMELModel.from_pretrained(saved)
    assert model.has_adapters
    expected = {
        n.removeprefix("discriminator."): v for n, v in states(saved).items() if n.startswith("discriminator.")
    }
    assert_equal(expected, model.state_dict())


def test_two_processes_have_one_mention_bank(trained):
    state = states(trained / "mention bank")
    assert state["bank_count"] > 0
    assert_equal(
        {n: v for n, v in state.items() if n != "mrr"}, bank(MELOVModel.from_pretrained(trained / "mention bank"))
    )
