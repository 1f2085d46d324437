"""The benchmark of the reader of Wikidata: its dump, and the table that it writes."""

import json
from pathlib import Path

import pytest

from hf_mel.data import build_from_wikidata


ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import wikidata_speed

    return wikidata_speed


def test_the_dump_is_read_without_loss(benchmark, tmp_path):
    size = benchmark.write_dump(tmp_path / "dump.json", 50)
    assert size == (tmp_path / "dump.json").stat().st_size - len("[\n]\n")
    report = build_from_wikidata(tmp_path / "dump.json", tmp_path / "kb", **benchmark.OPTIONS)
    assert (report["entities_read"], report["entities"], report["bad_lines"]["count"]) == (50, 25, 0)
    assert {kind: entry["count"] for kind, entry in report["left_out"].items()} == {"type": 25}
    assert report["with"]["attributes"] == 25 and not report["values_left_out"]


def test_the_published_table_is_that_of_the_file(benchmark):
    record = json.loads(benchmark.OUTPUT.read_text(encoding="utf-8"))
    assert benchmark.table(record) in benchmark.PAGE.read_text(encoding="utf-8")
    # Bounded memory: far below the JSON, most of which would otherwise be kept.
    assert all(10 * run["peak_memory"] < 3 * record["json_bytes"] for run in record["runs"])
