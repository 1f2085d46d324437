import shutil
from pathlib import Path

import evaluate
import pytest

import hf_mel.evaluation
from hf_mel.evaluation import MELRanking


FILE = Path(hf_mel.evaluation.__file__).with_name("mel_ranking.py")
INPUT = {
    "predictions": [["Q1", "Q2"], ["Q3", "Q2", "Q1"], ["Q5"], ["Q7"], []],
    "references": ["Q1", "Q1", "Q6", "", "Q2"],
}
EXPECTED = {"hits@1": 0.25, "hits@3": 0.5, "mrr": (1 + 1 / 3) / 4, "num_mentions": 4, "num_nil": 1}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")


def test_by_hand(tmp_path):
    metric = MELRanking(cache_dir=str(tmp_path))
    assert metric.compute(**INPUT, ks=[1, 3]) == pytest.approx(EXPECTED)


def test_batch_after_batch(tmp_path):
    metric = MELRanking(cache_dir=str(tmp_path))
    for ranked, gold in zip(*INPUT.values(), strict=True):
        metric.add_batch(predictions=[ranked], references=[gold])
    assert metric.compute(ks=[1, 3]) == pytest.approx(EXPECTED)


def test_nothing_to_rank(tmp_path):
    metric = MELRanking(cache_dir=str(tmp_path))
    assert metric.compute(predictions=[["Q1"]], references=[""]) == {"num_mentions": 0, "num_nil": 1}
    assert MELRanking(cache_dir=str(tmp_path)).compute(predictions=[], references=[]) == {
        "num_mentions": 0,
        "num_nil": 0,
    }


def test_loads_by_the_path_of_its_file_and_of_a_folder(tmp_path):
    folder = tmp_path / "mel_ranking"
    folder.mkdir()
    shutil.copy(FILE, folder)
    for path in (FILE, folder):
        metric = evaluate.load(str(path), cache_dir=str(tmp_path / "data"))
        assert metric.compute(**INPUT, ks=[1, 3]) == pytest.approx(EXPECTED)
