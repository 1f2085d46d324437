"""
EmojiMEL: does the order hold that real data show?

    MINILM=... MOBILENET=... python benchmarks/emojimel.py [--seeds 0 1 2] [--report]
    python benchmarks/emojimel.py --baselines FOLDER

MINILM is all-MiniLM-L6-v2, MOBILENET a folder that benchmarks/mobilenet_tower.py wrote. Trained rows are
the recipe emojimel-frozen-towers with the changes of their row, and the recipe emojimel (quick start); a run that is finished is not repeated. Writes
docs/results/emojimel.json and the tables in docs/results.md and in the template of the data set's card. With `--baselines`
nothing is trained: the results of BM25, and of BM25 with pixels, are written to folders of their own, for
`hf-mel card RUN --beside FOLDER/bm25 FOLDER/bm25-pixels`.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, set_seed

from hf_mel import load_benchmark
from hf_mel.data import load_images
from hf_mel.evaluation import bootstrap_intervals, load_ranks, load_results, paired_comparison, render_into
from hf_mel.evaluation.models import describe_ranks, write_result
from hf_mel.recipes import load_recipe
from hf_mel.runs import run_recipe


ROOT = Path(__file__).parents[1]
RECIPE = "emojimel-frozen-towers"
RUNS = ROOT / "runs" / "emojimel-table"
OUTPUT = ROOT / "docs" / "results" / "emojimel.json"
PAGES = (ROOT / "docs" / "results.md", ROOT / "dataset_scripts" / "emojimel" / "card_template.md")
THIS = "benchmarks/emojimel.py"
METRICS = ("hits@1", "hits@5", "mrr")
TRAINED = {
    "text only": {"model.config.fusion": "text", "modality_weight": 0.0},
    "picture only": {"model.config.fusion": "image", "modality_weight": 0.0},
    "both": {},
    "both, names counted": {"model.config.name_features": True},
    "quick start": {},  # its own recipe: word vectors, a vision tower from scratch, names counted
}
QUICK_START = "emojimel"
# The steps that real data show: the second row of each is better.
ORDER = (
    ("random text tower", "BM25"),
    ("BM25", "MiniLM, not trained"),
    ("MiniLM, not trained", "text only"),
    ("text only", "both"),
    ("picture only", "both"),
    ("both", "both, names counted"),
)
# Constants of BM25, and weights of the pixels among which the validation split chooses.
K1, B = 1.5, 0.75
PIXELS = 16
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)


def linkable(data, split: str):
    """The mentions of a split that have an entity, and its row in the knowledge base."""
    mentions = data.mentions[split]
    gold = mentions["entity_id"][:]
    mentions = mentions.select([row for row, entity in enumerate(gold) if entity is not None])
    return mentions, data.entities.rows(mentions["entity_id"][:])


# ---- Baselines ----


def bm25(data, split: str) -> np.ndarray:
    """Scores of mention and sentence against name and description, `(num_mentions, num_entities)`."""
    kb, (mentions, _) = data.entities, linkable(data, split)
    documents = [f"{name} {text}" for name, text in zip(kb.names(), kb.texts(), strict=True)]
    vectorizer = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
    counts = vectorizer.fit_transform(documents).tocoo().astype(float)
    lengths = np.bincount(counts.row, counts.data, len(documents))
    occurs = np.bincount(counts.col, minlength=counts.shape[1])
    idf = np.log(1 + (len(documents) - occurs + 0.5) / (occurs + 0.5))
    norm = K1 * (1 - B + B * lengths / lengths.mean())
    counts.data = idf[counts.col] * counts.data * (K1 + 1) / (counts.data + norm[counts.row])
    texts = [f"{m} {s}" for m, s in zip(mentions["mention"][:], mentions["text"][:], strict=True)]
    return (vectorizer.transform(texts) @ counts.tocsr().T).toarray()


def pixels(data, split: str) -> np.ndarray:
    """Cosines of centred pictures of 16 x 16 pixels; 0 where a mention has none."""

    def vectors(pictures: list[Image.Image | None]) -> np.ndarray:
        size = (PIXELS, PIXELS)
        flat = [
            np.zeros(PIXELS * PIXELS * 3) if p is None else np.asarray(p.resize(size), float).ravel() for p in pictures
        ]
        centred = np.stack([row - row.mean() for row in flat])
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)

    return vectors(load_images(linkable(data, split)[0])) @ vectors(data.entities.images()).T


def ranks_of(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Rank of the gold entity among all; ties at their mean rank."""
    own = scores[np.arange(len(gold)), gold][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def baselines(data) -> tuple[dict[str, np.ndarray], float]:
    """Ranks `(1, num_mentions)` of the untrained rows, and the weight of the pixels."""
    text = {split: bm25(data, split) for split in ("validation", "test")}
    image = {split: pixels(data, split) for split in text}
    gold = {split: linkable(data, split)[1] for split in text}

    def mrr(weight: float) -> float:
        return float((1 / ranks_of(text["validation"] + weight * image["validation"], gold["validation"])).mean())

    weight = max(WEIGHTS, key=mrr)
    rows = {"BM25": text["test"], "BM25 + pixels": text["test"] + weight * image["test"]}
    return {name: ranks_of(scores, gold["test"])[None] for name, scores in rows.items()}, weight


def write_baselines(folder: Path) -> None:
    """The results and ranks of the untrained rows, each in a folder as a run leaves it."""
    data = load_benchmark("emojimel")
    ranks, weight = baselines(data)
    for row, (found,) in ranks.items():
        extra = {"pixel_weight": weight} if "pixels" in row else {}
        about = {"model_name": row, "data_name": "emojimel", "seeds": [], "extra": extra}
        result = describe_ranks(found, data, "test", command=f"python {THIS} --baselines {folder}", **about)
        write_result(result, found, folder / row.lower().replace(" + ", "-"), "test")
        print(f"{row}: hits@1 {100 * result.metrics['hits@1']:.1f}", flush=True)


# ---- Towers that are not trained ----


@torch.no_grad()
def sentence_vectors(model, tokenizer, texts: list[str]) -> np.ndarray:
    """Mean of a tower's states over the tokens, of length 1, `(num_texts, hidden_size)`."""
    found = []
    for first in range(0, len(texts), 64):
        inputs = tokenizer(
            texts[first : first + 64], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        mask = inputs["attention_mask"][..., None]
        states = model(**inputs).last_hidden_state
        found.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1))
    return torch.cat(found).numpy()


def untrained_texts(data) -> dict[str, np.ndarray]:
    """Ranks by the cosine of "mention: sentence" and "name: description"; kept, as those of runs are."""
    (mentions, gold), kb = linkable(data, "test"), data.entities
    ours = [f"{m}: {t}" for m, t in zip(mentions["mention"][:], mentions["text"][:], strict=True)]
    theirs = [f"{name}: {text}" for name, text in zip(kb.names(), kb.texts(), strict=True)]
    tokenizer = AutoTokenizer.from_pretrained(os.environ["MINILM"])
    set_seed(0)
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    towers = {
        "random text tower": BertModel(BertConfig(vocab_size=len(tokenizer), **shape)).eval(),
        "MiniLM, not trained": AutoModel.from_pretrained(os.environ["MINILM"]).eval(),
    }
    ranks = {}
    for row, tower in towers.items():
        folder = folder_of(row, 0)
        if "test" not in load_results(folder):
            scores = sentence_vectors(tower, tokenizer, ours) @ sentence_vectors(tower, tokenizer, theirs).T
            about = {"model_name": row, "data_name": "emojimel", "seeds": [0], "command": f"python {THIS}"}
            found = ranks_of(scores, gold)
            write_result(describe_ranks(found, data, "test", **about), found, folder, "test")
        ranks[row] = load_ranks(folder / "ranks_test.npz")[0][None]
    return ranks


# ---- Runs ----


def folder_of(row: str, seed: int) -> Path:
    return RUNS / f"{row.replace(',', '').replace(' ', '-')}-{seed}"


def run(row: str, seed: int) -> None:
    """Trains unless the result is there. Features of frozen towers are computed once for all runs."""
    folder = folder_of(row, seed)
    if "test" in load_results(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    (RUNS / "features").mkdir(exist_ok=True)
    if not (folder / "feature_cache").exists():
        (folder / "feature_cache").symlink_to(RUNS / "features")
    changes = {"seed": seed, "output_dir": str(folder), "evaluation.model_name": row} | TRAINED[row]
    recipe = QUICK_START if row == "quick start" else RECIPE
    if recipe == RECIPE:
        changes["model.text"] = os.environ["MINILM"]
    run_recipe(load_recipe(recipe, changes), f"python {THIS}")
    print(f"{row} {seed}: done", flush=True)


# ---- Tables ----


def percent(ranks: np.ndarray, mask: np.ndarray) -> str:
    return f"{100 * (ranks[:, mask] <= 1).mean():.1f}"


def write(seeds: list[int]) -> None:
    """Writes the JSON and the tables, from the runs that are finished."""
    data = load_benchmark("emojimel")
    untrained, weight = baselines(data)
    ranks = untrained_texts(data) | untrained
    for row in TRAINED:
        if all("test" in load_results(folder_of(row, seed)) for seed in seeds):
            ranks[row] = np.stack([load_ranks(folder_of(row, seed) / "ranks_test.npz")[0] for seed in seeds])
    mentions, _ = linkable(data, "test")
    test = {name: np.array(mentions[name][:]) for name in ("kind", "image_quality", "language")}
    results = [load_results(folder_of("both", seed))["test"] for seed in seeds]
    stored = {
        "command": f"python {THIS}",
        "recipe": RECIPE,
        "changes": TRAINED,
        "seeds": seeds,
        "pixel_weight": weight,
        "date": results[0].date,
        "environment": vars(results[0].environment),
        "train_seconds": [result.extra["train_seconds"] for result in results],
        "rows": {},
    }
    lines = _main_table(ranks, test, stored)
    lines += ["", *_order(ranks, stored), "", *_qualities(ranks["both"], ranks["text only"], test, stored)]
    lines += ["", _provenance(stored, len(data.entities), len(mentions))]
    OUTPUT.write_text(json.dumps(stored, indent=1, default=str) + "\n", encoding="utf-8")
    for page in PAGES:
        render_into(page, "emojimel", "\n".join(lines))


def _main_table(ranks: dict, test: dict, stored: dict) -> list[str]:
    lines = [
        "| | H@1 | H@5 | MRR | H@1 of kind text | image | both | H@1, another language |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    first = ("random text tower", "BM25", "BM25 + pixels", "MiniLM, not trained")
    for row in [*first, *(row for row in ranks if row not in first)]:
        found = ranks[row]
        intervals = {name: vars(value) for name, value in bootstrap_intervals(found, METRICS).items()}
        kinds = [percent(found, test["kind"] == kind) for kind in ("text", "image", "both")]
        foreign = percent(found, test["language"] != "en")
        stored["rows"][row] = {"all": intervals, "kinds": kinds, "another_language": foreign}
        cells = [f"{100 * i['value']:.1f} [{100 * i['low']:.1f}, {100 * i['high']:.1f}]" for i in intervals.values()]
        lines.append(f"| {row} | {' | '.join([*cells, *kinds, foreign])} |")
    return lines


def _order(ranks: dict, stored: dict) -> list[str]:
    lines = ["| expected to be better | than | H@1 | MRR |", "|---|---|---|---|"]
    stored["order"] = []
    for worse, better in ORDER:
        if better not in ranks:
            continue
        found = paired_comparison(ranks[better], ranks[worse], ("hits@1", "mrr"))
        stored["order"].append([better, worse, {name: vars(value) for name, value in found.items()}])
        cells = [f"{100 * v.difference:+.1f} [{100 * v.low:+.1f}, {100 * v.high:+.1f}]" for v in found.values()]
        lines.append(f"| {better} | {worse} | {' | '.join(cells)} |")
    return lines


def _qualities(both: np.ndarray, text: np.ndarray, test: dict, stored: dict) -> list[str]:
    lines = ["| image quality | mentions | H@1 both | H@1 text only |", "|---|---:|---:|---:|"]
    stored["image_quality"] = {}
    for quality in ("good", "medium", "two_entities", "low_quality", "low_value", "low_relevance", "missing"):
        mask = test["image_quality"] == quality
        cells = [int(mask.sum()), percent(both, mask), percent(text, mask)]
        stored["image_quality"][quality] = cells
        lines.append(f"| `{quality}` | {' | '.join(map(str, cells))} |")
    return lines


def _provenance(stored: dict, entities: int, mentions: int) -> str:
    environment = stored["environment"]
    seeds = stored["seeds"]
    trained = f"mean of the seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"{mentions:,} mentions of the test split against all {entities:,} entities, ties at their mean rank, NIL left out. Trained "
        f"rows: {trained}; intervals: 95 %, bootstrap over mentions. The weight of the pixels ({stored['pixel_weight']:g}) was "
        f"chosen on validation. `python {THIS}`; commit {environment['git_commit']}, {environment['machine']}, {stored['date']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="only write the tables, from runs that are finished")
    parser.add_argument(
        "--baselines", type=Path, metavar="FOLDER", help="only write the results of the untrained rows"
    )
    options = parser.parse_args()
    if options.baselines is not None:
        write_baselines(options.baselines)
        return
    if not options.report:
        for seed in options.seeds:
            for row in TRAINED:
                run(row, seed)
    write(options.seeds)


if __name__ == "__main__":
    main()
