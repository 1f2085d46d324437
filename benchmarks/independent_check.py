"""
Compute H@1 and MRR of a trained run again, from embeddings with numpy alone, and compare them with the run's own numbers.

    HF_MEL_DATA=... python benchmarks/independent_check.py wikimel runs/strategies/wikimel/pg-0 [--split test]

For runs of `PGMELModel` without names in the score, which is then the product of two embeddings.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from strategies import DATA, load_data
from transformers import AutoModel, AutoProcessor


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", choices=DATA)
parser.add_argument("run", type=Path, help="folder of a run of benchmarks/strategies.py")
parser.add_argument("--split", default="test")
options = parser.parse_args()
data = load_data(options.data)
model = AutoModel.from_pretrained(options.run).eval()
processor = AutoProcessor.from_pretrained(options.run)
if model.config.name_features:
    parser.error(f"{options.run} counts names in its score, which is no product of embeddings")


@torch.no_grad()
def embed(features, inputs, *columns: list) -> np.ndarray:
    """Embeddings `(num_rows, size)` in float64."""
    batches = [slice(start, start + 128) for start in range(0, len(columns[0]), 128)]
    return np.concatenate([features(**inputs(*(column[b] for column in columns))) for b in batches]).astype(np.float64)


kb = data.entities.dataset
rows = {entity: row for row, entity in enumerate(kb["id"][:])}
mentions = [m for m in data.mentions[options.split].remove_columns("image") if m["entity_id"] is not None]
columns = [[m[name] for m in mentions] for name in ("mention", "text", "start")]
entity_vectors = embed(model.get_entity_features, processor.entities, kb["name"][:], kb[data.entities.text_field][:])
scores = embed(model.get_mention_features, processor.mentions, *columns) @ entity_vectors.T
gold = scores[np.arange(len(mentions)), [rows[m["entity_id"]] for m in mentions]][:, None]
tied = np.abs(scores - gold) <= 1e-6  # at their mean rank
ranks = 1 + ((scores > gold) & ~tied).sum(1) + (tied.sum(1) - 1) / 2
mine = {"hits@1": float(np.mean(ranks <= 1)), "mrr": float(np.mean(1 / ranks))}
stored = json.loads((options.run / "eval_results.json").read_text(encoding="utf-8"))[options.split]["metrics"]
for name, value in mine.items():
    print(f"{name}: {100 * value:.2f} here, {100 * stored[name]:.2f} in eval_results.json, over {len(ranks)} mentions")
