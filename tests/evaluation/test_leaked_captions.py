"""Metrics with and without the mentions whose caption also occurs in training, worked out by hand."""

import numpy as np
import pytest
from datasets import DatasetDict

from hf_mel.cli.show import metrics_line
from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES, KnowledgeBase, MELData
from hf_mel.data.schema import dataset_of_columns
from hf_mel.evaluation import EvaluationResult
from hf_mel.evaluation.models import describe_ranks
from hf_mel.hub.card_text import _leakage
from hf_mel.reporting.page import result_table


def mentions(*texts):
    ids = [f"m{number}" for number in range(len(texts))]
    columns = {
        "id": ids,
        "mention": ["Ada"] * len(ids),
        "text": list(texts),
        "entity_id": ["Q1"] * len(ids),
        "image_status": ["none"] * len(ids),
    }
    return dataset_of_columns(columns, MENTION_FEATURES)


def described(train, test, ranks, split="test"):
    kb = KnowledgeBase(dataset_of_columns({"id": ["Q1"], "name": ["Ada"], "image_status": ["none"]}, ENTITY_FEATURES))
    tables = {"train": mentions(*train), "test": mentions(*test)} if train else {"test": mentions(*test)}
    about = {"model_name": "m", "data_name": "d", "seeds": [], "command": "c"}
    return describe_ranks(np.array(ranks, dtype=float), MELData(DatasetDict(tables), kb, {}), split, **about)


def test_both_sets_are_counted_and_measured(tmp_path):
    # The first and the last caption are in train, one of them spelled otherwise.
    test = ["Ada at the desk.", "Ada again.", "Ada in Rome", "Ada here", "ADA AT  THE door!"]
    result = described(["Ada at the desk.", "Ada, at the door"], test, [1, 1, 2, 4, 1])
    assert result.metrics["hits@1"] == pytest.approx(3 / 5) and result.metrics["num_mentions"] == 5
    assert (result.leaked["num_mentions"], result.leaked["hits@1"], result.leaked["mrr"]) == (2, 1.0, 1.0)
    without = result.without_leaked
    assert (without["num_mentions"], without["hits@1"]) == (3, pytest.approx(1 / 3))
    assert without["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    again = EvaluationResult.load(result.save(tmp_path / "result.json"))
    assert (again.leaked, again.without_leaked) == (result.leaked, result.without_leaked)
    assert _leakage([result]) == [
        "d, test: the captions of 2 of 5 mentions also occur in training; without them H@1 33.3 instead of 60.0, MRR 58.3 "
        "instead of 75.0."
    ]
    assert "  without 2 mentions whose caption is also in train: hits@1 33.3  hits@3 66.7" in metrics_line(result)
    rows = {row[0]: row[1:3] for row in result_table(result)}
    assert rows["caption also in training"] == ["2", "100.0 %"] and rows["caption not in training"] == ["3", "33.3 %"]


def test_nothing_is_said_where_nothing_leaks():
    for result in (
        described(["Bea"], ["Ada at the desk."], [1]),
        described([], ["Ada at the desk."], [1]),
        described(["Ada", "Ada"], ["Ada"], [1, 2], split="train"),
    ):
        assert result.leaked is result.without_leaked is None and _leakage([result]) == []
        assert "also in train" not in metrics_line(result) and len(metrics_line(result).splitlines()) == 2


def test_everything_may_leak():
    result = described(["Ada"], ["Ada", "ada."], [1, 2])
    assert result.without_leaked == {"num_mentions": 0}
    assert _leakage([result]) == ["d, test: the captions of 2 of 2 mentions also occur in training."]
    assert "without 2 mentions whose caption is also in train: no mention is left" in metrics_line(result)
