"""
Negative strategies on the text of three benchmarks: same model, number of negatives and epochs, with and without names in the score.

    HF_MEL_DATA=... [MINILM=...] python benchmarks/strategies.py [--data wikimel wikidiverse] [--rows pg topk-stale] [--seeds 0 1 2]

Each run is `hf-mel train pgmel-text-DATA` with the changes of its row; a run that is finished is not repeated. The options of the
rows were chosen on WikiMEL's validation split and are the same for all data. At the end docs/results/strategies.json and the tables
in docs/results.md are written from the runs' own files; a row without runs here keeps its stored numbers, with the commit that they
are of.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_mel import MELData
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
from hf_mel.recipes import load_recipe


ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "strategies"
OUTPUT = ROOT / "docs" / "results" / "strategies.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/strategies.py"
METRICS = ("hits@1", "hits@5", "mrr")

# What a row changes in the recipe, which is that of `pg`. The uniform share belongs to the generator's mixture; the others
# are what their names say. Chosen on WikiMEL's validation split.
PURE = "--uniform_share=0.0"
STRATEGIES = {
    "in_batch": ["--negatives=in_batch", "--contrast_weight=1.0"],
    "topk-stale": ["--negatives=topk", "--negatives_kwargs={choose_from: 10}", PURE],
    "topk-fresh": ["--negatives=topk", "--negatives_kwargs={scores: fresh}", PURE],
    "pg": ["--negatives=pg"],
    "pg-both": ["--negatives=pg", "--generator_type=both"],
    "pg-guards": ["--negatives=pg", "--false_negative_share=0.95", "--owner_guard=0.9"],
}
# The same, where the names count in the score, in training and evaluation.
NAMES = " + names"
NAMED = {f"{row}{NAMES}": [*changes, "--model.config.name_features=true"] for row, changes in STRATEGIES.items()}
# More rows for WikiMEL alone.
MORE = {
    "random": ["--negatives=random", PURE],
    "lexical": ["--negatives=lexical", PURE],
    "attribute": ["--negatives=attribute", PURE],
    "semi_hard": ["--negatives=semi_hard", PURE],
    "cache": ["--negatives=cache", PURE],
    "expected": ["--negatives=pg", "--estimator=expected"],
    "pg-share": ["--negatives=pg", "--false_negative_share=0.95"],
    "pg-owner": ["--negatives=pg", "--owner_guard=0.9"],
    "pg-triplet": ["--negatives=pg", "--contrast_weight=0.0"],
}
VIEWS = {
    "both views": STRATEGIES["pg"],
    "context alone": [*STRATEGIES["pg"], "--model.config.text_views=context"],
    "surface alone": [*STRATEGIES["pg"], "--model.config.text_views=surface"],
}
ROWS = STRATEGIES | NAMED | MORE | VIEWS
# The last epoch counts: no row gains from the choice among more evaluations than another.
LAST = ["--save_strategy=no", "--load_best_model_at_end=false"]
FOLDERS = {"both views": "pg"}  # the same run


@dataclass(frozen=True)
class Data:
    """Text of a benchmark: its released files in the folder of the data, its name in tables, and further flags."""

    folder: str
    title: str
    flags: tuple[str, ...] = ()


# RichpediaMEL: sentences of MELBench, as GHMFC replaced most of them by others. WikiDiverse's entities have no attributes there.
DATA = {
    "wikimel": Data("wikimel/ghmfc", "WikiMEL (GHMFC split, 18,880 entities)"),
    "richpediamel": Data(
        "richpediamel/ghmfc",
        "RichpediaMEL (sentences of MELBench, GHMFC split, 17,805 entities)",
        ("--data.options.captions=richpediamel/melbench/Richpedia-MEL.json",),
    ),
    "wikidiverse": Data("wikidiverse/kgmel", "WikiDiverse (gold entities by name)", ("--data.text_field=auto",)),
}
SHORT = {"wikimel": "WikiMEL", "richpediamel": "RichpediaMEL", "wikidiverse": "WikiDiverse"}


# ---- Runs ----


def folder_of(data: str, row: str, seed: int) -> Path:
    """Where a run leaves its files."""
    return RUNS / data / f"{FOLDERS.get(row, row).replace(' + ', '-').replace(' ', '-')}-{seed}"


def data_flags(data: str) -> list[str]:
    """The released files, and the text tower of the environment, if it names one."""
    root, about = Path(os.environ["HF_MEL_DATA"]), DATA[data]
    flags = [f"--data.raw_dir={root / about.folder}", f"--data.name={about.title}"]
    flags += [flag.replace("captions=", f"captions={root}/") for flag in about.flags]
    return [*flags, f"--model.text={os.environ['MINILM']}"] if "MINILM" in os.environ else flags


def load_data(data: str) -> MELData:
    """The data of the runs, text alone."""
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in data_flags(data))
    return load_recipe(f"pgmel-text-{data}", flags).data.load()


def command_of(data: str, row: str, seed: int) -> list[str]:
    """The command of a run."""
    changes = [f"--seed={seed}", f"--output_dir={folder_of(data, row, seed).relative_to(ROOT)}"]
    changes += [f"--evaluation.model_name={row}", "--evaluation.splits=[validation, test]"]
    return ["hf-mel", "train", f"pgmel-text-{data}", *data_flags(data), *LAST, *ROWS[row], *changes]


def run(data: str, row: str, seed: int) -> None:
    """Trains unless the result is there. One thread each, so that several runs can share the machine."""
    folder = folder_of(data, row, seed)
    if "test" in load_results(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The features of the frozen tower are the same for all runs on the data.
    cache, own = RUNS / data / "feature_cache", folder / "feature_cache"
    cache.mkdir(exist_ok=True)
    if not own.exists():
        own.symlink_to(cache, target_is_directory=True)
    command = [sys.executable, "-m", "hf_mel.cli.main", *command_of(data, row, seed)[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    print(f"{data} {row} {seed}: done", flush=True)


def finished(data: str, row: str, seeds: list[int]) -> bool:
    """Whether all runs of a row are there."""
    return all("test" in load_results(folder_of(data, row, seed)) for seed in seeds)


# ---- Tables ----


def summary(data: str, row: str, seeds: list[int], split: str) -> tuple[EvaluationResult, np.ndarray]:
    """One result for all seeds of a row: the mean, its interval, and the ranks `(num_seeds, num_mentions)`."""
    folders = [folder_of(data, row, seed) for seed in seeds]
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


def update(stored: dict, data: str, seeds: list[int]) -> None:
    """Brings the stored numbers of a benchmark up to date, from the runs that are finished."""
    for split in ("validation", "test"):
        found = {row: summary(data, row, seeds, split) for row in ROWS if finished(data, row, seeds)}
        known = stored.get(split, {}) | {row: result.to_dict() for row, (result, _) in found.items()}
        stored[split] = {row: known[row] for row in ROWS if row in known}
        ranks = {row: each for row, (_, each) in found.items()}
        pairs = stored.setdefault("paired", {}).setdefault(split, {})
        for row, other in PAIRS:
            if {row, other} <= ranks.keys():
                pair = paired_comparison(ranks[row], ranks[other], ("hits@1", "mrr"))
                pairs[f"{row} minus {other}"] = {metric: vars(value) for metric, value in pair.items()}
        stored["paired"][split] = {
            f"{row} minus {other}": pairs[key] for row, other in PAIRS if (key := f"{row} minus {other}") in pairs
        }


# Each strategy against the hardest by the index, with and without names; and the names themselves.
PAIRS = [(row, "topk-stale") for row in [*STRATEGIES, *MORE] if row != "topk-stale"]
PAIRS += [(row, f"topk-stale{NAMES}") for row in NAMED if row != f"topk-stale{NAMES}"]
PAIRS += [(f"{row}{NAMES}", row) for row in STRATEGIES]


def write(data_names: list[str], seeds: list[int]) -> None:
    """Writes the JSON and the tables, from the runs that are finished."""
    stored: dict[str, dict] = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    for data in data_names:
        update(stored.setdefault(data, {}), data, seeds)
    stored = {data: stored[data] for data in DATA if data in stored}
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    render_into(PAGE, "strategies-all", table_of_all(stored))
    for data, content in stored.items():
        for split in ("validation", "test"):
            results = {row: EvaluationResult.from_dict(each) for row, each in content[split].items()}
            columns = {
                "negatives": "model_name",
                "H@1": "metrics.hits@1",
                "H@5": "metrics.hits@5",
                "MRR": "metrics.mrr",
            }
            views = {"text views": "model_name"} | {key: path for key, path in columns.items() if "metrics" in path}
            if split == "test":
                columns["encodings per mention and epoch"] = "extra.encodings_per_mention"
            shown = [each for row, each in results.items() if row not in VIEWS]
            render_into(PAGE, f"strategies-{data}-{split}", results_table(shown, columns))
            if data == "wikimel":
                render_into(PAGE, f"views-{split}", results_table([results[row] for row in VIEWS], views))
        render_into(PAGE, f"strategies-{data}-paired", paired_table(content["paired"]["test"]))


def table_of_all(stored: dict) -> str:
    """H@1 on the test splits: a line for each strategy, two columns for each benchmark."""
    columns = [(data, names) for data in stored for names in ("", NAMES)]
    lines = ["| negatives | " + " | ".join(f"{SHORT[data]}{names}" for data, names in columns) + " |"]
    lines += ["|---|" + "---:|" * len(columns)]
    for row in STRATEGIES:
        cells = []
        for data, names in columns:
            found = stored[data]["test"].get(f"{row}{names}")
            cells.append(cell(found["intervals"]["hits@1"], found["metrics"]["hits@1"]) if found else "")
        if any(cells):
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(
        [*lines, "", f"H@1 on the test splits; each column has its own table below. `python {THIS} --report`."]
    )


def cell(interval: dict, value: float) -> str:
    """A metric in percent with its interval."""
    return f"{100 * value:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def paired_table(pairs: dict) -> str:
    """Differences, mention by mention."""
    lines = ["| difference | H@1 | p | MRR | p |", "|---|---|---|---|---|"]
    for name, found in pairs.items():
        cells = []
        for metric in ("hits@1", "mrr"):
            value = found[metric]
            interval = f"[{100 * value['low']:+.2f}, {100 * value['high']:+.2f}]"
            cells.append(f"{100 * value['difference']:+.2f} {interval} | {value['p_value']:.4f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"From the ranks of the runs of the test table, by `python {THIS} --report`."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(STRATEGIES | NAMED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--report", action="store_true", help="only write the tables, from runs that are finished")
    options = parser.parse_args()
    if not options.report:
        jobs = [(data, row, seed) for seed in options.seeds for data in options.data for row in options.rows]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: run(*job), jobs))
    write(options.data, options.seeds)


if __name__ == "__main__":
    main()
