"""The benchmark of the reader of Wikidata: its dump, and the table that it writes."""

import json
import subprocess
import sys
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
    by_workers = {number: {} for number in {run["num_workers"] for run in record["runs"]}}
    for run in record["runs"]:
        by_workers[run["num_workers"]][run["entities"]] = run
    for runs in by_workers.values():  # bounded memory: ten times as many entities take hardly more
        few, many = runs[100_000], runs[1_000_000]
        assert many["json_bytes"] > 9 * few["json_bytes"]
        for peak in ("peak_memory", "peak_memory_of_all"):
            assert many[peak] < few[peak] + 100e6 < 0.1 * many["json_bytes"]


def test_memory_counts_children(benchmark):
    code = "import os, subprocess, sys; held = b'x' * 40_000_000; print(flush=True); sys.stdin.readline()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        assert 40e6 < benchmark.memory_of_all(running.pid) < 200e6
        running.communicate(b"\n")
    assert benchmark.memory_of_all(running.pid) == 0
