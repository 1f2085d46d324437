"""
Fine-tuning with few mentions, on WikiMEL's text: from the untrained checkpoint of `hf-mel init` on, names counted.

    HF_MEL_DATA=... MINILM=... python benchmarks/learning_curve.py [--counts 0 16 64 256 1024] [--seeds 0 1 2]

Each run draws its mentions from the training split and trains the heads over the frozen tower, with the arguments that
`PGMELTrainer` has by default. A run that is finished is not repeated. Writes docs/results/learning_curve.json and the tables
in docs/results.md; one thread.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from transformers import set_seed
from transformers.utils import logging

from hf_mel import MELData, PGMELTrainer, PGMELTrainingArguments
from hf_mel.evaluation import (
    EvaluationResult,
    bootstrap_intervals,
    load_ranks,
    paired_comparison,
    ranking_metrics,
    render_into,
    results_table,
    save_ranks,
)
from hf_mel.evaluation.models import describe_ranks
from hf_mel.recipes import load_recipe
from hf_mel.zero_shot import load_towers


ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "learning-curve"
OUTPUT = ROOT / "docs" / "results" / "learning_curve.json"
PAGE = ROOT / "docs" / "results.md"
COMMAND = "python benchmarks/learning_curve.py"
COUNTS = [0, 16, 64, 256, 1024]
SPLITS = ("validation", "test")
METRICS = ("hits@1", "mrr")


def folder_of(count: int, seed: int) -> Path:
    """Where a run leaves its results; without training the seed changes nothing."""
    return RUNS / f"{count}-{seed if count else 0}"


def ranks_of(folder: Path, split: str) -> Path:
    """The file with the ranks of a run."""
    return folder / f"ranks_{split}.npz"


def run(data: MELData, count: int, seed: int) -> None:
    """Trains on `count` mentions, and ranks; the ranks are what it leaves."""
    folder = folder_of(count, seed)
    if all(ranks_of(folder, split).is_file() for split in SPLITS):
        return
    few = data.with_train_share(max(count, 1) / len(data.mentions["train"]), seed)
    set_seed(seed)
    model, processor = load_towers(os.environ["MINILM"])
    trainer = PGMELTrainer(
        model,
        PGMELTrainingArguments(
            str(folder),
            per_device_eval_batch_size=256,
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=few.mentions["train"],
        knowledge_base=few.entities,
        processing_class=processor,
        feature_cache_dir=str(RUNS / "feature_cache"),
    )
    if count:
        trainer.train()
    for split in SPLITS:
        ranks = trainer.predict(few.mentions[split]).predictions
        save_ranks(ranks_of(folder, split), ranks)
        print(count, seed, split, f"H@1 {100 * ranking_metrics(ranks)['hits@1']:.2f}", flush=True)


def summary(data: MELData, name: str, count: int, seeds: list[int], split: str) -> tuple[EvaluationResult, np.ndarray]:
    """One result for the seeds of a count: the mean, its interval, and the ranks `(num_seeds, num_mentions)`."""
    seeds = seeds if count else seeds[:1]
    ranks = np.stack([load_ranks(ranks_of(folder_of(count, seed), split))[0] for seed in seeds])
    each = [ranking_metrics(one) for one in ranks]
    about = {"model_name": str(count), "data_name": name, "seeds": seeds if count else [], "command": COMMAND}
    mean = {
        "metrics": {metric: float(np.mean([metrics[metric] for metrics in each])) for metric in each[0]},
        "intervals": {metric: vars(value) for metric, value in bootstrap_intervals(ranks, METRICS).items()},
        "seen": None,
        "unseen": None,
        "groups": {},
        "ranks_file": None,
    }
    return EvaluationResult.from_dict(describe_ranks(ranks[0], data, split, **about).to_dict() | mean), ranks


def write(data: MELData, name: str, counts: list[int], seeds: list[int]) -> None:
    """Writes the JSON and the tables."""
    stored: dict[str, dict] = {}
    tables = []
    for split in SPLITS:
        found = {count: summary(data, name, count, seeds, split) for count in counts}
        results = []
        for count, (result, ranks) in found.items():
            extra = {}
            if count and 0 in found:
                pairs = paired_comparison(ranks, found[0][1], METRICS)
                extra = {metric.replace("@", ""): _shown(value) for metric, value in pairs.items()}
            results.append(EvaluationResult.from_dict(result.to_dict() | {"extra": extra}))
        stored[split] = {result.model_name: result.to_dict() for result in results}
        columns = {"mentions": "model_name", "H@1": "metrics.hits@1", "MRR": "metrics.mrr"}
        if any(result.extra for result in results):
            columns |= {"H@1 minus that of 0": "extra.hits1", "MRR minus that of 0": "extra.mrr"}
        tables.append(f"{split.capitalize()}:\n\n{results_table(results, columns)}".rstrip())
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    render_into(PAGE, "learning-curve", "\n\n".join(tables))


def _shown(value) -> str:
    return f"{100 * value.difference:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="only write the table, from runs that are finished")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    recipe = load_recipe(
        "pgmel-text-wikimel", {"data.raw_dir": str(Path(os.environ["HF_MEL_DATA"]) / "wikimel" / "ghmfc")}
    )
    data, name = recipe.data.load(), recipe.data.shown_name
    for seed in options.seeds if not options.report else []:
        for count in options.counts:
            run(data, count, seed)
    write(data, name, options.counts, options.seeds)


if __name__ == "__main__":
    main()
