"""
Scores of mteb next to those of `hf-mel evaluate`, on local folders that were exported for mteb.

    pip install 'hf-mel[mteb,rerank]'
    hf-mel train emojimel
    hf-mel train mimic-emojimel --num_train_epochs 2
    MINILM=... [HF_MEL_DATA=...] python benchmarks/mteb_agreement.py --models runs/emojimel runs/mimic-emojimel

MINILM is a folder with all-MiniLM-L6-v2. Each model is evaluated twice: by `hf-mel evaluate`, and by `mteb.evaluate` on the
task of its folder. mteb is asked for all documents, so that nothing is cut. One row has nothing of this package on mteb's side:
MiniLM is evaluated as a model of sentence-transformers, and on the other side as a model of `load_towers` whose texts are written
as in the export. Writes docs/results/mteb.json and the table in docs/hub.md; one thread.
"""

import argparse
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

import mteb
import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

from hf_mel import load_data
from hf_mel.cli.main import main as hf_mel
from hf_mel.data.emojimel import EMOJIMEL_PATH
from hf_mel.evaluation import EvaluationResult, load_ranks, load_results, render_into
from hf_mel.evaluation.models import evaluate_model
from hf_mel.mteb import MTEBModel, write_mteb
from hf_mel.zero_shot import load_towers


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "mteb.json"
PAGE = ROOT / "docs" / "hub.md"
SHOWN = {"hits_at_1": "hits@1", "mrr": "mrr"}  # of the task file, and of `hf-mel evaluate`
EXPECTED, WITH_MEAN_RANK, OWN = "hf-mel evaluate", "task file", "mteb alone"


# ---- Data ----


def export(folder: Path) -> dict:
    """Writes the files for mteb; returns the classes of the task file by category."""
    write_mteb(folder, f"org/{folder.name}")
    spec = importlib.util.spec_from_file_location(f"tasks_of_{folder.name}", folder / "mteb_tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tasks = [each for name, each in vars(module).items() if name.endswith("Retrieval") and not name.startswith("Abs")]
    return {each.metadata.category: each for each in tasks}


def data_sets(scratch: Path) -> dict[str, Path]:
    """EmojiMEL of the package, and WikiDiverse where its files are."""
    found = {"EmojiMEL": Path(shutil.copytree(EMOJIMEL_PATH, scratch / "emojimel"))}
    if "HF_MEL_DATA" in os.environ:
        raw, out = Path(os.environ["HF_MEL_DATA"]) / "wikidiverse" / "kgmel", scratch / "wikidiverse"
        _run(["data", "build", "wikidiverse", "--raw", str(raw), "--out", str(out), "--no_pictures"])
        found["WikiDiverse (gold entities by name)"] = out
    return found


def _run(argv: list[str]) -> None:
    if hf_mel(argv):
        raise RuntimeError(f"hf-mel {' '.join(argv)} failed")


# ---- Two evaluations of one model ----


def by_hf_mel(checkpoint: Path, folder: Path, scratch: Path) -> dict:
    """Metrics of `hf-mel evaluate`, and how many mentions are tied so that their rank is no integer."""
    out = scratch / "evaluated" / f"{checkpoint.name}-{folder.name}"
    _run(["evaluate", str(checkpoint), "--data", str(folder), "--output_dir", str(out)])
    result = load_results(out)["test"]
    return _described(result, load_ranks(out / result.ranks_file)[0])


def plain_by_hf_mel(folder: Path) -> dict:
    """
    The same for MiniLM with one text, written as in the export, and without names in the score. The processor of a checkpoint
    needs a separator in its templates, so this model is evaluated by the function behind the command.
    """
    model, processor = load_towers(os.environ["MINILM"], text_views="context", name_features=False, max_length=256)
    processor.mention_template, processor.entity_template = "{mention}: {text}", "{name} {description}"
    data = load_data(str(folder))
    return _described(*evaluate_model(model, processor, data, "test", "plain", folder.name, "", progress=False))


def _described(result: EvaluationResult, ranks: np.ndarray) -> dict:
    metrics = {name: result.metrics[name] for name in SHOWN.values()}
    tied = int((ranks % 1 != 0).sum())
    return metrics | {"num_mentions": len(ranks), "num_nil": result.protocol.num_nil, "ranks between two": tied}


def by_mteb(model, task_class, num_entities: int) -> dict:
    """Scores of the task file and of mteb alone, with all documents asked for."""
    task = type(task_class.__name__, (task_class,), {"k_values": (1, 10, max(1000, num_entities))})()
    found = mteb.evaluate(model, task, cache=None, show_progress_bar=False).task_results[0].scores["test"][0]
    own = {"hit_rate_at_1": found["hit_rate_at_1"], "recall_at_1": found["recall_at_1"]}
    own["mrr"] = found[f"mrr_at_{max(1000, num_entities)}"]
    return {WITH_MEAN_RANK: {name: found[name] for name in (*SHOWN, "num_cut")}, OWN: own}


def rows_of(models: list[Path], scratch: Path) -> list[dict]:
    """One row for each model and data set."""
    towers = scratch / "minilm"
    _run(["init", os.environ["MINILM"], "--out", str(towers)])
    rows = []
    for title, folder in data_sets(scratch).items():
        tasks, num_entities = export(folder), len(load_data(str(folder)).entities)
        checkpoints = {"MiniLM, not trained": (towers, "t2t")}
        if "it2it" in tasks:
            checkpoints |= {path.name: (path, "it2it") for path in models}
        for name, (path, category) in checkpoints.items():
            expected = by_hf_mel(path, folder, scratch)
            found = by_mteb(MTEBModel.from_pretrained(str(path)), tasks[category], num_entities)
            rows.append(_row(title, name, category, num_entities, expected, found))
        other = SentenceTransformer(os.environ["MINILM"], device="cpu")
        found = by_mteb(other, tasks["t2t"], num_entities)
        rows.append(
            _row(title, "MiniLM of sentence-transformers", "t2t", num_entities, plain_by_hf_mel(folder), found)
        )
    return rows


def _row(title: str, name: str, category: str, num_entities: int, expected: dict, found: dict) -> dict:
    row = {"data": title, "entities": num_entities, "model": name, "task": category, EXPECTED: expected, **found}
    row["largest difference"] = max(abs(found[WITH_MEAN_RANK][each] - expected[SHOWN[each]]) for each in SHOWN)
    print(json.dumps(row), flush=True)
    return row


def table(rows: list[dict]) -> str:
    """The table of the page."""
    lines = [
        "| data, test split | model | task | `hf-mel evaluate`: H@1, MRR | mteb: `hits_at_1`, `mrr` | `hit_rate_at_1` and MRR of mteb alone |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        expected, found, own = row[EXPECTED], row[WITH_MEAN_RANK], row[OWN]
        pairs = [(expected["hits@1"], expected["mrr"]), (found["hits_at_1"], found["mrr"])]
        pairs.append((own["hit_rate_at_1"], own["mrr"]))
        shown = " | ".join(f"{100 * first:.1f}, {100 * second:.1f}" for first, second in pairs)
        lines.append(f"| {row['data']} | {row['model']} | {row['task']} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="checkpoints trained on EmojiMEL")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        rows = rows_of(options.models, Path(scratch))
    versions = {each.__name__: each.__version__ for each in (mteb, sentence_transformers, torch)}
    models = " ".join(path.as_posix() for path in options.models)
    record = {"command": f"python benchmarks/mteb_agreement.py --models {models}", "versions": versions, "rows": rows}
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    render_into(PAGE, "mteb", table(rows))


if __name__ == "__main__":
    main()
