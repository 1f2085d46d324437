import pytest

from hf_mel.doctor import diagnose

from .common import benchmark, mention


def people(count, name="Ada"):
    return [{"id": f"Q{number}", "name": f"{name} {number}", "attributes": "x"} for number in range(count)]


def test_ambiguity_by_bucket():
    entities = [
        {"id": "Q1", "name": "Ada", "attributes": "x"},
        {"id": "Q2", "name": "ADA", "attributes": "x"},
        {"id": "Q3", "name": "Robin", "aliases": ["Ada", "ada"], "attributes": "x"},
        {"id": "Q4", "name": "Eva Ada Braun", "attributes": "x"},
    ]
    rows = [
        mention(1), mention(2, mention="Robin", entity_id="Q4"), mention(3, mention="Zoe"),
        mention(4, mention="ada eva", entity_id="Q4"), mention(5, mention="Robin", entity_id=None),
    ]  # fmt: skip
    ambiguity = diagnose(benchmark(entities, train=rows)).ambiguity
    assert ambiguity["same_name"] == {"0": 2, "1": 2, "2-5": 1, "6-20": 0, ">20": 0}
    assert ambiguity["within_name"] == {"0": 1, "1": 3, "2-5": 1, "6-20": 0, ">20": 0}
    assert (ambiguity["gold_same_name"], ambiguity["gold_within_name"], ambiguity["linked"]) == (1, 2, 4)
    assert ambiguity["most_ambiguous"] == [{"mention": "ada", "entities": 4}]


@pytest.mark.parametrize(
    ("count", "bucket"), [(1, "1"), (2, "2-5"), (5, "2-5"), (6, "6-20"), (20, "6-20"), (21, ">20")]
)
def test_bucket_borders(count, bucket):
    entities = [{"id": f"Q{number}", "name": "Ada", "attributes": str(number)} for number in range(count)]
    ambiguity = diagnose(benchmark(entities, train=[mention(1, entity_id="Q0")])).ambiguity
    assert ambiguity["same_name"][bucket] == 1 and sum(ambiguity["same_name"].values()) == 1


def test_recall_of_lexical_candidates():
    """Of 120 entities of equal likeness the first 100 are candidates, by row."""
    rows = [mention(number, entity_id=f"Q{gold}") for number, gold in enumerate((0, 9, 10, 99, 100))]
    rows += [mention(8, entity_id=None), mention(9, entity_id="Q999")]
    data = benchmark(people(120), train=rows, test=[mention(10, entity_id="Q3")])
    diagnosis = diagnose(data)
    recall = diagnosis.candidates["recall"]
    assert recall["train"]["linked"] == 5, "neither NIL nor a gold id that is unknown"
    assert recall["test"] == {"linked": 1, "recall@10": 1.0, "recall@100": 1.0}
    assert recall["all"]["linked"] == 6
    assert recall["train"]["recall@10"] <= recall["train"]["recall@100"] == 0.8
    assert diagnosis.finding("gold_beyond_candidates").count == 1
    assert "TF-IDF" in diagnosis.candidates["index"] and diagnosis.candidates["entities"] == 120


def test_nothing_to_recall():
    assert diagnose(benchmark(train=[mention(1, entity_id=None)])).candidates is None
    symbols = [{"id": "Q1", "name": "😀", "attributes": "x"}]
    assert diagnose(benchmark(symbols, train=[mention(1)])).candidates is None
