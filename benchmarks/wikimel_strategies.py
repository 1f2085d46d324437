"""
All negative strategies on WikiMEL's text, same model, same data, same number of negatives and epochs.

    HF_MEL_DATA=... MINILM=... python benchmarks/wikimel_strategies.py [--jobs 2] [--rows pg topk-stale] [--seeds 0 1 2]

Each run is `hf-mel train recipes/wikimel-text.yaml` with the changes of its row; a run that is finished is not repeated.
At the end docs/results/wikimel_strategies.json and the tables in docs/results.md are written from the runs' own files.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hf_mel.evaluation import (
    EvaluationResult,
    bootstrap_intervals,
    load_ranks,
    paired_comparison,
    ranking_metrics,
    render_into,
    results_table,
)


ROOT = Path(__file__).parents[1]
RECIPE = "recipes/wikimel-text.yaml"
RUNS = ROOT / "runs" / "wikimel-text"
OUTPUT = ROOT / "docs" / "results" / "wikimel_strategies.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/wikimel_strategies.py"
METRICS = ("hits@1", "hits@5", "mrr")

# What a row changes in the recipe, which is that of `pg`. The uniform share belongs to the generator's mixture; the others
# are what their names say. Chosen on the validation split.
PURE = "uniform_share=0.0"
ROWS = {
    "in_batch": ["negatives=in_batch", "contrast_weight=1.0"],
    "random": ["negatives=random", PURE],
    "lexical": ["negatives=lexical", PURE],
    "attribute": ["negatives=attribute", PURE],
    "semi_hard": ["negatives=semi_hard", PURE],
    "cache": ["negatives=cache", PURE],
    "topk-stale": ["negatives=topk", "topk_choose_from=10", PURE],
    "topk-fresh": ["negatives=topk", "negative_scores=fresh", PURE],
    "expected": ["negatives=pg", "estimator=expected"],
    "pg": ["negatives=pg"],
}


def command_of(row: str, seed: int) -> list[str]:
    """The command of a run."""
    changes = [f"training.{change}" for change in ROWS[row]]
    changes += [f"training.seed={seed}", f"training.output_dir=runs/wikimel-text/{row}-{seed}"]
    changes += [f"evaluation.model_name={row}", "evaluation.splits=[validation, test]"]
    return ["hf-mel", "train", RECIPE, "--set", *changes]


def run(row: str, seed: int) -> None:
    """Trains unless the result is there. One thread each, so that several runs can share the machine."""
    folder = RUNS / f"{row}-{seed}"
    if (folder / "eval_results_test.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The features of the frozen tower are the same for all runs.
    cache, own = RUNS / "feature_cache", folder / "feature_cache"
    cache.mkdir(exist_ok=True)
    if not own.exists():
        own.symlink_to(cache, target_is_directory=True)
    command = [sys.executable, "-m", "hf_mel.cli.main", *command_of(row, seed)[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    print(f"{row} {seed}: done", flush=True)


def summary(row: str, seeds: list[int], split: str) -> tuple[EvaluationResult, np.ndarray]:
    """One result for all seeds of a row: the mean, its interval, and the ranks `(num_seeds, num_mentions)`."""
    folders = [RUNS / f"{row}-{seed}" for seed in seeds]
    results = [EvaluationResult.load(folder / f"eval_results_{split}.json") for folder in folders]
    ranks = np.stack([load_ranks(folder / f"ranks_{split}.npz")[0] for folder in folders])
    each = [ranking_metrics(run_ranks) for run_ranks in ranks]
    numbers = ("encodings_per_mention", "seconds_per_epoch", "refresh_seconds", "lists_seconds")
    extra = {name: float(np.mean([result.extra[name] for result in results])) for name in numbers}
    merged = results[0].to_dict() | {
        "metrics": {name: float(np.mean([metrics[name] for metrics in each])) for name in each[0]},
        "intervals": {name: vars(interval) for name, interval in bootstrap_intervals(ranks, METRICS).items()},
        "seen": None,
        "unseen": None,
        "seeds": seeds,
        "command": f"python {THIS}",
        "extra": extra | {"changes": " ".join(ROWS[row])},
        "ranks_file": None,
    }
    return EvaluationResult.from_dict(merged), ranks


def write(rows: list[str], seeds: list[int]) -> None:
    """Writes the JSON and the tables."""
    tables, comparisons, stored = {}, [], {}
    for split in ("validation", "test"):
        both = {row: summary(row, seeds, split) for row in rows}
        stored[split] = {row: result.to_dict() for row, (result, _) in both.items()}
        columns = {"negatives": "model_name", "H@1": "metrics.hits@1", "H@5": "metrics.hits@5", "MRR": "metrics.mrr"}
        if split == "test":
            columns["encodings per mention and epoch"] = "extra.encodings_per_mention"
            columns["seconds per epoch"] = "extra.seconds_per_epoch"
        tables[split] = results_table([result for result, _ in both.values()], columns)
        if split == "test" and "pg" in both:
            for row in rows:
                if row != "pg":
                    found = paired_comparison(both["pg"][1], both[row][1], ("hits@1", "mrr"))
                    comparisons.append((row, found))
    stored["pg_minus"] = {row: {metric: vars(value) for metric, value in found.items()} for row, found in comparisons}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    for split, table in tables.items():
        render_into(PAGE, f"wikimel-strategies-{split}", table)
    if comparisons:
        render_into(PAGE, "wikimel-strategies-paired", paired_table(comparisons))


def paired_table(comparisons: list) -> str:
    """`pg` minus every other row, mention by mention."""
    lines = ["| `pg` minus | H@1 | p | MRR | p |", "|---|---|---|---|---|"]
    for row, found in comparisons:
        cells = []
        for metric in ("hits@1", "mrr"):
            value = found[metric]
            interval = f"[{100 * value.low:+.2f}, {100 * value.high:+.2f}]"
            cells.append(f"{100 * value.difference:+.2f} {interval} | {value.p_value:.4f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--report", action="store_true", help="only write the tables, from runs that are finished")
    options = parser.parse_args()
    if not options.report:
        jobs = [(row, seed) for seed in options.seeds for row in options.rows]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: run(*job), jobs))
    write(options.rows, options.seeds)


if __name__ == "__main__":
    main()
