import pytest

from hf_mel.data import MELData
from hf_mel.doctor import diagnose

from .common import benchmark, found, mention


def test_nothing_wrong():
    diagnosis = diagnose(benchmark())
    assert [finding.id for finding in diagnosis.findings] == ["entity_overlap"]
    assert not diagnosis.is_wrong() and not diagnosis.is_wrong(strict=True)
    assert diagnosis.verdict == "nothing wrong"
    assert "offsets that do not match" in diagnosis.passed


def test_gold_ids_absent_from_the_knowledge_base_are_counted_not_raised():
    rows = [mention(1, entity_id="Q99"), mention(2, entity_id="Q99"), mention(3, entity_id="Q98"), mention(4)]
    finding = found("unknown_gold", train=rows, test=[mention(5)])
    assert (finding.severity, finding.count, finding.total, finding.share) == ("error", 3, 5, 0.6)
    assert finding.details == {"train": 3, "distinct_ids": 2}
    assert finding.examples[0].place == "train, mention 'm1'" and "'Q99'" in finding.examples[0].value


def test_nil_share():
    finding = found("nil", train=[mention(1, entity_id=None), mention(2)], test=[mention(3, entity_id=None)])
    assert (finding.severity, finding.count, finding.total) == ("info", 2, 3)
    assert finding.details == {"train": 1, "test": 1}


def test_duplicate_ids_within_and_between_splits_and_without():
    rows = [mention(1), mention(2, id="m1"), mention(3, id=" ")]
    finding = found("duplicate_mention_ids", train=rows, test=[mention(4, id="m1")])
    assert finding.severity == "error" and finding.count == 3
    assert finding.details == {"in_the_same_split": 1, "without_id": 1, "in_another_split": 1}


def test_mentions_not_in_their_sentence():
    away = {"start": None, "end": None}
    rows = [mention(1, mention="Eva", **away), mention(2, mention="ADA", **away), mention(3)]
    finding = found("mentions_not_in_text", train=rows)
    assert (finding.severity, finding.count, finding.total) == ("warning", 2, 3)
    assert finding.details == {"train": 2, "found_without_case": 1}
    assert "'Eva' in 'Ada at desk 1'" in finding.examples[0].value


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (1, 4, "1:4 is 'da '"),
        (0, None, "only one of start=0 and end=None"),
        (None, 3, "only one of"),
        (40, 43, "40:43 is outside the sentence of 13 characters"),
        (-13, -10, "-13:-10 is outside"),
    ],
)
def test_offsets_that_do_not_match(start, end, told):
    finding = found("offset_mismatches", train=[mention(1, start=start, end=end), mention(2)])
    assert finding.severity == "error" and finding.count == 1
    assert told in finding.examples[0].value


def test_offsets_absent_though_the_mention_is_there():
    diagnosis = diagnose(benchmark(train=[mention(1, start=None, end=None), mention(2)]))
    assert diagnosis.finding("offsets_absent").count == 1
    assert diagnosis.finding("offset_mismatches") is None


def test_empty_texts():
    rows = [
        mention(1, text="", start=None, end=None),
        mention(2, mention=" ", start=None, end=None),
        mention(3, text=None, start=None, end=None),
        mention(4, text="Ada"),
    ]
    diagnosis = diagnose(benchmark(train=rows))
    assert diagnosis.finding("empty_texts").count == 2
    assert diagnosis.finding("empty_mentions").count == 1
    assert diagnosis.finding("one_word_texts").count == 1
    assert diagnosis.finding("mentions_not_in_text") is None, "told already"
    assert diagnosis.is_wrong()


def test_a_sentence_without_spaces_is_not_one_word():
    chinese = {"mention": "北京", "start": 2, "end": 4}
    rows = [
        mention(1, text="我在北京工作了三年。", **chinese),
        mention(2, text="北京", **chinese | {"start": 0, "end": 2}),
    ]
    finding = found("one_word_texts", train=rows)
    assert [example.value for example in finding.examples] == ["北京"], "the mention alone gives no context"


def test_repeated_and_contradictory_mentions():
    same = {"text": "Ada and Ada", "start": 0, "end": 3}
    rows = [mention(1, **same), mention(2, **same), mention(3, **{**same, "start": 8, "end": 11})]
    test = [mention(4, entity_id="Q2", **same), mention(5, **same)]
    diagnosis = diagnose(benchmark(train=rows, test=test))
    repeated = diagnosis.finding("repeated_mentions")
    assert (repeated.count, repeated.details) == (2, {"in_the_same_split": 1, "in_another_split": 1})
    contradictory = diagnosis.finding("contradictory_mentions")
    assert contradictory.count == 1
    assert contradictory.examples[0].record == "m4" and "Q2, but Q1" in contradictory.examples[0].value


def test_gold_name_unlike_that_of_the_knowledge_base():
    entities = [{"id": "Q1", "name": "Ada Lovelace", "aliases": ["Countess"], "attributes": "x"}]
    names = ("Ada_lovelace", "countess", "Robin Hood", None)
    rows = [mention(number, entity_name=name) for number, name in enumerate(names)]
    finding = found("gold_name_differs", entities, train=rows)
    assert finding.count == 1 and "'Robin Hood' here, 'Ada Lovelace'" in finding.examples[0].value


def test_records_that_the_reader_left_out():
    left_out = [{"split": "train", "record": "7-1", "reason": "`mention` is null or no string"}]
    report = {"records_left_out": left_out, "splits": {"train": {"left_out": 3}, "test": {"left_out": 0}}}
    found = diagnose(benchmark(report=report, train=[mention(0)], test=[mention(1)])).finding("records_left_out")
    assert (found.severity, found.count, found.total, found.details) == ("warning", 3, 5, {"train": 3})
    assert [(each.place, each.value) for each in found.examples] == [("train, mention '7-1'", left_out[0]["reason"])]


def test_an_empty_split_and_one_more_split():
    diagnosis = diagnose(benchmark(train=[mention(1)], test=[], hard=[mention(2, text="Ada at desk 1")]))
    finding = diagnosis.finding("empty_splits")
    assert (finding.count, finding.total, finding.examples[0].place) == (1, 3, "test")
    assert [(pair["earlier"], pair["later"]) for pair in diagnosis.leakage] == [("train", "hard")]
    assert list(diagnosis.statistics["splits"]) == ["train", "test", "hard"]


def test_examples_are_few_and_the_count_is_not():
    finding = found("nil", train=[mention(number, entity_id=None) for number in range(40)])
    assert finding.count == 40 and [example.record for example in finding.examples] == [f"m{n}" for n in range(10)]


def test_a_missing_column_is_named():
    data = benchmark(train=[mention(1)])
    data.mentions["train"] = data.mentions["train"].remove_columns(["topic", "start"])
    with pytest.raises(ValueError, match="split 'train' has no column start, topic"):
        diagnose(MELData(data.mentions, data.entities))
