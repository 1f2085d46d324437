from hf_mel.doctor import diagnose

from .common import benchmark, mention


def compared(published, report=None, **splits):
    diagnosis = diagnose(benchmark(report=report, **splits), published=published)
    return diagnosis, {row["name"]: row for row in diagnosis.published}


def test_counts():
    train = [mention(1), mention(2, text="Ada at desk 1"), mention(3, entity_id=None)]
    statistics = diagnose(benchmark(train=train, test=[mention(4, entity_id="Q2"), mention(1, id="x")])).statistics
    assert {name: value for name, value in statistics.items() if name != "splits"} == {
        "mentions": 5, "sentences": 3, "captions": None, "nil": 1, "gold_entities": 2, "entities": 3
    }  # fmt: skip
    assert statistics["splits"]["train"] == {
        "mentions": 3, "sentences": 2, "captions": None, "nil": 1, "gold_entities": 1, "with_picture": 0
    }  # fmt: skip


def test_captions_of_mentions_dealt_out_one_by_one_count_once():
    report = {"splits": {"train": {"captions": 2}, "test": {"captions": 2}}}
    train, test = [mention(1, id="a-0"), mention(2, id="b-0")], [mention(3, id="a-1"), mention(4, id="c-0")]
    assert diagnose(benchmark(report=report, train=train, test=test)).statistics["captions"] == 3
    other = [mention(3, id="seven"), mention(4, id="eight")]
    assert diagnose(benchmark(report=report, train=train, test=other)).statistics["captions"] == 4


def test_equal_numbers_are_equal():
    diagnosis, rows = compared({"train": 1, "validation": 1, "test": 1, "sentences": 3, "entities": [4, 3]})
    assert all(row["explanation"] is None for row in rows.values())
    assert rows["mentions"]["published"] == 3, "the sum of the splits"
    assert diagnosis.finding("statistics_differ") is diagnosis.finding("statistics_unexplained") is None


def test_a_difference_without_reason_is_unexplained():
    diagnosis, rows = compared({"sentences": 7, "entities": 3, "test_sentences": 2, "source": "paper", "topics": 5})
    assert rows["sentences"] == {"name": "sentences", "here": 3, "published": 7, "explanation": "unexplained"}
    assert rows["topics"]["here"] is None and "cannot be counted" in rows["topics"]["explanation"]
    assert "source" not in rows, "not a number"
    finding = diagnosis.finding("statistics_unexplained")
    assert (finding.severity, finding.count, finding.total) == ("warning", 2, 4)
    assert finding.examples[0].place == "sentences" and "3 here, 7 expected" in finding.examples[0].value
    assert diagnosis.is_wrong(strict=True) and not diagnosis.is_wrong()


def test_the_same_mentions_split_otherwise():
    diagnosis, rows = compared({"train": 2, "validation": 0, "test": 1}, {"split_rule": "by hash"})
    assert rows["train"]["explanation"] == "the same mentions in all, split otherwise (by hash)"
    assert diagnosis.finding("statistics_differ").severity == "info"


def test_distinct_sentences_and_captions():
    report = {"splits": {"train": {"captions": 2}}}
    rows = [mention(1), mention(2, text="Ada at desk 1")]
    assert "1 of them repeat" in compared({"sentences": 2}, report, train=rows)[1]["sentences"]["explanation"]
    assert "1 captions repeat" in compared({"captions": 1}, report, train=rows)[1]["captions"]["explanation"]


def test_mentions_that_the_reader_left_out():
    report = {"splits": {"train": {"left_out": 2}, "validation": {"left_out": 0}, "test": {"left_out": 0}}}
    expected = {"train": 3, "validation": 1, "test": 2, "sentences": 4}
    rows = compared(expected, report)[1]
    assert rows["train"]["explanation"] == "the reader left out 2 mentions"
    assert rows["sentences"]["explanation"] == "the reader left out 2 mentions", "at most as many sentences are gone"
    assert rows["test"]["explanation"] == "unexplained", "nothing was left out there"
    assert rows["mentions"]["explanation"] == "unexplained", "3 and 2 are not 6"
    assert compared({"sentences": 6}, report)[1]["sentences"]["explanation"] == "unexplained"


def test_numbers_of_the_release_by_default():
    report = {"benchmark": "wikimel", "layout": "ghmfc"}
    diagnosis = diagnose(benchmark(report=report))
    assert {row["name"]: row["published"] for row in diagnosis.published}["entities"] == 18_880
    assert diagnosis.release.title == "GHMFC" and diagnosis.to_dict()["release"]["layout"] == "ghmfc"
    text = diagnosis.to_text()
    assert "Next to the complete release (GHMFC)" in text and diagnosis.release.note in text
    assert "Next to the complete release (GHMFC)" in diagnosis.to_html()
    assert diagnose(benchmark(report=report), published={}).published == []
    assert diagnose(benchmark(report={"benchmark": "wikimel"})).published == []


def test_gold_entities_as_knowledge_base():
    assert "easier" in compared({"entities": 10}, {"knowledge_base": "gold entities"})[1]["entities"]["explanation"]
    assert compared({"entities": 10})[1]["entities"]["explanation"] == "unexplained"
