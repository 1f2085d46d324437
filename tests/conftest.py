"""Fixtures of the whole suite: no network, a seed for each test, tiny random models and a tiny tokenizer."""

import os


# Read by huggingface_hub and datasets when they are imported, hence before everything else.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import socket
import threading
from ipaddress import ip_address

import pytest
import torch
from tqdm.std import tqdm
from transformers import set_seed


torch.set_num_threads(1)
# By default progress bars share a lock between processes: a child that a test kills while it holds it would stop us all.
tqdm.set_lock(threading.RLock())


@pytest.fixture(autouse=True)
def seed():
    set_seed(0)


@pytest.fixture(autouse=True)
def no_network(request, monkeypatch):
    """A test that opens a connection fails instead of passing by luck; `loopback` allows this machine alone."""
    allowed = request.node.get_closest_marker("loopback") is not None
    connect = socket.socket.connect

    def guarded(self, address, *args, **kwargs):
        host = address[0] if isinstance(address, tuple) else None
        local = host == "localhost" or (host is not None and _is_loopback(host))
        if not (allowed and local) and self.family != socket.AF_UNIX:
            raise RuntimeError(
                f"a test tried to connect to {address}; only tests marked `loopback` may, and only to it"
            )
        return connect(self, address, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """The folder that holds the checkpoints of the first release, see `tests/fixtures/checkpoints.py`."""
    from tests.fixtures.checkpoints import assemble

    folder = tmp_path_factory.mktemp("released")
    assemble(folder)
    return folder


TINY_TEXT = {
    "model_type": "bert",
    "vocab_size": 99,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TINY_VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 8,
    "patch_size": 4,
    "projection_dim": 8,
}


@pytest.fixture
def tiny_config():
    from hf_mel import PGMELConfig

    return PGMELConfig(text_config=dict(TINY_TEXT), vision_config=dict(TINY_VISION), projection_size=8)


@pytest.fixture
def tiny_model(tiny_config):
    from hf_mel import PGMELModel

    return PGMELModel(tiny_config)


@pytest.fixture
def tokenizer():
    from tests.common import build_tokenizer

    return build_tokenizer()
