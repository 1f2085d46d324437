from collections import Counter
from fractions import Fraction
from itertools import permutations

import pytest

from hf_mel.doctor import diagnose
from hf_mel.doctor.leakage import expected_leakage, explained

from .common import benchmark, mention


def dealt(numbers, sentences, **changes):
    return [mention(number, text=sentence, **changes) for number, sentence in zip(numbers, sentences, strict=True)]


def test_shares_worked_out_by_hand():
    train = dealt(range(4), ["Ada one", "Ada two", "Ada three", "Ada three"])
    test = dealt(range(4, 9), ["Ada one", "ada, TWO!", "Ada four", "Ada one", "Ada five"], entity_id="Q2")
    test[4]["entity_id"] = "Q1"
    diagnosis = diagnose(benchmark(train=train, test=test))
    (pair,) = diagnosis.leakage
    assert (pair["earlier"], pair["later"]) == ("train", "test")
    assert pair["captions"] == {
        "distinct": 4, "shared": 1, "share": 0.25, "mentions": 5, "shared_mentions": 2, "mentions_share": 0.4
    }  # fmt: skip
    assert pair["captions_normalised"]["shared"] == 2 and pair["captions_normalised"]["mentions_share"] == 0.6
    assert pair["entities"]["share"] == 0.5 and pair["entities"]["mentions_share"] == 0.2
    finding = diagnosis.finding("caption_leakage")
    assert (finding.severity, finding.count, finding.total, finding.unit) == ("warning", 2, 4, "captions")
    dropped = {"train_captions_to_drop": 2, "train_mentions_to_drop": 2}
    assert finding.details == {"test_in_train": 1, "test_in_train_normalised": 2, **dropped}
    assert finding.examples[0].value == "also in train: Ada one"
    assert (diagnosis.finding("entity_overlap").count, diagnosis.finding("entity_overlap").total) == (1, 2)


def test_every_pair_of_splits_is_compared():
    rows = dict(zip(("train", "validation", "test"), (dealt([n], ["Ada here"]) for n in range(3)), strict=True))
    diagnosis = diagnose(benchmark(**rows))
    pairs = [(pair["earlier"], pair["later"], pair["captions"]["share"]) for pair in diagnosis.leakage]
    assert pairs == [("train", "validation", 1.0), ("train", "test", 1.0), ("validation", "test", 1.0)]
    assert diagnosis.finding("caption_leakage").count == 1, "one caption, though in three splits"


def test_no_leakage_and_no_second_split():
    assert diagnose(benchmark()).finding("caption_leakage") is None
    assert diagnose(benchmark(train=[mention(1), mention(2)])).leakage == []


def by_enumeration(sizes, earlier, later):
    """The same expectations from every way to deal the mentions out."""
    captions = [caption for caption, size in enumerate(sizes) for _ in range(size)]
    places = ["e"] * earlier + ["l"] * later + ["-"] * (len(captions) - earlier - later)
    shared = distinct = mentions = ways = 0
    for order in set(permutations(places)):
        ways += 1
        inside = {place: {c for c, p in zip(captions, order, strict=True) if p == place} for place in "el"}
        shared += len(inside["e"] & inside["l"])
        distinct += len(inside["l"])
        mentions += sum(p == "l" and c in inside["e"] for c, p in zip(captions, order, strict=True))
    return float(Fraction(shared, distinct)), float(Fraction(mentions, ways * later))


@pytest.mark.parametrize(
    ("sizes", "earlier", "later"),
    [((1, 2, 3), 3, 2), ((1, 1, 2, 2), 4, 2), ((4, 3), 2, 1), ((2, 2), 1, 3), ((5, 1, 1), 1, 1), ((1, 1, 1), 2, 1)],
)
def test_closed_form_equals_enumeration(sizes, earlier, later):
    expected = expected_leakage(Counter(sizes), earlier, later)
    captions, mentions = by_enumeration(sizes, earlier, later)
    assert expected["captions_share"] == pytest.approx(captions)
    assert expected["mentions_share"] == pytest.approx(mentions)


def test_what_is_said_of_the_cause():
    def pair(found, expected):
        return {"captions": {"share": found}, "expected_if_dealt_by_mention": {"captions_share": expected}}

    assert "spread over the splits" in explained(pair(0.197, 0.196))
    assert "19.6 % are expected" in explained(pair(0.005, 0.196)) and "keeps" in explained(pair(0.005, 0.196))
    assert "Hardly any caption" in explained(pair(0.3, 0.0))
