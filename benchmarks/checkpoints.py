"""
The text checkpoints of three benchmarks: heads on frozen MiniLM, then MiniLM trained along, then a folder to publish.

    HF_MEL_DATA=... [MINILM=...] python benchmarks/checkpoints.py [--data wikidiverse] [--stages heads full publish]

Each step is a command of `hf-mel`, printed before it runs; a step that is finished is not repeated, and training goes on where it was
interrupted. `heads` takes minutes and `full` hours of two cores (docs/results.md says how many). `publish` takes the stage that is better
on the validation split, stores its weights in half precision, evaluates, calibrates, indexes and links with it, and writes its card into
model_cards/. At the end docs/results/checkpoints.json and the table in docs/results.md are written.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from strategies import DATA, ROOT, SHORT, data_flags

from hf_mel.checkpoint import load_checkpoint
from hf_mel.evaluation import EvaluationResult, load_results, render_into, results_table
from hf_mel.recipe_files import read_recipe_files


RUNS = Path("runs") / "checkpoints"
OUTPUT = ROOT / "docs" / "results" / "checkpoints.json"
PAGE = ROOT / "docs" / "results.md"
CARDS = ROOT / "model_cards"
THIS = "benchmarks/checkpoints.py"
STAGES = ("heads", "full", "publish")
RECIPES = {"heads": "pgmel-minilm", "full": "pgmel-minilm-full"}
HALF = torch.bfloat16
# What is of a run, and not of the folder that is published.
LEFT = shutil.ignore_patterns(
    "checkpoint-*", "feature_cache", "*.safetensors", "eval_results.json", ".eval_results", "ranks_*", "log.txt"
)


def folder_of(data: str, stage: str) -> Path:
    """Where a stage leaves its files, relative to the root of the repository."""
    return RUNS / (f"pgmel-{data}-text" if stage == "publish" else f"{RECIPES[stage]}-{data}")


def call(log: Path, *arguments: str | Path) -> None:
    """Runs `hf-mel` from the root of the repository; what it prints is added to the log."""
    words = [str(argument) for argument in arguments]
    print(shlex.join(["hf-mel", *words]), flush=True)
    with (ROOT / log).open("a") as file:
        command = [sys.executable, "-m", "hf_mel.cli.main", *words]
        subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=True)


# ---- Steps ----


def train(data: str, stage: str) -> None:
    """One of the two trainings."""
    folder = folder_of(data, stage)
    if "test" in load_results(ROOT / folder):
        return
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    flags = [flag for flag in data_flags(data) if stage == "heads" or not flag.startswith("--model.text=")]
    if stage == "full":
        flags += [f"--model.checkpoint={folder_of(data, 'heads')}", "--bf16"]
        flags += [] if torch.cuda.is_available() else ["--use_cpu"]
        flags += ["--resume"] if list((ROOT / folder).glob("checkpoint-*")) else []
    flags += [f"--output_dir={folder}", "--evaluation.splits=[validation, test]"]
    call(folder / "log.txt", "train", f"{RECIPES[stage]}-{data}", *flags)


def best_stage(data: str) -> str:
    """The stage with the better MRR on the validation split."""
    found = {stage: load_results(ROOT / folder_of(data, stage)) for stage in RECIPES}
    return max(
        (stage for stage in found if "test" in found[stage]),
        key=lambda stage: found[stage]["validation"].metrics["mrr"],
    )


def publish(data: str) -> None:
    """The folder for the Hub, its numbers, its index and its card."""
    folder, log = folder_of(data, "publish"), RUNS / f"publish-{data}.txt"
    source, built, recipe = folder_of(data, best_stage(data)), RUNS / "data" / data, RUNS / f"{data}.yaml"
    if not (ROOT / folder / "model.safetensors").is_file():
        shutil.copytree(ROOT / source, ROOT / folder, ignore=LEFT, dirs_exist_ok=True)
        model, processor = load_checkpoint(str(ROOT / source))
        model.to(HALF).save_pretrained(ROOT / folder)
        processor.save_pretrained(ROOT / folder)
    options = dict(flag.removeprefix("--").split("=", 1) for flag in data_flags(data))
    fields = {key.removeprefix("data."): value for key, value in options.items() if key.startswith("data.")}
    captions = fields.pop("options.captions", None)
    if captions is not None:
        fields["options"] = {"captions": captions}
    (ROOT / recipe).write_text(yaml.safe_dump({"extends": f"pgmel-minilm-{data}", "data": fields}), encoding="utf-8")
    for split in ("validation", "test"):
        if split not in load_results(ROOT / folder):
            call(
                log,
                "evaluate",
                folder,
                "--recipe",
                recipe,
                "--split",
                split,
                "--name",
                "PGMEL",
                "--output_dir",
                folder,
            )
    if not (ROOT / built).is_dir():
        more = [] if captions is None else ["--captions", captions]
        call(log, "data", "build", data, "--raw", fields["raw_dir"], "--out", built, "--no_pictures", *more)
    if not (ROOT / folder / "calibration.json").is_file():
        call(log, "calibrate", folder, "--data", built, "--report", "test", "--output_dir", folder)
    index = RUNS / f"index-{data}"
    if not (ROOT / index).is_dir():
        call(log, "index", "build", folder, "--kb", built / "entities", "--out", index)
    call(log, "card", folder, "--repo_id", f"org/{folder.name}", "--license", "apache-2.0")
    call(log, "push", "model", folder, f"org/{folder.name}", "--dry_run")
    shutil.copy(ROOT / folder / "README.md", CARDS / f"{folder.name}.md")


# ---- Results ----


def recipe_hash(data: str) -> str:
    """SHA-256 of both recipes without what names the data: the same for all three."""
    recipes = []
    for recipe in RECIPES.values():
        content = read_recipe_files(f"{recipe}-{data}").content
        content.pop("data")
        content["training"].pop("output_dir")
        content["model"].pop("checkpoint", None)
        recipes.append(content)
    return hashlib.sha256(json.dumps(recipes, sort_keys=True).encode()).hexdigest()


def curve(data: str, stage: str) -> list[dict]:
    """The evaluations on the validation split during a training."""
    state = json.loads((ROOT / folder_of(data, stage) / "trainer_state.json").read_text(encoding="utf-8"))
    return [
        {"epoch": log["epoch"], "hits@1": log["eval_hits@1"], "mrr": log["eval_mrr"]}
        for log in state["log_history"]
        if "eval_mrr" in log
    ]


def hours(data: str, stage: str) -> float | None:
    """Of the training, where it ran without interruption."""
    state = json.loads((ROOT / folder_of(data, stage) / "trainer_state.json").read_text(encoding="utf-8"))
    seconds = [log["train_runtime"] for log in state["log_history"] if "train_runtime" in log]
    return round(seconds[-1] / 3600, 3) if len(seconds) == 1 else None


def write(data_names: list[str]) -> None:
    """Writes the JSON and the table, from what is finished."""
    stored = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    for data in data_names:
        found = stored.setdefault(data, {})
        for stage in STAGES:
            results = load_results(ROOT / folder_of(data, stage))
            if "test" not in results:
                continue
            # The folders of the machine are in the command of a run, and say nothing elsewhere.
            found[stage] = {
                split: results[split].to_dict() | {"command": f"python {THIS}"} for split in ("validation", "test")
            }
            found[stage]["recipe_hash"] = recipe_hash(data)
            if stage in RECIPES:
                found[stage] |= {"curve": curve(data, stage), "hours": hours(data, stage)}
            else:
                weights = ROOT / folder_of(data, stage) / "model.safetensors"
                found[stage] |= {"megabytes": round(weights.stat().st_size / 1e6, 1), "from": best_stage(data)}
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    shown = {"heads": "heads", "full": "MiniLM trained along", "publish": "the same, weights in bfloat16"}
    results = [
        EvaluationResult.from_dict(
            stored[data][stage]["test"]
            | {
                "model_name": f"{SHORT[data]}: {shown[stage]}",
                "command": f"python {THIS}",
                "seen": None,
                "unseen": None,
            }
        )
        for data in DATA
        for stage in STAGES
        if stage in stored.get(data, {})
    ]
    columns = {"checkpoint": "model_name", "H@1": "metrics.hits@1", "H@5": "metrics.hits@5", "MRR": "metrics.mrr"}
    render_into(PAGE, "checkpoints", results_table(results, columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=list(STAGES))
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    for data in options.data:
        for stage in options.stages:
            publish(data) if stage == "publish" else train(data, stage)
    write(options.data)


if __name__ == "__main__":
    main()
