"""
PGMEL, MIMIC, M3EL and MELOV, each with several strategies of negatives: same data, same epochs, same number of negatives. The other
systems and the baselines of the field's tables, as their recipes say.

    python benchmarks/peers.py [--jobs 2] [--models mimic m3el] [--negatives in_batch pg] [--seeds 0 1 2] [--report]
    python benchmarks/peers.py --table emojimel-baselines
    HF_MEL_DATA=... [MINILM=...] python benchmarks/peers.py --table wikimel

Each run is `hf-mel train` of the model's recipe with the changes of its strategy; a run that is finished is not repeated. `start` is
the model before its training. At the end docs/results/peers-TABLE.json and its tables in docs/peers.md are written from the files of
the runs that are finished.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed

from hf_mel.evaluation import bootstrap_intervals, load_ranks, load_results, paired_comparison, render_into
from hf_mel.evaluation.models import evaluate_model, write_result
from hf_mel.hub.paper_results import published_table
from hf_mel.recipes import load_recipe


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "peers.md"
THIS = "benchmarks/peers.py"
METRICS = ("hits@1", "mrr")
MODELS = {"pgmel": "PGMEL", "mimic": "MIMIC", "m3el": "M3EL", "melov": "MELOV", "ghmfc": "GHMFC", "vilt": "ViLT"}
MODELS |= {"clip": "CLIP", "jmel": "JMEL", "dzmned": "DZMNED", "blink": "BLINK", "bert": "BERT"}
START = "start"
# `attribute` is JD-CCL's: negatives that share attributes with the gold entity, and batches of mentions whose gold entities do.
NEGATIVES = {
    "in_batch": {"negatives": "in_batch"},
    "random": {"negatives": "random"},
    "attribute": {"negatives": "attribute", "batch_sampler": "attribute"},
    "topk": {"negatives": "topk"},
    "pg": {"negatives": "pg"},
    "recipe": {},  # whatever it says
}
# The last epoch counts: a model that is chosen among epochs would be evaluated more often than it is trained.
LAST = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
UNITS = ("mimic", "m3el", "melov")
RECIPES = {
    "emojimel": {"pgmel": "emojimel"} | {model: f"{model}-emojimel" for model in UNITS},
    "emojimel-baselines": {model: f"{model}-emojimel" for model in list(MODELS)[4:]},
    "wikimel": {model: f"{model}-wikimel-slice" for model in list(MODELS)[:6]},
}
COLUMNS = {"emojimel": list(NEGATIVES)[:-1], "emojimel-baselines": ["recipe"], "wikimel": ["in_batch"]}
# 97 million pairs of WikiMEL's test split take too long on a CPU; nothing was chosen by its validation split.
SPLITS = dict.fromkeys(RECIPES, "test") | {"wikimel": "validation"}


class Table:
    """
    The runs of one table.

    Args:
        name (`str`): One of `RECIPES`.
        seeds (`list[int]`): Of each cell.
        models (`list[str]`, *optional*), negatives (`list[str]`, *optional*): Rows and columns; by default all of the table.
    """

    def __init__(
        self, name: str, seeds: list[int], models: list[str] | None = None, negatives: list[str] | None = None
    ):
        self.name, self.seeds, self.negatives = name, seeds, negatives or COLUMNS[name]
        self.split = SPLITS[name]
        self.base = "in_batch" if len(COLUMNS[name]) > 1 else START  # what the others of a row are compared with
        self.recipes = {model: path for model, path in RECIPES[name].items() if models is None or model in models}
        self.output = ROOT / "docs" / "results" / f"peers-{name}.json"

    def folder(self, model: str, negatives: str, seed: int) -> Path:
        """Where a run leaves its files."""
        return ROOT / "runs" / f"peers-{self.name}" / f"{model}-{negatives}-{seed}"

    def changes(self, model: str, negatives: str, seed: int) -> dict[str, Any]:
        """What the run changes in the recipe, by flag."""
        folder = self.folder(model, negatives, seed).relative_to(ROOT)
        named = {"evaluation.model_name": MODELS[model], "output_dir": str(folder), "seed": seed}
        if self.name == "wikimel" and model != "vilt" and "MINILM" in os.environ:
            named["model.text"] = os.environ["MINILM"]
        return NEGATIVES.get(negatives, {}) | LAST | named | {"evaluation.splits": [self.split]}

    def finished(self, model: str, negatives: str) -> bool:
        """Whether all runs of a cell are there."""
        return all(self.split in load_results(self.folder(model, negatives, seed)) for seed in self.seeds)

    # ---- Runs ----

    def run(self, model: str, negatives: str, seed: int) -> None:
        """Trains unless the result is there. One thread each, so that several runs can share the machine."""
        folder = self.folder(model, negatives, seed)
        if self.split in load_results(folder):
            return
        folder.mkdir(parents=True, exist_ok=True)
        own, cache = folder / "feature_cache", folder.parent / "feature_cache"
        cache.mkdir(exist_ok=True)
        if not own.exists():  # features of a frozen text tower are the same for all runs
            own.unlink(missing_ok=True)  # a link to a folder that has gone
            own.symlink_to(cache, target_is_directory=True)
        command = [sys.executable, "-m", "hf_mel.cli.main", "train", self.recipes[model]]
        for flag, value in self.changes(model, negatives, seed).items():
            command.append(f"--{flag}={value if isinstance(value, str) else json.dumps(value)}")
        if negatives == START:
            command = [sys.executable, THIS, "--table", self.name, "--start", model, str(seed)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        with (folder / "log.txt").open("w") as log:
            subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
        print(f"{model} {negatives} {seed}: done", flush=True)

    def evaluate_start(self, model: str, seed: int) -> None:
        """Writes the result of a model as its run with this seed begins."""
        recipe = load_recipe(self.recipes[model], self.changes(model, START, seed))
        set_seed(seed)
        data = recipe.data.load()
        network, processor = recipe.model.load(data)
        about = (f"{MODELS[model]}, untrained", recipe.data.shown_name, f"python {THIS} --table {self.name}")
        result, ranks = evaluate_model(network.eval(), processor, data, self.split, *about, progress=False)
        write_result(dataclasses.replace(result, seeds=[seed]), ranks, self.folder(model, START, seed), self.split)

    # ---- Tables ----

    def write(self) -> None:
        """Writes the JSON and the tables from the runs that are finished."""
        columns = [START, *self.negatives]
        cells: dict[str, dict] = {}
        ranks: dict[tuple[str, str], np.ndarray] = {}
        for model in self.recipes:
            for negatives in columns:
                if self.finished(model, negatives):
                    folders = [self.folder(model, negatives, seed) for seed in self.seeds]
                    ranks[model, negatives] = np.stack(
                        [load_ranks(each / f"ranks_{self.split}.npz")[0] for each in folders]
                    )
                    cells.setdefault(model, {})[negatives] = self._cell(folders, ranks[model, negatives])
        if not cells:
            raise SystemExit(f"no run on {self.name} is finished for the seeds {self.seeds}: nothing was written")
        minus = {model: self._minus_base(model, ranks) for model in self.recipes}
        stored = {"command": f"python {THIS} --table {self.name}", "recipes": self.recipes, "negatives": NEGATIVES}
        stored |= {"always": LAST, "seeds": self.seeds, "cells": cells, f"minus_{self.base}": minus}
        self.output.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        shown = [each for each in columns if any(each in row for row in cells.values())]
        lines = [*_grid(cells, shown, "hits@1"), "", *_grid(cells, shown, "mrr"), "", *_costs(cells, shown), ""]
        lines += [*_differences(minus, self.base), ""] if any(minus.values()) else []
        lines.append(self._provenance(cells))
        render_into(PAGE, f"peers-{self.name}", "\n".join(lines))
        render_into(PAGE, "published", published_table())

    def _cell(self, folders: list[Path], ranks: np.ndarray) -> dict:
        results = [load_results(folder)[self.split] for folder in folders]
        return {
            "metrics": {name: vars(value) for name, value in bootstrap_intervals(ranks, METRICS).items()},
            "encodings_per_mention": results[0].extra.get("encodings_per_mention"),
            "train_seconds": [result.extra.get("train_seconds") for result in results],
            "dataset": results[0].dataset,
            "protocol": vars(results[0].protocol),
            "data_fingerprint": results[0].data_fingerprint,
            "dates": sorted({result.date for result in results}),
            "commits": sorted({result.environment.git_commit for result in results}),
            "machines": sorted({result.environment.machine for result in results}),
        }

    def _minus_base(self, model: str, ranks: dict) -> dict:
        base = ranks.get((model, self.base))
        return {
            negatives: {n: vars(v) for n, v in paired_comparison(each, base, METRICS).items()}
            for (of, negatives), each in ranks.items()
            if of == model and negatives != self.base and base is not None
        }

    def _provenance(self, cells: dict[str, dict]) -> str:
        found = [cell for row in cells.values() for cell in row.values()]
        protocol = found[0]["protocol"]
        several = {
            name: sorted({each for cell in found for each in cell[name]}) for name in ("commits", "machines", "dates")
        }
        return (
            f"{found[0]['dataset']}: {protocol['num_mentions']:,} mentions, each against all {protocol['kb_size']:,} entities "
            f"(text: {protocol['kb_text_field']}), ties at their {protocol['tie_rule']}. {self._seeds_in_words()} after the last epoch; in "
            "brackets the 95 % bootstrap interval over mentions, after ± the standard deviation between seeds. "
            f"`python {THIS} --table {self.name} --seeds {' '.join(map(str, self.seeds))}`; commit {', '.join(several['commits'])}, {', '.join(several['machines'])}, "
            f"{', '.join(several['dates'])}."
        )

    def _seeds_in_words(self) -> str:
        return (
            f"Mean of the seeds {', '.join(map(str, self.seeds))}" if len(self.seeds) > 1 else f"Seed {self.seeds[0]}"
        )


def _grid(cells: dict[str, dict], columns: list[str], metric: str) -> list[str]:
    title = {"hits@1": "H@1", "mrr": "MRR"}[metric]
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for model, row in cells.items():
        values = [row[each]["metrics"][metric] if each in row else None for each in columns]
        lines.append(f"| {MODELS[model]} | {' | '.join('' if v is None else _value(v) for v in values)} |")
    return lines


def _value(interval: dict) -> str:
    text = f"{100 * interval['value']:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
    return text if interval["seed_std"] is None else f"{text} ± {100 * interval['seed_std']:.1f}"


def _costs(cells: dict[str, dict], columns: list[str]) -> list[str]:
    columns = [each for each in columns if each != START]
    lines = [f"| encodings of entities per mention; seconds of a run | {' | '.join(columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for model, row in cells.items():
        texts = [
            f"{row[each]['encodings_per_mention']:.1f}; {np.mean(row[each]['train_seconds']):.0f}"
            if each in row
            else ""
            for each in columns
        ]
        lines.append(f"| {MODELS[model]} | {' | '.join(texts)} |")
    return lines


def _differences(minus: dict[str, dict], base: str) -> list[str]:
    lines = [f"| model | negatives minus `{base}` | H@1 | p | MRR | p |", "|---|---|---|---|---|---|"]
    for model, row in minus.items():
        for negatives, found in row.items():
            texts = [
                f"{100 * each['difference']:+.1f} [{100 * each['low']:+.1f}, {100 * each['high']:+.1f}] | {each['p_value']:.4f}"
                for each in (found[metric] for metric in METRICS)
            ]
            lines.append(f"| {MODELS[model]} | {negatives} | {' | '.join(texts)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=RECIPES, default="emojimel")
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--negatives", nargs="+", choices=NEGATIVES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--report", action="store_true", help="only write the tables, from runs that are finished")
    parser.add_argument("--start", nargs=2, metavar=("MODEL", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    table = Table(options.table, options.seeds, options.models, options.negatives)
    if options.start:
        table.evaluate_start(options.start[0], int(options.start[1]))
        return
    if not options.report:
        rows = [START, *table.negatives]
        jobs = [(model, each, seed) for each in rows for seed in options.seeds for model in table.recipes]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda job: table.run(*job), jobs))
    table.write()


if __name__ == "__main__":
    main()
