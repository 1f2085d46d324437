"""
What the probabilities and the NIL decision of a linker are worth, on the real WikiMEL text model and on EmojiMEL.

    HF_MEL_DATA=... python benchmarks/calibration.py --wikimel runs/wikimel-text --emojimel runs/emojimel [--seeds 0 1 2]

Fits on validation and measures on test, as `hf-mel calibrate` does, with 20 % of the gold entities taken out of the knowledge
base, and with none; before is a softmax of the raw scores (a temperature of 1) that never answers NIL. Each seed takes out
other entities. The numbers go to docs/results/calibration.json, the tables to docs/linking.md.
"""

import argparse
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from hf_mel import KnowledgeBase, Linker, load_data
from hf_mel.data import MELData
from hf_mel.evaluation import load_results, render_into
from hf_mel.evaluation.environment import Environment
from hf_mel.evaluation.reliability import COVERAGES
from hf_mel.linking import calibrate
from hf_mel.linking.fit_calibration import measure_calibration


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "calibration.json"
PAGE = ROOT / "docs" / "linking.md"
THIS = "benchmarks/calibration.py"
NIL_SHARE = 0.2
NAMES = {"wikimel": "WikiMEL, text", "emojimel": "EmojiMEL"}
# Row of the tables -> share of the gold entities that is taken out, and whether it is calibrated.
ROWS = {
    "before, 20 % removed": (NIL_SHARE, False),
    "calibrated, 20 % removed": (NIL_SHARE, True),
    "before, none removed": (0.0, False),
    "calibrated, none removed": (0.0, True),
}


class RememberingLinker(Linker):
    """Encodes a batch of texts once, however many seeds ask for it. Pictures it does not compare: text models alone."""

    def encode_queries(self, queries):
        if self.model.vision_model is not None:
            return super().encode_queries(queries)
        self.__dict__.setdefault("_remembered", {})
        key = tuple((query.text, query.mention, query.start) for query in queries)
        if key not in self._remembered:
            self._remembered[key] = super().encode_queries(queries)
        return self._remembered[key]


def load(name: str) -> MELData:
    if name == "emojimel":
        return load_data("emojimel")
    return load_data(Path(os.environ["HF_MEL_DATA"]) / "wikimel" / "ghmfc", layout="ghmfc")


def measured(linker: Linker, data: MELData, name: str, seed: int) -> dict:
    """One seed: the calibration, and for each row of the tables what was measured on test."""
    calibration = calibrate(
        linker, data.mentions["validation"], nil_share=NIL_SHARE, seed=seed, data=NAMES[name], progress=True
    )
    # A softmax of the scores as they are, in which NIL has no part.
    before = replace(calibration, temperature=1.0, nil_slope=1.0, nil_score=-1e9, threshold=0.0)
    found = {"calibration": calibration.to_dict(), "rows": {}}
    for row, (share, calibrated) in ROWS.items():
        chosen = before
        if calibrated:
            # Where no entity is missing, that is told: the share of NIL is 0, and nothing is answered NIL.
            complete = replace(calibration.with_nil_rate(0.0), threshold=0.0)
            chosen = calibration if share else complete
        report = measure_calibration(chosen, linker, data.mentions["test"], nil_share=share, seed=seed, progress=True)
        found["rows"][row] = report.to_dict()
        print(name, seed, row, {key: report.metrics[key] for key in ("ece", "ece_noise", "nil_f1")}, flush=True)
    return found


def run(name: str, checkpoint: str, index: str | None, seeds: list[int]) -> dict:
    """All seeds of a benchmark."""
    data = load(name)
    entities: KnowledgeBase | str = data.entities if index is None else index
    linker = RememberingLinker.from_pretrained(checkpoint, entities, progress=True)
    trained = load_results(checkpoint).get("test")
    return {
        "name": NAMES[name],
        "entities": len(linker.index),
        "precision": linker.index.manifest.precision,
        "model": linker.setup["model"],
        "model_test_metrics": trained and trained.metrics,
        "seeds": {str(seed): short(measured(linker, data, name, seed), seed == seeds[0]) for seed in seeds},
    }


def short(found: dict, with_curves: bool) -> dict:
    """Six digits, and the curves of one seed alone."""
    if not with_curves:
        found = found | {"rows": {row: {"metrics": each["metrics"]} for row, each in found["rows"].items()}}
    return json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.6g}"))


# ---- Tables ----

COLUMNS = {
    "right answers": "accuracy",
    "ECE": "ece",
    "ECE, equal mass": "ece_equal_mass",
    "ECE by chance": "ece_noise",
    "ECE of the best entity": "best_ece",
    "Brier": "brier",
    "NIL precision": "nil_precision",
    "NIL recall": "nil_recall",
    "NIL F1": "nil_f1",
}


def tables(result: dict) -> str:
    """What the page shows of the JSON: calibration and NIL, and accuracy by coverage."""
    lines = [f"| | | {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * len(COLUMNS)]
    coverage = [f"| | | {' | '.join(f'{100 * each:.0f} %' for each in COVERAGES)} | mean of all |"]
    coverage += ["|---|---|" + "---:|" * (len(COVERAGES) + 1)]
    notes = []
    for benchmark in result["benchmarks"].values():
        seeds = list(benchmark["seeds"].values())
        for row in ROWS:
            metrics = [each["rows"][row]["metrics"] for each in seeds]
            cells = [_cell([each[name] for each in metrics]) for name in COLUMNS.values()]
            lines.append(f"| {benchmark['name']} | {row} | {' | '.join(cells)} |")
            cells = [_cell([each["accuracy_at"][str(at)] for each in metrics]) for at in COVERAGES]
            cells.append(_cell([each["coverage_area"] for each in metrics]))
            coverage.append(f"| {benchmark['name']} | {row} | {' | '.join(cells)} |")
        notes.append(_note(benchmark, seeds))
    made = f"`{result['command']}`; commit {result['environment']['git_commit']}, {result['environment']['machine']}, {result['date']}"
    about = (
        "In percent, mean over the seeds of what is removed ± standard deviation between them. "
        f"Fitted on validation, measured on test. {' '.join(notes)} {made}."
    )
    return "\n".join([*lines, "", "Right answers among the most confident:", "", *coverage, "", about])


def _cell(values: list[float | None]) -> str:
    if any(value is None for value in values):
        return "-"
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _note(benchmark: dict, seeds: list[dict]) -> str:
    rows = [each["rows"]["calibrated, 20 % removed"]["metrics"] for each in seeds]
    fitted = seeds[0]["calibration"]["fitted_on"]
    nil = " / ".join(f"{each['nil']:,}" for each in rows)
    missed = " / ".join(str(each["not_retrieved"]) for each in rows)
    return (
        f"{benchmark['name']}: {benchmark['entities']:,} entities, {fitted['mentions']:,} mentions to fit with, "
        f"{rows[0]['mentions']:,} to measure with, of which {nil} are NIL and of {missed} the gold is not among the "
        f"{seeds[0]['calibration']['num_candidates']} candidates."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wikimel", help="checkpoint of the recipe pgmel-text-wikimel")
    parser.add_argument("--emojimel", help="checkpoint of the recipe emojimel")
    parser.add_argument("--wikimel_index", help="its index; made anew by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--report", action="store_true", help="only write the tables, from the JSON that is there")
    options = parser.parse_args()
    if not options.report:
        torch.set_num_threads(1)  # sums in another order could exchange scores that are nearly equal
        chosen = {name: getattr(options, name) for name in NAMES if getattr(options, name) is not None}
        indexes = {"wikimel": options.wikimel_index}
        benchmarks = {name: run(name, place, indexes.get(name), options.seeds) for name, place in chosen.items()}
        result = {
            "command": f"python {THIS}",
            "date": datetime.now(UTC).date().isoformat(),
            "environment": vars(Environment.collect(packages=("hf-mel", "torch", "transformers", "numpy", "scipy"), repository=ROOT)),
            "benchmarks": benchmarks,
        }  # fmt: skip
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"written to {options.output}")
    if options.output == OUTPUT:
        render_into(PAGE, "calibration", tables(json.loads(OUTPUT.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
