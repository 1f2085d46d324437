"""The metric as a Space: published, loaded by its name, and its page."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import yaml

from hf_mel.evaluation import MELRanking
from tests.hub import READ_TOKEN, run_client


SPACE = Path(__file__).parents[2] / "spaces" / "mel_ranking"
INPUT = {
    "predictions": [["Q1", "Q2"], ["Q3", "Q2", "Q1"], ["Q5"], ["Q7"], []],
    "references": ["Q1", "Q1", "Q6", "", "Q2"],
}

PUSH = """
import sys
from hf_mel.cli.main import main

print(main(["push", "space", sys.argv[1], "org/mel_ranking"]))
"""

LOAD = """
import json, sys
import evaluate

sys.modules["hf_mel"] = None  # importing it raises
try:
    without = evaluate.load("org/mel_ranking")
except ImportError as error:
    without = str(error)
del sys.modules["hf_mel"]

metric = evaluate.load("org/mel_ranking", module_type="metric")
values = metric.compute(**json.loads(sys.argv[1]), ks=[1, 3])
print(json.dumps([without, values, type(metric).__name__, metric.module_type]))
"""


@pytest.mark.loopback
def test_the_metric_is_pushed_and_loaded_by_its_name(hub, tmp_path):
    assert run_client(PUSH, hub, str(SPACE)).answer == 0
    files = hub.files("org/mel_ranking", kind="space")
    assert hub.repo("org/mel_ranking", "space").sdk == "gradio"
    assert files == {
        name: (SPACE / name).read_bytes() for name in ("README.md", "app.py", "mel_ranking.py", "requirements.txt")
    }
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["sdk"] == "gradio" and {"evaluate", "metric"} <= set(front["tags"]) and front["app_file"] == "app.py"

    without, found, kind, module_type = run_client(LOAD, hub, json.dumps(INPUT), token=READ_TOKEN).answer
    here = MELRanking(cache_dir=str(tmp_path)).compute(**INPUT, ks=[1, 3])
    assert found == pytest.approx(here) and (kind, module_type) == ("MELRanking", "metric")
    assert hub.asked("GET", "/spaces/org/mel_ranking/resolve/main/mel_ranking.py", status=200)

    assert "To be able to use org/mel_ranking, you need to install" in without and "pip install hf-mel" in without


@pytest.fixture
def app(monkeypatch):
    """The page's module, as the Space runs it."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.syspath_prepend(str(SPACE))
    monkeypatch.delitem(sys.modules, "mel_ranking", raising=False)
    spec = importlib.util.spec_from_file_location("mel_ranking_app", SPACE / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("mel_ranking", None)


def test_the_page_computes_the_same(app, tmp_path):
    rows = [["Q1, Q2", "Q1"], ["Q3 Q2 Q1", " Q1 "], ["Q5", "Q6"], ["Q7", None], ["", "Q2"], ["", ""]]
    here = MELRanking(cache_dir=str(tmp_path)).compute(**INPUT, ks=[1, 3])
    assert app.compute(rows, "1, 3") == here
    page = app.build()
    assert page.fn is app.compute and "NIL" in page.description
    assert app.compute(app.EXAMPLE, "1") == {"hits@1": 0.5, "mrr": 0.75, "mr": 1.5, "num_mentions": 2, "num_nil": 1}


@pytest.mark.parametrize(
    ("rows", "ks", "message"),
    [
        ([["", ""]], "1", "Fill in a row"),
        ([["Q1", "Q1"]], "0", "numbers from 1"),
        ([["Q1", "Q1"]], "", "numbers from 1"),
    ],
)
def test_what_the_page_cannot_use_is_told(app, rows, ks, message):
    import gradio

    with pytest.raises(gradio.Error, match=message):
        app.compute(rows, ks)
