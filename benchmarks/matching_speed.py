"""
How fast models that are made of matching units score, and in how much memory, against the straightforward form of the same
formulas (straightforward.py), for 20 mentions and 6,000 entities.

    python benchmarks/matching_speed.py [--models mimic ...] [--mentions 20] [--entities 6000] [--threads 2] [--device cpu]

Sizes are those of CLIP ViT-B/32, the features random: 40 tokens a text and 50 states a picture, none of them padding. Each
measurement runs in a process of its own, so that its peak of memory is its own; both forms begin with the features of the
towers. The median of `--repeats` runs, after one that is not counted. Scores of both forms must agree to 1e-5 of the largest
score. The numbers go to docs/results/matching_speed.json and docs/peers.md.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import torch

from hf_mel import TowerFeatures
from hf_mel.evaluation import Environment, render_into
from hf_mel.models import LINKING_MODELS


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "matching_speed.json"
PAGE = ROOT / "docs" / "peers.md"
WIKIMEL = (5_169, 109_976)  # mentions of the test split and entities of the knowledge base, cleaned release
TOLERANCE = 1e-5
TOKENS, PATCHES, TEXT, IMAGE, STATE = 40, 50, 512, 512, 768


def build(name: str):
    """A model with random heads; its towers are not used."""
    model_class = LINKING_MODELS[name]
    text = {"model_type": "clip_text_model", "num_hidden_layers": 1}
    vision = {"model_type": "clip_vision_model", "num_hidden_layers": 1}
    torch.manual_seed(0)
    config = model_class.config_class(
        text_config=text, vision_config=vision, text_projection_dim=TEXT, vision_projection_dim=IMAGE
    )
    return model_class(config).eval()


def features(rows: int, seed: int, device: str) -> TowerFeatures:
    """Random features of the towers."""
    random = torch.Generator().manual_seed(seed)
    return TowerFeatures(
        text_features=torch.randn(rows, 1, TEXT, generator=random),
        image_features=torch.randn(rows, IMAGE, generator=random),
        has_image=torch.ones(rows, dtype=torch.bool),
        token_features=torch.randn(rows, TOKENS, TEXT, generator=random),
        token_mask=torch.ones(rows, TOKENS, dtype=torch.bool),
        patch_features=torch.randn(rows, PATCHES, STATE, generator=random),
    ).to(device)


@torch.no_grad()
def measure(pipe, name: str, form: str, options: argparse.Namespace) -> None:
    """Seconds of encoding and matching, bytes at the peak beside what was there before, and the scores."""
    torch.set_num_threads(options.threads)
    model = build(name).to(options.device)
    mentions, entities = (
        features(n, seed, options.device) for seed, n in enumerate((options.mentions, options.entities))
    )
    before = peak(options.device)
    encoding, matching = [], []
    for _ in range(options.repeats + 1):
        begin = clock(options.device)
        if form == "package":
            sides = model.encode("mention", mentions), model.encode("entity", entities)
        else:
            sides = model.read("mention", mentions), model.read("entity", entities)
        middle = clock(options.device)
        if form == "package":
            scores = model.match(*sides)
        else:
            from straightforward import score

            scores = torch.stack([score(unit, *sides) for unit in model.units.values()]).mean(dim=0)
        end = clock(options.device)
        encoding.append(middle - begin)
        matching.append(end - middle)
    pipe.send(
        {
            "encode_seconds": statistics.median(encoding[1:]),
            "match_seconds": statistics.median(matching[1:]),
            "peak_bytes": peak(options.device) - before,
            "scores": scores.cpu().numpy(),
        }
    )


def clock(device: str) -> float:
    """Now, when all that was asked of the device is done."""
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def peak(device: str) -> int:
    """Most bytes so far."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_a_process(name: str, form: str, options: argparse.Namespace) -> dict:
    """[`measure`] in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(theirs, name, form, options))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise SystemExit(f"{name}, {form}: the process ended with {process.exitcode}") from None
    finally:
        process.join()


def compare(name: str, options: argparse.Namespace) -> dict:
    """Both forms, and how far their scores are apart."""
    rows = {form: in_a_process(name, form, options) for form in ("straightforward", "package")}
    scores = [torch.from_numpy(row.pop("scores")) for row in rows.values()]
    difference = ((scores[0] - scores[1]).abs().max() / scores[0].abs().max()).item()
    if difference > TOLERANCE:
        raise SystemExit(f"{name}: the two forms differ by {difference:.1e} of the largest score")
    pairs = options.mentions * options.entities
    wikimel = WIKIMEL[0] * WIKIMEL[1] / pairs * rows["package"]["match_seconds"]
    return rows | {"difference": difference, "pairs": pairs, "wikimel_hours": wikimel / 3600}


def table(record: dict) -> str:
    """The record as Markdown."""
    lines = [
        "| model | form | match, s | pairs a second | encode, s | peak memory, MB | WikiMEL, hours |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in record["models"].items():
        for form in ("straightforward", "package"):
            row = found[form]
            hours = f"{found['wikimel_hours']:.1f}" if form == "package" else ""
            lines.append(
                f"| {name} | {form} | {row['match_seconds']:.3f} | {found['pairs'] / row['match_seconds']:,.0f} | "
                f"{row['encode_seconds']:.3f} | {row['peak_bytes'] / 1e6:,.0f} | {hours} |"
            )
    faster = "; ".join(
        f"{name} {_ratio(found, 'match_seconds'):.1f} and {_ratio(found, 'match_seconds', 'encode_seconds'):.1f} times"
        for name, found in record["models"].items()
    )
    worst = max(found["difference"] for found in record["models"].values())
    environment = record["environment"]
    lines += [
        "",
        "The straightforward form maps its features while it matches, the package does so once, in `encode`, and an index keeps "
        f"the result. Faster in matching alone, and in both together: {faster}. Largest difference of two scores, by the largest score: {worst:.1e}. {record['mentions']} mentions, "
        f"{record['entities']:,} entities, float32, {record['threads']} threads, {record['device']}. Last column: matching "
        f"{WIKIMEL[0]:,} x {WIKIMEL[1]:,} pairs at that speed, extrapolated. `{record['command']}`; commit "
        f"{environment['git_commit']}, {environment['machine']}, {record['date']}.",
    ]
    return "\n".join(lines)


def _ratio(found: dict, *names: str) -> float:
    slow, fast = (sum(found[form][name] for name in names) for form in ("straightforward", "package"))
    return slow / fast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mimic", "m3el", "melov"])
    parser.add_argument("--mentions", type=int, default=20)
    parser.add_argument("--entities", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    record = {
        "command": "python benchmarks/matching_speed.py",
        **{name: getattr(options, name) for name in ("mentions", "entities", "threads", "repeats", "device")},
        "date": date.today().isoformat(),
        "environment": asdict(Environment.collect(repository=ROOT)),
        "models": {name: compare(name, options) for name in options.models},
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))
    if options.output == OUTPUT:
        render_into(PAGE, "matching-speed", table(record))


if __name__ == "__main__":
    main()
