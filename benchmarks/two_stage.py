"""
What scoring in two stages costs and finds, against exact search, for models whose score is the mean of matching units.

    python benchmarks/two_stage.py --runs runs/mimic-emojimel [...] [--data emojimel] [--proposals 16 64 256] [--threads 1]

Each run folder holds a checkpoint, trained or not. Its entities are encoded once, in float32; encoding is not timed. All mentions
are asked for at once, the fastest of `--repeats` searches counts; the table shows the time of processors. The numbers go to docs/results/two_stage.json and
docs/peers.md.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import torch

from hf_mel.checkpoint import load_checkpoint
from hf_mel.data import load_data
from hf_mel.encoding import Encodings, MentionInputs, encode_all
from hf_mel.evaluation import Environment, render_into
from hf_mel.evaluation.models import linkable_mentions
from hf_mel.linking.index import EntityIndex, get_backend
from hf_mel.linking.index.recall import measure_recall


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "two_stage.json"
PAGE = ROOT / "docs" / "peers.md"
KS = (1, 10)


def fastest(work: Callable, repeats: int) -> tuple[float, float]:
    """Seconds on the clock, and seconds of processors, which say the same of a machine that does something else as well."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return min(clock for clock, _ in times), min(processors for _, processors in times)


def measured(
    index: EntityIndex, queries: Encodings, gold: np.ndarray, match, number: int | None, options: argparse.Namespace
) -> dict:
    """Time, recall and hits of a search with so many proposals; `None`: of the exact one."""
    backend = get_backend("exact", index, match=match)
    if number is not None:
        backend = get_backend("two_stage", index, num_proposals=number)

    found_rows = []

    def search() -> None:
        found_rows.append(index.search(queries, max(KS), match=match, backend=backend)[1])

    recall = dict.fromkeys((f"recall@{k}" for k in KS), 1.0)
    if number is not None:
        found = measure_recall(index, backend, queries, KS, match=match)
        recall = {name: found[name] for name in recall}
    clock, processors = fastest(search, options.repeats)
    first = found_rows[-1][:, 0]  # as many are proposed for the best one as for the best ten
    row = {
        "num_proposals": number,
        **recall,
        "hits@1": float((first == gold).mean()),
        "seconds_per_1000": 1000 * clock / len(gold),
        "cpu_seconds_per_1000": 1000 * processors / len(gold),
    }
    print(json.dumps(row), flush=True)
    return row


def measure(folder: str, options: argparse.Namespace) -> dict:
    """The model of a run folder."""
    model, processor = load_checkpoint(folder)
    data = load_data(options.data)
    mentions = linkable_mentions(data.mentions[options.split], data.entities, options.split)
    index = EntityIndex.build(
        model, processor, data.entities, encode_dtype="float32", modalities=False, thumbnail_size=0, progress=True
    )
    if index.manifest.vector_name is not None or index.manifest.proposal_name is None:
        raise SystemExit(f"{folder}: a model of type {model.config.model_type!r} has no two stages")
    queries, _ = encode_all(model, MentionInputs(mentions.dataset, processor))
    numbers = [number for number in sorted(options.proposals) if number < len(index)]
    return {
        "run": Path(folder).name,
        "type": model.config.model_type,
        "fingerprint": index.manifest.model["fingerprint"],
        "mentions": len(mentions.gold_rows),
        "entities": len(index),
        "dim": index.manifest.dim,
        "told_by_the_index": index.manifest.proposals,
        "rows": [
            measured(index, queries, mentions.gold_rows, model.match, number, options) for number in [None, *numbers]
        ],
    }


def table(record: dict) -> str:
    """What the page shows of the JSON."""
    lines = [
        "| model | proposals | recall@1 | recall@10 | H@1 | 1,000 mentions, CPU s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for found in record["models"]:
        for row in found["rows"]:
            number = "all (exact)" if row["num_proposals"] is None else f"{row['num_proposals']:,}"
            shares = " | ".join(f"{100 * row[name]:.2f}" for name in ("recall@1", "recall@10", "hits@1"))
            lines.append(f"| {found['run']} | {number} | {shares} | {row['cpu_seconds_per_1000']:,.1f} |")
    told = "; ".join(
        f"{found['run']} {100 * found['told_by_the_index']['recall@10']:.2f} with "
        f"{found['told_by_the_index']['num_proposals']:,} proposals"
        for found in record["models"]
    )
    dims = ", ".join(f"{found['dim']:,}" for found in record["models"])
    first = record["models"][0]
    environment = record["environment"]
    threads = environment["torch_threads"]
    lines += [
        "",
        f"{record['data']}, {record['split']}: {first['mentions']:,} mentions, {first['entities']:,} entities; vectors of {dims} "
        "numbers. Recall in percent of the best of exact search; H@1 with the gold "
        "entity. The best 10 of mentions that are encoded, all asked for at once. Recall@10 that the indexes tell of "
        f"themselves, measured with entities read as mentions: {told}. `{record['command']}`; commit "
        f"{environment['git_commit']}, {environment['machine']}, {threads} thread{'s' if threads > 1 else ''}, "
        f"{record['date']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", help="folders of checkpoints")
    parser.add_argument("--data", default="emojimel", help="emojimel, miniature, or a folder")
    parser.add_argument("--split", default="test")
    parser.add_argument("--proposals", nargs="+", type=int, default=[16, 64, 256], help="each at least 10")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--report", action="store_true", help="only write the table, from the JSON that is there")
    options = parser.parse_args()
    if not options.report:
        if not options.runs:
            parser.error("--runs is needed, unless with --report")
        torch.set_num_threads(options.threads)
        record = {
            "command": f"python benchmarks/two_stage.py --runs {' '.join(options.runs)}",
            "data": Path(options.data).name,
            "split": options.split,
            "repeats": options.repeats,
            "date": date.today().isoformat(),
            "environment": asdict(Environment.collect(repository=ROOT)),
            "models": [measure(folder, options) for folder in options.runs],
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    record = json.loads(options.output.read_text(encoding="utf-8"))
    print(table(record))
    if options.output == OUTPUT:
        render_into(PAGE, "two-stage", table(record))


if __name__ == "__main__":
    main()
