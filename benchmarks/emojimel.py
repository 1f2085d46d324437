"""
EmojiMEL: text alone, image alone, both, BM25, and BM25 with pixels.

    python benchmarks/emojimel.py [--seeds 0 1 2] [--report]
    python benchmarks/emojimel.py --baselines FOLDER

Trained rows are `hf-mel train emojimel` with the changes of their row, one run after the other on all cores;
a run that is finished is not repeated. Writes docs/results/emojimel.json and the tables in docs/results.md and in the
template of the data set's card. With `--baselines` nothing is trained: the results of BM25, and of BM25 with pixels, on the
whole test split are written to folders of their own, for `hf-mel card RUN --beside FOLDER/bm25 FOLDER/bm25-pixels`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer

from hf_mel import load_benchmark
from hf_mel.data import load_images
from hf_mel.evaluation import bootstrap_intervals, load_ranks, load_results, paired_comparison, render_into
from hf_mel.evaluation.models import describe_ranks, write_result


ROOT = Path(__file__).parents[1]
RECIPE = "emojimel"
RUNS = ROOT / "runs" / "emojimel-table"
OUTPUT = ROOT / "docs" / "results" / "emojimel.json"
PAGES = (ROOT / "docs" / "results.md", ROOT / "dataset_scripts" / "emojimel" / "card_template.md")
THIS = "benchmarks/emojimel.py"
METRICS = ("hits@1", "hits@5", "mrr")
TRAINED = {
    "text only": [
        "--model.config.vision_config=null",
        "--model.config.projection_size=1024",
        "--model.image_size=null",
    ],
    "image only": ["--model.config.fusion=image", "--contrast_weight=1.0", "--modality_weight=0.0"],
    "both": [],
}
# Constants of BM25, and weights of the pixels among which the validation split chooses.
K1, B = 1.5, 0.75
PIXELS = 16
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)


# ---- Baselines ----


def bm25(data, split: str) -> np.ndarray:
    """Scores of mention and sentence against name and description, `(num_mentions, num_entities)`."""
    kb, mentions = data.entities, data.mentions[split]
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

    return vectors(load_images(data.mentions[split])) @ vectors(data.entities.images()).T


def ranks_of(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Rank of the gold entity among all; ties at their mean rank."""
    own = scores[np.arange(len(gold)), gold][:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def baselines(data) -> tuple[dict[str, np.ndarray], float]:
    """Ranks `(1, num_mentions)` of the untrained rows, and the weight of the pixels."""
    text = {split: bm25(data, split) for split in ("validation", "test")}
    image = {split: pixels(data, split) for split in text}
    gold = {split: data.entities.rows(data.mentions[split]["entity_id"][:]) for split in text}

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


# ---- Runs ----


def folder_of(row: str, seed: int) -> Path:
    return RUNS / f"{row.replace(' ', '-')}-{seed}"


def run(row: str, seed: int) -> None:
    """Trains unless the result is there."""
    folder = folder_of(row, seed)
    if "test" in load_results(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    changes = [*TRAINED[row], f"--seed={seed}", f"--output_dir={folder.relative_to(ROOT)}"]
    command = [
        sys.executable,
        "-m",
        "hf_mel.cli.main",
        "train",
        RECIPE,
        *changes,
        f"--evaluation.model_name={row}",
    ]
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)
    print(f"{row} {seed}: done", flush=True)


# ---- Tables ----


def percent(ranks: np.ndarray, mask: np.ndarray) -> str:
    return f"{100 * (ranks[:, mask] <= 1).mean():.1f}"


def write(seeds: list[int]) -> None:
    """Writes the JSON and the tables, from the runs that are finished."""
    data = load_benchmark("emojimel")
    ranks, weight = baselines(data)
    for row in TRAINED:
        ranks[row] = np.stack([load_ranks(folder_of(row, seed) / "ranks_test.npz")[0] for seed in seeds])
    test = {name: np.array(data.mentions["test"][name][:]) for name in ("kind", "image_quality", "source")}
    generated = test["source"] == "generated"
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
    lines = [
        "| | H@1 | H@5 | MRR | H@1 of kind text | image | both | H@1 written |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row, found in ranks.items():
        intervals = {name: vars(value) for name, value in bootstrap_intervals(found[:, generated], METRICS).items()}
        kinds = [percent(found, generated & (test["kind"] == kind)) for kind in ("text", "image", "both")]
        stored["rows"][row] = {"generated": intervals, "kinds": kinds, "written": percent(found, ~generated)}
        cells = [f"{100 * i['value']:.1f} [{100 * i['low']:.1f}, {100 * i['high']:.1f}]" for i in intervals.values()]
        lines.append(f"| {row} | {' | '.join([*cells, *kinds, percent(found, ~generated)])} |")
    lines += ["", *_paired(ranks, generated, stored), "", *_qualities(ranks["both"], ranks["text only"], test, stored)]
    lines += ["", _provenance(stored, len(data.entities), int(generated.sum()), int((~generated).sum()))]
    OUTPUT.write_text(json.dumps(stored, indent=1, default=str) + "\n", encoding="utf-8")
    for page in PAGES:
        render_into(page, "emojimel", "\n".join(lines))


def _paired(ranks: dict, generated: np.ndarray, stored: dict) -> list[str]:
    lines = ["| both minus | H@1 | MRR |", "|---|---|---|"]
    stored["both_minus"] = {}
    for row in ranks:
        if row == "both":
            continue
        found = paired_comparison(ranks["both"][:, generated], ranks[row][:, generated], ("hits@1", "mrr"))
        stored["both_minus"][row] = {name: vars(value) for name, value in found.items()}
        cells = [f"{100 * v.difference:+.1f} [{100 * v.low:+.1f}, {100 * v.high:+.1f}]" for v in found.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def _qualities(both: np.ndarray, text: np.ndarray, test: dict, stored: dict) -> list[str]:
    lines = ["| image quality | mentions | H@1 both | H@1 text only |", "|---|---:|---:|---:|"]
    stored["image_quality"] = {}
    for quality in ("good", "medium", "low_quality", "low_value", "low_relevance", "missing"):
        mask = (test["image_quality"] == quality) & (test["source"] == "generated")
        cells = [int(mask.sum()), percent(both, mask), percent(text, mask)]
        stored["image_quality"][quality] = cells
        lines.append(f"| `{quality}` | {' | '.join(map(str, cells))} |")
    return lines


def _provenance(stored: dict, entities: int, generated: int, written: int) -> str:
    environment = stored["environment"]
    return (
        f"Every mention against all {entities:,} entities, ties at their mean rank; {generated:,} generated mentions of the test "
        f"split, {written} written ones apart. Trained rows: mean of the seeds {', '.join(map(str, stored['seeds']))}; intervals: "
        f"95 %, bootstrap over mentions. The weight of the pixels ({stored['pixel_weight']:g}) was chosen on validation. "
        f"`python {THIS}`; commit {environment['git_commit']}, {environment['machine']}, {stored['date']}."
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
