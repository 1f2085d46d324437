"""The measurement on a GPU: that its command runs, what it writes, and that a trial of it never stands in the page."""

import json
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
EMPTY = "<!-- generated: gpu-training -->\n<!-- end: gpu-training -->\n"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import gpu_training

        yield gpu_training
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def trial(benchmark, tmp_path_factory):
    """The record of a trial in two parts, and the page, which was not to be changed."""
    folder = tmp_path_factory.mktemp("gpu_training")
    output, page = folder / "record.json", folder / "page.md"
    page.write_text(EMPTY, encoding="utf-8")
    options = ["--tiny", "--device", "cpu", "--output", str(output), "--page", str(page)]
    benchmark.main([*options, "--models", "pgmel", "--precisions", "fp32"])
    benchmark.main([*options, "--models", "mimic", "m3el", "melov", "--precisions", "bf16"])
    return json.loads(output.read_text(encoding="utf-8")), output, page


def test_the_numbers(trial):
    record, *_ = trial
    assert record["sizes"]["towers"] == "tiny" and record["sizes"]["batch_size"] == 4
    assert list(record["rows"]) == [
        *("pgmel in_batch fp32", "pgmel pg fp32"),
        *("mimic in_batch bf16", "m3el in_batch bf16", "melov in_batch bf16"),
    ]
    for key, row in record["rows"].items():
        assert row["examples_per_second"] == pytest.approx(4 / row["seconds_per_step"]), key
        assert 0 < row["mention_share"] and 0 < row["entity_share"], key
        assert row["mention_share"] + row["entity_share"] < 1, key
        assert row["peak_bytes"] is None and row["device"] == "cpu", "there is no GPU whose memory it could be"
        assert ("evaluation" in row) == ("in_batch" in key)
    for key in ("pgmel in_batch fp32", "m3el in_batch bf16"):
        found = record["rows"][key]["evaluation"]
        assert found["match_seconds"] > 0 and found["bytes_per_entity"] > 256 * 4 - 1
        # 100 entities, of which 24 were encoded, and 20 mentions.
        assert found["encode_seconds"] > 100 / found["entities_encoded_per_second"]


def test_the_table_of_a_trial_says_so(benchmark, trial):
    record, _, page = trial
    shown = benchmark.table(record)
    assert shown.startswith("**A trial of the command") and "4 mentions a batch" in shown
    row = next(line for line in shown.splitlines() if line.startswith("| mimic | in_batch | bf16 |"))
    assert f"| {record['rows']['mimic in_batch bf16']['examples_per_second']:,.0f} |" in row
    assert "| mimic | in_batch | tf32 | not measured | not measured | not measured | - | - |" in shown
    assert page.read_text(encoding="utf-8") == EMPTY


def test_a_trial_is_kept_from_the_page(benchmark, trial, tmp_path, capsys):
    _, output, page = trial
    with pytest.raises(SystemExit):
        benchmark.main(["--tiny", "--device", "cpu"])
    assert "name another file by --output" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        benchmark.main(["--device", "cpu"])
    benchmark.main(["--report", "--output", str(output), "--page", str(page)])
    assert page.read_text(encoding="utf-8") == EMPTY
    with pytest.raises(SystemExit, match="at other sizes"):
        benchmark.main(["--tiny", "--device", "cpu", "--steps", "3", "--output", str(output), "--page", str(page)])


def test_what_a_gpu_measured_goes_to_the_page(benchmark, tmp_path):
    output, page = tmp_path / "record.json", tmp_path / "page.md"
    row = {
        **{"examples_per_second": 412.3, "seconds_per_step": 0.31, "mention_share": 0.1, "entity_share": 0.62},
        **{"peak_bytes": 21_500_000_000, "device": "cuda", "date": "2026-01-02"},
        "environment": {"machine": "16 CPU cores, x86_64, 1 x GPU", "git_commit": "abc"},
        "evaluation": {"encode_seconds": 1234.5, "match_seconds": 25.31},
    }
    sizes = {"towers": "CLIP ViT-B/32", **benchmark.FULL}
    rows = {"mimic in_batch bf16": row, "m3el in_batch bf16": {**row, "out_of_memory": True}}
    output.write_text(json.dumps({"sizes": sizes, "rows": rows}), encoding="utf-8")
    page.write_text(EMPTY, encoding="utf-8")
    benchmark.main(["--report", "--output", str(output), "--page", str(page)])
    shown = page.read_text(encoding="utf-8")
    assert "| mimic | in_batch | bf16 | 412 | 10%, 62% | 21.5 | 1,234 | 25.3 |" in shown and "1 x GPU" in shown
    assert "| m3el | in_batch | bf16 | out of memory |" in shown and "trial" not in shown
    assert "| melov | in_batch | bf16 | not measured |" in shown


def test_the_page_is_what_the_command_writes(benchmark):
    """Without a record each cell says that nothing was measured."""
    expected = benchmark.table(benchmark.read(benchmark.OUTPUT))
    assert expected in benchmark.PAGE.read_text(encoding="utf-8")
    if not benchmark.OUTPUT.exists():
        cells = [line.split("|")[4:-1] for line in expected.splitlines() if line.startswith(("| pgmel", "| m"))]
        assert all(cell.strip() in ("not measured", "-") for row in cells[1:] for cell in row) and len(cells) == 11
