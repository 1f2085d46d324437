"""
All negative strategies on WikiMEL's text, same model, same data, same number of negatives and epochs.

    HF_MEL_DATA=... [MINILM=...] python benchmarks/wikimel_strategies.py [--jobs 2] [--rows pg topk-stale] [--seeds 0 1 2]

Each run is `hf-mel train pgmel-text-wikimel` with the changes of its row; a run that is finished is not repeated.
At the end docs/results/wikimel_strategies.json and the tables in docs/results.md are written from the runs' own files; a row
without runs here keeps its stored numbers, with the commit that they are of.
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
    load_results,
    paired_comparison,
    ranking_metrics,
    render_into,
    results_table,
)


ROOT = Path(__file__).parents[1]
RECIPE = "pgmel-text-wikimel"
RUNS = ROOT / "runs" / "wikimel-text"
OUTPUT = ROOT / "docs" / "results" / "wikimel_strategies.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/wikimel_strategies.py"
METRICS = ("hits@1", "hits@5", "mrr")

# What a row changes in the recipe, which is that of `pg`. The uniform share belongs to the generator's mixture; the others
# are what their names say. Chosen on the validation split.
PURE = "--uniform_share=0.0"
NAMES = "--model.config.name_features=true"
STRATEGIES = {
    "in_batch": ["--negatives=in_batch", "--contrast_weight=1.0"],
    "random": ["--negatives=random", PURE],
    "lexical": ["--negatives=lexical", PURE],
    "attribute": ["--negatives=attribute", PURE],
    "semi_hard": ["--negatives=semi_hard", PURE],
    "cache": ["--negatives=cache", PURE],
    "topk-stale": ["--negatives=topk", "--negatives_kwargs={choose_from: 10}", PURE],
    "topk-fresh": ["--negatives=topk", "--negatives_kwargs={scores: fresh}", PURE],
    "expected": ["--negatives=pg", "--estimator=expected"],
    "pg": ["--negatives=pg"],
    "pg-both": ["--negatives=pg", "--generator_type=both"],
    "pg-share": ["--negatives=pg", "--false_negative_share=0.95"],
    "pg-owner": ["--negatives=pg", "--owner_guard=0.9"],
    "pg-triplet": ["--negatives=pg", "--contrast_weight=0.0"],
    # The names count in the score, in training and evaluation.
    "names": ["--negatives=pg", NAMES],
    "topk-stale-names": ["--negatives=topk", "--negatives_kwargs={choose_from: 10}", PURE, NAMES],
}
VIEWS = {
    "both views": STRATEGIES["pg"],
    "context alone": [*STRATEGIES["pg"], "--model.config.text_views=context"],
    "surface alone": [*STRATEGIES["pg"], "--model.config.text_views=surface"],
}
ROWS = STRATEGIES | VIEWS
# The last epoch counts: no row gains from the choice among more evaluations than another.
LAST = ["--save_strategy=no", "--load_best_model_at_end=false"]
FOLDERS = {"both views": "pg"}  # the same run


def folder_of(row: str, seed: int) -> Path:
    """Where a run leaves its files."""
    return RUNS / f"{FOLDERS.get(row, row).replace(' ', '-')}-{seed}"


def data_flags() -> list[str]:
    """The release of GHMFC, and the text tower of the environment, if it names one."""
    flags = [f"--data.raw_dir={os.path.join(os.environ['HF_MEL_DATA'], 'wikimel', 'ghmfc')}"]
    flags.append("--data.name=WikiMEL (GHMFC split, 18,880 entities)")
    return [*flags, f"--model.text={os.environ['MINILM']}"] if "MINILM" in os.environ else flags


def command_of(row: str, seed: int) -> list[str]:
    """The command of a run."""
    changes = [f"--seed={seed}", f"--output_dir={folder_of(row, seed).relative_to(ROOT)}"]
    changes += [f"--evaluation.model_name={row}", "--evaluation.splits=[validation, test]"]
    return ["hf-mel", "train", RECIPE, *data_flags(), *LAST, *ROWS[row], *changes]


def run(row: str, seed: int) -> None:
    """Trains unless the result is there. One thread each, so that several runs can share the machine."""
    folder = folder_of(row, seed)
    if "test" in load_results(folder):
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
    folders = [folder_of(row, seed) for seed in seeds]
    results = [load_results(folder)[split] for folder in folders]
    ranks = np.stack([load_ranks(folder / f"ranks_{split}.npz")[0] for folder in folders])
    each = [ranking_metrics(run_ranks) for run_ranks in ranks]
    numbers = ("encodings_per_mention", "seconds_per_epoch", "refresh_seconds", "lists_seconds")
    extra = {name: float(np.mean([result.extra[name] for result in results])) for name in numbers}
    merged = results[0].to_dict() | {
        "model_name": row,
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


def write(seeds: list[int]) -> None:
    """Writes the JSON and the tables, from the runs that are finished."""
    tables: dict[str, str] = {}
    stored: dict[str, dict] = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {"pg_minus": {}}
    ranks: dict[str, np.ndarray] = {}
    for split in ("validation", "test"):
        columns = {"negatives": "model_name", "H@1": "metrics.hits@1", "H@5": "metrics.hits@5", "MRR": "metrics.mrr"}
        if split == "test":
            columns["encodings per mention and epoch"] = "extra.encodings_per_mention"
        found = {row: summary(row, seeds, split) for row in ROWS if finished(row, seeds)}
        ranks = {row: each for row, (_, each) in found.items()}  # in the end those of the test split
        known = stored.get(split, {}) | {row: result.to_dict() for row, (result, _) in found.items()}
        stored[split] = {row: known[row] for row in ROWS if row in known}
        results = {row: EvaluationResult.from_dict(each) for row, each in stored[split].items()}
        tables[f"wikimel-strategies-{split}"] = results_table(
            [results[r] for r in STRATEGIES if r in results], columns
        )
        columns = {"text views": "model_name"} | {key: path for key, path in columns.items() if "metrics" in path}
        tables[f"wikimel-views-{split}"] = results_table([results[r] for r in VIEWS if r in results], columns)
    others = [row for row in STRATEGIES if {row, "pg"} <= ranks.keys() and row != "pg"]
    for row in others:
        pair = paired_comparison(ranks["pg"], ranks[row], ("hits@1", "mrr"))
        stored["pg_minus"][row] = {metric: vars(value) for metric, value in pair.items()}
    tables["wikimel-strategies-paired"] = paired_table(stored["pg_minus"])
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    for name, table in tables.items():
        render_into(PAGE, name, table)


def finished(row: str, seeds: list[int]) -> bool:
    """Whether all runs of a row are there."""
    return all("test" in load_results(folder_of(row, seed)) for seed in seeds)


def paired_table(pairs: dict) -> str:
    """`pg` minus every other row, mention by mention."""
    lines = ["| `pg` minus | H@1 | p | MRR | p |", "|---|---|---|---|---|"]
    for row, found in pairs.items():
        cells = []
        for metric in ("hits@1", "mrr"):
            value = found[metric]
            interval = f"[{100 * value['low']:+.2f}, {100 * value['high']:+.2f}]"
            cells.append(f"{100 * value['difference']:+.2f} {interval} | {value['p_value']:.4f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"From the ranks of the runs of the test table, by `python {THIS} --report`."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--report", action="store_true", help="only write the tables, from runs that are finished")
    options = parser.parse_args()
    if not options.report:
        jobs = [(row, seed) for seed in options.seeds for row in options.rows if row not in FOLDERS]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: run(*job), jobs))
    write(options.seeds)


if __name__ == "__main__":
    main()
