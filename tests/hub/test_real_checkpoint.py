"""
A checkpoint and a benchmark, both from the Hub, answer a mention of the test split. `HF_MEL_DATA` names the folder with
the released files, and `HF_MEL_CHECKPOINT` the folder pgmel-wikidiverse-text that `make checkpoints` leaves.
"""

import os
from pathlib import Path

import pytest

from hf_mel.cli.main import main
from tests.hub import run_client


pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(
        not {"HF_MEL_DATA", "HF_MEL_CHECKPOINT"} <= os.environ.keys(),
        reason="HF_MEL_DATA and HF_MEL_CHECKPOINT do not name the released files and a checkpoint",
    ),
]

PUSH = """
import json, sys
from hf_mel.cli.main import main

data, model = sys.argv[1:]
pushed = [main(["push", "dataset", data, "org/wikidiverse"]), main(["push", "model", model, "org/pgmel-wikidiverse-text"])]
print(json.dumps(pushed))
"""

LINK = """
import json
from datasets import load_dataset
from transformers import AutoModel, pipeline
import hf_mel

model = AutoModel.from_pretrained("org/pgmel-wikidiverse-text")
mentions = load_dataset("org/wikidiverse", split="test").select(range(40))
entities = load_dataset("org/wikidiverse", "entities", split="train")
kb = hf_mel.KnowledgeBase(entities)
linker = pipeline("multimodal-entity-linking", model="org/pgmel-wikidiverse-text", index=kb, device="cpu")
asked = [{"text": m["text"], "mention": m["mention"], "start": m["start"]} for m in mentions]
links = [answer["entity_id"] == m["entity_id"] for answer, m in zip(linker(asked), mentions)]
print(json.dumps([type(model).__name__, links]))
"""


def test_a_mention_of_the_test_split_is_linked(hub, tmp_path):
    raw, data = Path(os.environ["HF_MEL_DATA"], "wikidiverse", "kgmel"), tmp_path / "wikidiverse"
    assert not main(["data", "build", "wikidiverse", "--raw", str(raw), "--out", str(data), "--no_pictures"])
    assert run_client(PUSH, hub, str(data), os.environ["HF_MEL_CHECKPOINT"]).answer in ([None, None], [0, 0])
    name, links = run_client(LINK, hub).answer
    assert name == "PGMELModel"
    # The first is right, and most are.
    assert links[0] and sum(links) >= 30
