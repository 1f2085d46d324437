"""Hits of groups."""

import numpy as np
import pytest
from datasets import Dataset

from hf_mel import KnowledgeBase, PGMELConfig, PGMELModel, make_miniature
from hf_mel.doctor.groups import ambiguity_labels, namesakes, picture_labels
from hf_mel.doctor.linkability import measure_ambiguity
from hf_mel.evaluation import group_hits
from hf_mel.evaluation.models import describe_ranks
from hf_mel.reporting import plots
from hf_mel.reporting.groups import group_table
from tests.conftest import TINY_TEXT, TINY_VISION


NAMES = ["Robin Williams", "Serena  Williams", "Williamson", "Orange", "🔥", "St. John"]
ALIASES = [["Mork", "Williams"], ["WILLIAMS"], [], ["the orange", "O"], ["fire"], []]
KB = KnowledgeBase.from_records(
    [{"id": name, "name": name, "aliases": own} for name, own in zip(NAMES, ALIASES, strict=True)]
)


@pytest.mark.parametrize(
    ("mention", "count"),
    [
        ("williams", 2),  # an entity with two fitting names counts once
        ("Williams ", 2),
        ("Ｗilliams", 2),  # a wide letter
        ("serena williams", 1),
        ("Williams Serena", 1),  # in whatever order
        ("Robin Serena", 0),  # no name has both
        ("liam", 0),  # within a word
        ("orange", 1),
        ("🔥", 1),
        ("fire", 1),
        ("st. john", 1),
        ("t. john", 0),
        ("banana", 0),
        ("?", 0),
        ("", 0),
    ],
)
def test_namesakes(mention, count):
    assert namesakes([mention], KB).tolist() == [count]


def test_namesakes_keep_the_order():
    assert namesakes(["fire", "williams", "x", "fire"], KB).tolist() == [1, 2, 0, 1]


def test_ambiguity_groups():
    labels, order = ambiguity_labels(np.array([0, 1, 2, 5, 6, 20, 21, 500]))
    assert order == ["0", "1", "2-5", "6-20", ">20"]
    assert labels == ["0", "1", "2-5", "2-5", "6-20", "6-20", ">20", ">20"]


def test_ambiguity_is_that_of_the_doctor():
    mentions = ["williams", "serena_williams", "fire", "zzz", "O", "Williams"]
    measured = measure_ambiguity({"test": {"mention": mentions, "entity_id": [None] * len(mentions)}}, KB)
    labels, order = ambiguity_labels(namesakes(mentions, KB))
    assert {name: labels.count(name) for name in order} == measured["within_name"]
    assert labels == ["2-5", "1", "1", "0", "1", "2-5"]


def test_picture_groups():
    qualities = Dataset.from_dict(
        {"image_quality": ["missing", "good", None, "low_value", "blurred"], "image_status": ["ok"] * 5}
    )
    labels, order, column = picture_labels(qualities)
    assert column == "image_quality" and labels == ["missing", "good", "not said", "low value", "blurred"]
    assert [name for name in order if name in labels] == ["good", "low value", "missing", "blurred", "not said"]
    statuses = Dataset.from_dict({"image_status": ["none", "ok", "unreadable", None]})
    labels, order, column = picture_labels(statuses)
    assert column == "image_status" and labels == ["no picture", "with a picture", "unreadable file", "not said"]
    assert set(labels) <= set(order)


def test_hits_by_hand():
    ranks = np.array([1.0, 2.0, 1.0, 6.0, np.inf, 1.0])
    groups = group_hits(ranks, ["a", "a", "b", "b", "b", "b"], ["b", "empty", "a"])
    assert [(group.name, group.count) for group in groups] == [("b", 4), ("a", 2)]
    assert [group.metrics["hits@1"] for group in groups] == [0.5, 0.5]
    assert [group.metrics["hits@5"] for group in groups] == [0.5, 1.0]
    assert group_table(groups, "group")[1][:3] == ["b", "4", "50.0 %"]
    assert all(group.interval.low <= 0.5 <= group.interval.high for group in groups)
    with pytest.raises(ValueError, match="1 groups for 6 ranks"):
        group_hits(ranks, ["a"], ["a"])
    with pytest.raises(ValueError, match="lacks b"):
        group_hits(ranks, ["a"] * 5 + ["b"], ["a"])


def test_bars_are_the_hits():
    groups = group_hits(np.array([1.0, 2.0, 1.0, 6.0]), ["a $x^2$", "a $x^2$", "b", "b"], ["a $x^2$", "b"])
    figure = plots.new_figure(plots.draw_groups(groups))
    five, one = figure.axes[0].containers[:2]
    assert [bar.get_width() for bar in one] == [0.5, 0.5] and [bar.get_width() for bar in five] == [1.0, 0.5]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a $x^2$ (2)", "b (2)"]
    broken = plots.render(plots.draw_groups(group_hits(np.array([1.0]), ["$\\nosuch{$"], ["$\\nosuch{$"])), "")
    assert broken.light.startswith(b"\x89PNG"), "a name is no formula"


@pytest.mark.parametrize(("vision", "groups"), [(TINY_VISION, ["image_status", "namesakes"]), (None, ["namesakes"])])
def test_a_text_only_model_has_no_groups_by_picture(vision, groups):
    data = make_miniature(num_entities=10, num_train=5, num_validation=1, num_test=6)
    linked = sum(gold is not None for gold in data.mentions["test"]["entity_id"][:])
    model = PGMELModel(PGMELConfig(text_config=dict(TINY_TEXT), vision_config=vision and dict(vision)))
    about = {"model_name": "m", "data_name": "miniature", "seeds": [0], "command": "c", "model": model}
    assert list(describe_ranks(np.ones(linked), data, "test", **about).groups) == groups
