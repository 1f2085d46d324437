"""Finished runs: a tiny one that is trained once, and copies of it to be changed."""

import shutil

import pytest
from transformers import AutoModel

from hf_mel import Calibration
from hf_mel.linking.index.fingerprints import describe_model
from hf_mel.recipes import recipe_from_dict
from hf_mel.runs import run_recipe
from tests.tiny_recipe import tiny_recipe


COMMAND = "hf-mel train recipe.yaml --set training.output_dir=/home/alice/runs/out data.raw_dir='/home/alice b/raw'"


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A run with a result and a calibration."""
    folder = tmp_path_factory.mktemp("cards") / "alice" / "out"
    run_recipe(recipe_from_dict(tiny_recipe(folder)), COMMAND)
    metrics = {"split": "test", "mentions": 10, "nil": 2, "ece": 0.1234, "nil_f1": 0.5678, "brier": 0.25}
    Calibration(
        temperature=0.1,
        nil_score=0.2,
        threshold=0.3,
        num_candidates=64,
        setup={
            "model": describe_model(AutoModel.from_pretrained(folder))["fingerprint"],
            "candidates": "dense",
            "num_candidates": 64,
            "reranker": None,
            "exact": True,
        },
        fitted_on={"data": "miniature", "split": "validation", "hidden_sets": 1, "nil_share": 0.2},
        metrics={"fitted": metrics | {"split": "validation", "observations": 40}, "measured": metrics},
    ).save(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    ignored = shutil.ignore_patterns("checkpoint-*")
    return shutil.copytree(trained, tmp_path / "path" / "to" / "checkpoint", ignore=ignored)
