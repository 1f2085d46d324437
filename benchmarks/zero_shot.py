"""
Linking without training: the checkpoints of `hf-mel init`, with and without the names in the score, on the text of three benchmarks.

    HF_MEL_DATA=... MINILM=... python benchmarks/zero_shot.py [--data wikimel richpediamel wikidiverse] [--cache FOLDER]

Each row is a model of `load_towers`: a random tower or all-MiniLM-L6-v2, with one text view or both. Both views of a tower are
encoded once and shared by its rows. Writes docs/results/zero_shot.json and the tables in docs/results.md; one thread.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from strategies import DATA, load_data
from transformers import AutoTokenizer, BertConfig, BertModel, set_seed
from transformers.utils import logging

from hf_mel.data import MELData
from hf_mel.encoding import EntityInputs, MentionInputs
from hf_mel.evaluation import EvaluationResult, paired_comparison, render_into, results_table
from hf_mel.evaluation.models import describe_ranks, linkable_mentions, rank_mentions
from hf_mel.names import name_index_of
from hf_mel.training import FeatureCache
from hf_mel.zero_shot import load_towers


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "zero_shot.json"
PAGE = ROOT / "docs" / "results.md"
THIS = "benchmarks/zero_shot.py"
METRICS = ("hits@1", "mrr")
SEED = 0  # of the random tower; nothing else is drawn
SPLITS = [("wikimel", "validation"), ("wikimel", "test"), ("richpediamel", "test"), ("wikidiverse", "test")]
# Tower, text views, and whether names are in the score.
ROWS = {
    "random tower": ("random", "both", False),
    "random tower + names": ("random", "both", True),
    "MiniLM, mention in its sentence": ("MiniLM", "context", False),
    "MiniLM, mention in its sentence + names": ("MiniLM", "context", True),
    "MiniLM, mention alone": ("MiniLM", "surface", False),
    "MiniLM, mention alone + names": ("MiniLM", "surface", True),
    "MiniLM, both": ("MiniLM", "both", False),
    "MiniLM, both + names (the default)": ("MiniLM", "both", True),
}
PAIRS = [
    ("MiniLM, both + names (the default)", "MiniLM, both"),
    ("MiniLM, mention in its sentence + names", "MiniLM, mention in its sentence"),
    ("MiniLM, mention alone + names", "MiniLM, mention alone"),
    ("MiniLM, both", "MiniLM, mention in its sentence"),
    ("random tower + names", "random tower"),
]
VIEWS = {"context": [0], "surface": [1], "both": [0, 1]}


# ---- Data and towers ----


def save_random_tower(folder: Path) -> Path:
    """A small BERT that was never trained, with MiniLM's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(os.environ["MINILM"])
    set_seed(SEED)
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    BertModel(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class View:
    """Features of one side, of which a model reads some of the two text views."""

    def __init__(self, features: FeatureCache, text_views: str):
        self.features, self.views, self.side = features, VIEWS[text_views], features.side

    def __len__(self) -> int:
        return len(self.features)

    def lengths(self) -> None:
        return None

    def __call__(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        given = self.features(rows)
        return given | {"text_features": given["text_features"][:, self.views]}


# ---- Ranks ----


def ranks_of(
    data: MELData, splits: list[str], towers: dict[str, Path], cache: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Ranks `(num_mentions,)` of the gold entities, by row and split."""
    linkable = {split: linkable_mentions(data.mentions[split], data.entities, split) for split in splits}
    kept, ranks = {}, {}
    for tower, folder in towers.items():
        model, processor = load_towers(folder, False, pooling="mean")
        sides = {split: (MentionInputs(each.dataset, processor), each.fingerprint) for split, each in linkable.items()}
        sides["entities"] = EntityInputs(data.entities, processor), data.entities.fingerprint
        for name, (inputs, fingerprint) in sides.items():
            kept[tower, name] = FeatureCache.build(cache, model, inputs, fingerprint, batch_size=256, progress=False)
    for row, (tower, text_views, name_features) in ROWS.items():
        model, _ = load_towers(
            towers[tower], False, pooling="mean", text_views=text_views, name_features=name_features
        )
        names = name_index_of(model, data.entities)
        for split, mentions in linkable.items():
            sides = [View(kept[tower, name], text_views) for name in (split, "entities")]
            given = (names, mentions.dataset["mention"][:])
            ranks[row, split] = rank_mentions(model, *sides, mentions.gold_rows, 1024, given, progress=False)
            print(row, split, f"H@1 {100 * (ranks[row, split] == 1).mean():.2f}", flush=True)
    return ranks


def results_of(name: str, data: MELData, ranks: dict, split: str) -> tuple[dict, dict, str]:
    """Results by row, differences by pair, and the table of a split."""
    results = []
    for row in ROWS:
        about = {"model_name": row, "data_name": DATA[name].title, "seeds": [SEED], "command": f"python {THIS}"}
        result = describe_ranks(ranks[row, split], data, split, **about).to_dict()
        results.append(EvaluationResult.from_dict(result | {"ranks_file": None, "groups": {}}))
    pairs = {
        f"{first} minus {second}": paired_comparison(ranks[first, split], ranks[second, split], METRICS)
        for first, second in PAIRS
    }
    columns = {"no training": "model_name", "H@1": "metrics.hits@1", "H@5": "metrics.hits@5", "MRR": "metrics.mrr"}
    lines = ["| difference | H@1 | MRR |", "|---|---:|---:|"]
    lines += [
        f"| {pair} | {' | '.join(_shown(found[metric]) for metric in METRICS)} |" for pair, found in pairs.items()
    ]
    table = f"{results_table(results, columns).rstrip()}\n\n" + "\n".join(lines)
    stored = {pair: {metric: vars(value) for metric, value in found.items()} for pair, found in pairs.items()}
    return {each.model_name: each.to_dict() for each in results}, stored, table


def _shown(value) -> str:
    return f"{100 * value.difference:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "zero_shot", help="where features are kept")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="others keep their stored numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    stored = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        towers = {"random": save_random_tower(Path(scratch) / "tower"), "MiniLM": Path(os.environ["MINILM"])}
        for name in options.data:
            data, splits = load_data(name), [split for each, split in SPLITS if each == name]
            ranks = ranks_of(data, splits, towers, options.cache)
            for split in splits:
                rows, pairs, table = results_of(name, data, ranks, split)
                stored[f"{name}, {split}"] = {"rows": rows, "differences": pairs}
                OUTPUT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
                render_into(PAGE, f"zero-shot-{name}-{split}", table)


if __name__ == "__main__":
    main()
