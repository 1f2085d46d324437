"""
Seconds per epoch of the negative strategies on WikiMEL's text: one run after the other, all rows in turn, several times.

    HF_MEL_DATA=... MINILM=... python benchmarks/strategies_seconds.py [--rows in_batch topk-stale pg pg-both] [--rounds 3]

Nothing else should run on the machine. A run is that of strategies.py with two epochs, no warm-up and no evaluation in
between, so that the seconds are the strategy's; one thread. The features of the frozen tower are stored before, by the runs of
strategies.py or by a first run that does not count. Writes docs/results/strategies_seconds.json and the table in
docs/results.md.
"""

import argparse
import json
import shutil
import statistics
from datetime import date

import strategies as strategies

from hf_mel.evaluation import Environment, load_results, render_into


SHORT = ["--num_train_epochs=2", "--discriminator_warmup_epochs=0", "--eval_strategy=no"]
DATA = "wikimel"
OUTPUT = strategies.OUTPUT.with_name("strategies_seconds.json")
DEFAULT_ROWS = ("in_batch", "topk-stale", "topk-fresh", "pg", "pg-both")


def seconds(row: str) -> float:
    """Seconds per epoch of a new run: training with what an epoch prepares, without evaluation."""
    folder = strategies.folder_of(DATA, f"seconds-{row}", 0)
    shutil.rmtree(folder, ignore_errors=True)
    strategies.run(DATA, f"seconds-{row}", 0)
    return load_results(folder)["test"].extra["seconds_per_epoch"]


def table(measured: dict[str, list[float]]) -> str:
    """Median, range, and the ratio to `in_batch` and to `topk-stale` in the same round."""
    lines = ["| negatives | seconds per epoch | / `in_batch` | / `topk-stale` |", "|---|---:|---:|---:|"]
    for row, values in measured.items():
        cells = [f"{statistics.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"]
        cells += [ratio(values, measured[other]) if other in measured else "" for other in ("in_batch", "topk-stale")]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(values: list[float], others: list[float]) -> str:
    """The median, over the rounds, of one divided by the other."""
    return f"{statistics.median(value / other for value, other in zip(values, others, strict=True)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=strategies.STRATEGIES, default=list(DEFAULT_ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    strategies.ROWS.update({f"seconds-{row}": [*strategies.STRATEGIES[row], *SHORT] for row in options.rows})
    if not any((strategies.RUNS / DATA / "feature_cache").glob("*")):
        seconds(options.rows[0])
    measured: dict[str, list[float]] = {row: [] for row in options.rows}
    for _ in range(options.rounds):
        for row in options.rows:
            measured[row].append(seconds(row))
    environment = Environment.collect(repository=strategies.ROOT)
    command = f"python benchmarks/strategies_seconds.py --rounds {options.rounds}"
    notes = {"command": command, "date": date.today().isoformat(), "seed": 0, "environment": vars(environment)}
    OUTPUT.write_text(json.dumps(notes | {"seconds_per_epoch": measured}, indent=1) + "\n", encoding="utf-8")
    footer = f"Median [least, most] of {options.rounds} rounds, all rows in turn in each; ratios within a round. `{command}`; "
    footer += f"commit {environment.git_commit}, one thread, {environment.machine}, {notes['date']}."
    render_into(strategies.PAGE, "strategies-seconds", f"{table(measured)}\n\n{footer}")


if __name__ == "__main__":
    main()
