from hf_mel.doctor import diagnose

from .common import ENTITIES, benchmark, found


def entity(number, name, text="text"):
    return {"id": f"Q{number}", "name": name, "attributes": f"{text} {number}"}


def test_duplicate_names():
    names = ("Ada", "Paris", "Paris", "Paris", "Bern", "Bern")
    finding = found("duplicate_names", [entity(number, name) for number, name in enumerate(names, start=1)])
    assert (finding.severity, finding.count, finding.total, finding.details) == ("info", 5, 6, {"names": 2})
    assert finding.examples[0].value == "'Paris': 3 entities (Q2, Q3, Q4)", "the most frequent first"


def test_names_equal_after_normalisation():
    names = ("Ada", "New York", "new_york", "New  York", "Bern", "Bern")
    diagnosis = diagnose(benchmark([entity(number, name) for number, name in enumerate(names, start=1)]))
    finding = diagnosis.finding("names_equal_normalised")
    assert (finding.count, finding.details) == (3, {"names": 1})
    assert finding.examples[0].value == "'New York', 'new_york', 'New  York' (Q2, Q3, Q4)"
    assert diagnosis.finding("duplicate_names").count == 2, "exactly equal names are another finding"


def test_ids_that_differ_in_case_only():
    finding = found("similar_entity_ids", [*ENTITIES, {"id": "q1", "name": "Eva", "attributes": "x"}])
    assert (finding.severity, finding.count) == ("warning", 2)
    assert finding.examples[0].value == "Q1, q1"


def test_identical_entities():
    twin = {**ENTITIES[0], "id": "Q9", "name": "ada lovelace"}
    finding = found("identical_entities", [*ENTITIES, twin])
    assert (finding.severity, finding.count, finding.details) == ("warning", 2, {"groups": 1})
    assert finding.examples[0].value.startswith("Q1, Q9: 'Ada Lovelace'")


def test_entities_without_text():
    described = {"id": "Q4", "name": "Eva", "description": "pilot"}
    finding = found("entities_without_text", [*ENTITIES, described, {"id": "Q5", "name": "Bob", "attributes": " "}])
    assert (finding.count, finding.total, finding.examples[0].record) == (1, 5, "Q5")
