"""
Linking without training on WikiMEL's text: pretrained towers alone, and with the names counted at their first weights.

    HF_MEL_DATA=... MINILM=... python benchmarks/zero_shot.py [--cache FOLDER]

The data, towers and processor are those of the recipe `pgmel-text-wikimel`. Nothing is trained: the weights of the names are those
with which training begins. Writes docs/results/zero_shot.json and the table in docs/results.md.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch

from hf_mel.data import MELData
from hf_mel.encoding import EntityInputs, MentionInputs
from hf_mel.evaluation import EvaluationResult, paired_comparison, render_into, results_table
from hf_mel.evaluation.models import linkable_mentions, rank_mentions
from hf_mel.evaluation.models.evaluate import describe_ranks
from hf_mel.models import MatchingModel, MELProcessor
from hf_mel.names import NameIndex
from hf_mel.recipes import load_recipe
from hf_mel.training.feature_cache import FeatureCache


ROOT = Path(__file__).parents[1]
RECIPE = "pgmel-text-wikimel"
OUTPUT = ROOT / "docs" / "results" / "zero_shot.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/zero_shot.py"
SPLITS = ("validation", "test")
DATA = {
    "data.raw_dir": os.path.join(os.environ.get("HF_MEL_DATA", ""), "wikimel", "ghmfc"),
    "data.name": "WikiMEL (GHMFC split, 18,880 entities)",
    "model.text": os.environ.get("MINILM", "sentence-transformers/all-MiniLM-L6-v2"),
}
SEED = 0  # of the heads' first weights, which are the same in all rows

# What each row changes in the recipe.
ROWS = {
    "towers alone": {},
    "towers and names": {"model.config.name_features": True},
}
# The first weights of the heads are drawn; in as many dimensions as both views have, little of the cosines is lost.
HEADS = {"model.config.projection_size": 768}


def ranks_of(
    model: MatchingModel, processor: MELProcessor, data: MELData, split: str, names: NameIndex, cache: Path
) -> np.ndarray:
    """Ranks of the gold entities of a split, `(num_mentions,)`, by features that are kept in a folder."""
    mentions = linkable_mentions(data.mentions[split], data.entities, split)
    inputs = MentionInputs(mentions.dataset, processor), EntityInputs(data.entities, processor)
    prints = mentions.fingerprint, data.entities.fingerprint
    sides = [
        FeatureCache.build(cache, model, side, print_, batch_size=256)
        for side, print_ in zip(inputs, prints, strict=True)
    ]
    counted = names if model.config.name_features else None
    surfaces = mentions.dataset["mention"][:]
    return rank_mentions(model, *sides, mentions.gold_rows, 256, (counted, surfaces), progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=ROOT / "runs" / "zero_shot", help="where tower features are kept"
    )
    options = parser.parse_args()
    data, names, stored, tables = None, None, {split: {} for split in SPLITS}, {}
    ranks: dict[tuple[str, str], np.ndarray] = {}
    for row, changes in ROWS.items():
        changes = HEADS | changes
        recipe = load_recipe(RECIPE, DATA | changes)
        if data is None:
            data = recipe.data.load()
            names = NameIndex(data.entities.names(), data.entities.aliases())
        torch.manual_seed(SEED)
        model, processor = recipe.model.load(data)
        for split in SPLITS:
            ranks[row, split] = ranks_of(model.eval(), processor, data, split, names, options.cache)
            about = {
                "model_name": row,
                "data_name": recipe.data.shown_name,
                "seeds": [SEED],
                "command": f"python {THIS}",
            }
            result = describe_ranks(ranks[row, split], data, split, **about, extra={"changes": json.dumps(changes)})
            stored[split][row] = result.to_dict() | {"ranks_file": None}
            print(
                row,
                split,
                {
                    name: round(100 * value, 2)
                    for name, value in result.metrics.items()
                    if name in ("hits@1", "hits@5", "mrr")
                },
            )
    columns = {"no training": "model_name", "H@1": "metrics.hits@1", "H@5": "metrics.hits@5", "MRR": "metrics.mrr"}
    for split in SPLITS:
        results = [EvaluationResult.from_dict(each) for each in stored[split].values()]
        tables[f"zero-shot-{split}"] = results_table(results, columns)
    pair = paired_comparison(ranks["towers and names", "test"], ranks["towers alone", "test"], ("hits@1", "mrr"))
    stored["names_minus_none"] = {metric: vars(value) for metric, value in pair.items()}
    OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    for name, table in tables.items():
        render_into(PAGE, name, table)


if __name__ == "__main__":
    main()
