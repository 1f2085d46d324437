"""The order of candidates must not give the gold entity away."""

import random

import pytest
from datasets import Features, List, Value

from hf_mel.data import MENTION_FEATURES, MELData
from hf_mel.doctor import diagnose

from .common import benchmark, mention, table


KIND = "gold_position_in_candidates"
IDS = ["Q1", "Q2", "Q3"]


def with_candidates(lists, split="train", report=None):
    """Mentions of Q1 with these candidates; another split has none of its own."""
    data = benchmark(report=report, train=[mention(0)], test=[mention(1)])
    features = Features({**MENTION_FEATURES, "candidates": List(Value("string"))})
    rows = [mention(number + 10, candidates=found) for number, found in enumerate(lists)]
    data.mentions[split] = table(rows, features)
    return MELData(data.mentions, data.entities, data.report)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (lambda number: ["Q1", "Q2", "Q3"], "first"),
        (lambda number: ["Q3", "Q1", "Q2"], "number 2"),
        (lambda number: ["Q3", "Q2"][number % 2 :] + ["Q1"], "last"),  # lists of two lengths
    ],
)
def test_one_and_the_same_position(place, name):
    diagnosis = diagnose(with_candidates([place(number) for number in range(20)], "test"))
    found = diagnosis.finding(KIND)
    assert (found.severity, found.count, found.details) == ("warning", found.total, {f"test: {name}": found.count})
    assert f"Q1 is the {name} of" in found.examples[0].value and len(found.examples) == 3
    assert not diagnosis.is_wrong() and diagnosis.is_wrong(strict=True)


def test_one_exception_does_not_hide_it():
    lists = [["Q1", "Q2", "Q3"]] * 100 + [["Q2", "Q1", "Q3"]]
    assert diagnose(with_candidates(lists)).finding(KIND).count == 100
    assert diagnose(with_candidates(lists + [["Q2", "Q1", "Q3"]] * 3)).finding(KIND) is None


def test_what_gives_nothing_away():
    generator = random.Random(0)
    shuffled = [generator.sample(IDS, 3) for _ in range(50)]
    assert diagnose(with_candidates(shuffled)).finding(KIND) is None
    for lists in ([["Q1"]] * 50, [["Q2", "Q3"]] * 50, [None, []] * 5, [["Q1", "Q2", "Q3"]] * 4):
        assert diagnose(with_candidates(lists)).finding(KIND) is None, lists[:1]
    assert diagnose(benchmark()).finding(KIND) is None


def test_a_column_of_another_kind_is_no_list():
    data = benchmark()
    data.mentions["train"] = data.mentions["train"].add_column("candidates", ["Q1, Q2"])
    assert diagnose(data).finding(KIND) is None


def test_the_reader_says_what_it_sorted():
    lists = [["Q1", "Q2", "Q3"], ["Q2", "Q1", "Q3"]]
    found = diagnose(with_candidates(lists, report={"gold_first_in_released_candidates": 2})).finding(KIND)
    assert found.count == 2 and found.details == {"in the released files: first": 2}
    assert found.examples[0].place == "files" and "sorted by id" in found.examples[0].value
