"""The Space on the Hub: pushed, fetched as it lies there, and started with a model and an index from there."""

import pytest

from tests.hub import Hub, run_client
from tests.spaces.conftest import SPACE


SENTENCE, MENTION = "The monorail is late.", "monorail"
CLIENT = f"""
    import json, os, sys
    from huggingface_hub import snapshot_download

    from hf_mel.cli.main import main

    pushed = main(["push", "space", sys.argv[1], "org/demo"])
    folder = snapshot_download("org/demo", repo_type="space")
    sys.path.insert(0, folder)
    import linking

    demo = linking.Demo.open(os.environ)
    query = demo.query({SENTENCE!r}, {MENTION!r}, 4, None)
    linked = demo.answer(query, demo.threshold.default, 3).linked
    print(json.dumps([pushed, linking.__file__.startswith(folder), demo.model_name, len(demo.examples), linked.to_dict()]))
"""


@pytest.mark.loopback
def test_it_runs_as_it_was_pushed(tiny_space, demo):
    def files(folder):
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with Hub() as hub:
        hub.add("org/tiny", files(tiny_space / "tiny-model"))
        hub.add("org/tiny-index", files(tiny_space / "index"), kind="dataset")
        named = {"HF_MEL_MODEL": "org/tiny", "HF_MEL_INDEX": "org/tiny-index"}
        pushed, from_there, name, examples, linked = run_client(CLIENT, hub, str(SPACE), **named).answer
        there = set(hub.files("org/demo", kind="space"))
    assert pushed == 0 and from_there and name == "org/tiny"
    assert {"app.py", "README.md", "requirements.txt"} <= there
    assert not [path for path in there if "__pycache__" in path]
    assert examples == len(demo.examples)
    (here,) = demo.linker.link_queries([demo.query(SENTENCE, MENTION, 4, None)], top_k=3)
    assert linked["probability"] == pytest.approx(here.probability, abs=1e-6), "its calibration came, too"
    assert [each["entity_id"] for each in linked["candidates"]] == [each.entity_id for each in here.candidates]
