"""mteb itself evaluates a local folder. Skipped where mteb is not installed."""

import importlib.util

import numpy as np
import pytest
import yaml

from hf_mel import load_data
from hf_mel.evaluation.models import evaluate_model
from hf_mel.mteb import MTEBModel, write_mteb
from tests.mteb.common import build
from tests.training.common import tiny_linker, tiny_processor


mteb = pytest.importorskip("mteb", reason="mteb is not installed (pip install 'hf-mel[mteb]')")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("with_mteb"))
    write_mteb(folder, "org/small")
    return folder


def tasks_of(folder):
    """The module of the task file."""
    spec = importlib.util.spec_from_file_location("mteb_tasks_of_a_test", folder / "mteb_tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["SmallT2TRetrieval", "SmallIT2ITRetrieval"])
def test_scores_are_those_of_evaluate(folder, name):
    vision = "IT" in name
    model, processor = tiny_linker(vision=vision, name_features=True), tiny_processor(vision=vision)
    result, ranks = evaluate_model(model, processor, load_data(str(folder)), "test", "m", "d", "c", progress=False)
    found = mteb.evaluate(MTEBModel(model, processor), getattr(tasks_of(folder), name)(), cache=None)
    scores = found.task_results[0].scores["test"][0]
    assert scores["hits_at_1"] == scores["main_score"] == pytest.approx(result.metrics["hits@1"], abs=1e-12)
    assert scores["mrr"] == pytest.approx(result.metrics["mrr"], abs=1e-12) and scores["num_cut"] == 0
    # mteb puts tied documents in the order of their ids, descending: the twin of the only tie is the gold entity.
    by_id = np.where(ranks % 1 == 0.5, ranks - 0.5, ranks)
    assert scores["hit_rate_at_1"] == pytest.approx((by_id <= 1).mean(), abs=1e-5)
    assert scores["mrr_at_1000"] == pytest.approx((1 / by_id).mean(), abs=1e-9)


def test_a_card_that_says_nothing_gives_tasks_that_mteb_accepts(tmp_path):
    folder = build(tmp_path, front="---\nlicense: something-of-our-own\nlanguage: [tlh, fr]\n")
    write_mteb(folder, "org/small")
    metadata = tasks_of(folder).SmallT2TRetrieval.metadata
    assert (metadata.license, metadata.eval_langs, metadata.eval_splits) == (None, ["und", "fra-Latn"], ["test"])
    assert metadata.dataset["path"] == str(folder.resolve())


def test_ranks_of_any_other_model(folder):
    rank_of = tasks_of(folder).rank_of
    found = {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.1}
    assert [rank_of(found, {each}) for each in "abcd"] == [1, 2.5, 2.5, 4]
    assert rank_of(found, {"d", "b"}) == 2.5 and rank_of(found, {"e"}) == np.inf and rank_of({}, {"a"}) == np.inf


def test_eval_yaml_is_one_that_mteb_reads(folder):
    model = pytest.importorskip("mteb._hf_integration.eval_model")
    model.HFEvalMeta.model_validate(yaml.safe_load((folder / "eval.yaml").read_text(encoding="utf-8")))
