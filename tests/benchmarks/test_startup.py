"""The benchmark of the start: what it runs, and the table that it writes."""

import json
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import startup

    return startup


def test_seconds_are_those_of_the_process(benchmark):
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    idle = "import time; time.sleep(0.3)"
    seconds = benchmark.measure(
        {"busy": [busy], "idle": [idle], "words": ["import sys; sys.exit(sys.argv[1:])", "a"]}, 1
    )
    assert 0.3 <= seconds["busy"] < 0.6 and seconds["idle"] < 0.2 and list(seconds) == ["busy", "idle", "words"]


def test_every_ratio_is_of_something_measured(benchmark):
    assert {*benchmark.RATIOS, *benchmark.RATIOS.values()} <= set(benchmark.IMPORTS)


def test_the_table(benchmark):
    names = [*benchmark.COMMAND_LINES, *benchmark.IMPORTS]
    seconds = dict.fromkeys(names, 0.5) | {"hf-mel link --help": 0.7, "import torch, transformers": 2.0}
    environment = {"git_commit": "abc", "machine": "2 CPU cores"}
    record = {"command": "c", "repeats": 2, "date": "2026-11-30", "environment": environment, "seconds": seconds}
    text = benchmark.table(record)
    assert "| `hf-mel --help` | 0.50 | |" in text.replace("|  |", "| |") and "link --help" not in text
    assert f"the slowest of {len(benchmark.COMMANDS)} | 0.70 |" in text
    assert "| `import hf_mel` | 0.50 | 0.25 times `import torch, transformers` |" in text
    assert text.endswith("the smallest of 2 runs. `c`; commit abc, 2 CPU cores, 2026-11-30.")


def test_the_published_table_is_that_of_the_file(benchmark):
    record = json.loads(benchmark.OUTPUT.read_text(encoding="utf-8"))
    assert benchmark.table(record) in benchmark.PAGE.read_text(encoding="utf-8")
    assert max(seconds for name, seconds in record["seconds"].items() if name.startswith("hf-mel")) < 0.3
    assert record["seconds"]["import hf_mel"] < 1.05 * record["seconds"]["import torch, transformers"]
