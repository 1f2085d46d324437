"""Ten languages: no language collapses for a reason of ours, and the table is that of the file."""

import json
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import languages

        yield languages


@pytest.fixture(scope="module")
def measured(benchmark):
    return benchmark.measure()


def test_the_set_has_ten_languages(benchmark):
    kb, mentions = benchmark.load()
    languages = dict.fromkeys(mention.language for mention in mentions)
    assert len(languages) == 10 and len(kb) == 100 and len(mentions) == 120
    assert all(mention.text[mention.start : mention.end] == mention.mention for mention in mentions)
    assert all(mention.entity_id in kb for mention in mentions)
    assert {mention.entity_id for mention in mentions} == set(kb.ids), "each entity is mentioned"


def test_long_texts_fill_the_window_in_every_language(measured):
    for language, row in measured.items():
        assert row["cut"] >= 4, language
        # A word that does not fit is left out: up to 7 tokens of 48 in German and Russian. Less means that a side was given away.
        assert row["window_used"] >= 0.9, language
        assert row["both_sides"] == 1, language


def test_offsets_are_right_in_every_language(measured):
    assert {row["offsets_right"] for row in measured.values()} == {1.0}


def test_exact_names_are_found_in_every_language(measured):
    for language, row in measured.items():
        assert row["exact"] >= 4 and row["exact_found"] == 1, language


def test_candidates_hold_the_gold_entity_in_every_language(measured):
    for language, row in measured.items():
        assert row["recall@5"] == 1, language
        # One of twelve may have a namesake before it: an inflected or shortened form shares as much with another name.
        assert row["recall@1"] >= 11 / 12 - 1e-9, language


def test_the_table(benchmark):
    row = {
        "window_used": 0.951,
        "both_sides": 1.0,
        "offsets_right": 1.0,
        "exact": 8,
        "exact_found": 0.5,
        "recall@1": 0.92,
    }
    record = {"command": "c", "date": "d", "environment": {"git_commit": "abc", "machine": "2 CPU cores"}}
    text = benchmark.table(record | {"languages": {"Thai": row | {"recall@5": 1.0}}})
    assert "| Thai | 95% | 100% | 100% | 50% of 8 | 92% | 100% |" in text and "MiniLM" not in text
    assert text.endswith("`c`; commit abc, 2 CPU cores, d.")


def test_the_published_table_is_that_of_the_file(benchmark):
    record = json.loads(benchmark.OUTPUT.read_text(encoding="utf-8"))
    assert benchmark.table(record) in benchmark.PAGE.read_text(encoding="utf-8")
    assert len(record["languages"]) == 10
