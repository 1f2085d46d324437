"""
What precisions and search backends of an index cost and find, on the text of WikiMEL: 18,880 entities, test mentions.

    python benchmarks/index_backends.py --model CHECKPOINT --raw_dir HF_MEL_DATA/wikimel/ghmfc [--folder SCRATCH]

CHECKPOINT is what `hf-mel train pgmel-text-wikimel` leaves. The knowledge base is encoded once, in float32; exact
search on it must equal a search by brute force, and every other row of the table is compared with it. The numbers go to
docs/results/index_backends.json and the tables to docs/linking.md.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from hf_mel.checkpoint import load_checkpoint
from hf_mel.data import KnowledgeBase, load_data
from hf_mel.encoding import Encodings, MentionInputs, encode_all
from hf_mel.evaluation import dot_product, render_into
from hf_mel.evaluation.environment import Environment
from hf_mel.linking.index import EntityIndex, get_backend
from hf_mel.linking.index.recall import measure_recall
from hf_mel.linking.index.rewriting import rewrite


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "index_backends.json"
PAGE = ROOT / "docs" / "linking.md"
SEED = 0
KS = (1, 10, 100)
PRECISIONS = ("float16", "bfloat16", "int8")
BACKENDS = {
    "faiss flat": ("faiss", {"kind": "flat"}),
    "faiss flat, int8": ("faiss", {"kind": "flat", "storage": "int8"}),
    "faiss ivf": ("faiss", {"kind": "ivf"}),
    "faiss ivf, int8": ("faiss", {"kind": "ivf", "storage": "int8"}),
    "faiss hnsw": ("faiss", {"kind": "hnsw"}),
    "qdrant, in this process": ("qdrant", {}),
}
# Mentions asked for one at a time, and all at once where a mention takes long.
SINGLE, FEW = 200, 512
K = 10


# ---- Indexes ----


def converted(index: EntityIndex, folder: Path, precision: str) -> EntityIndex:
    """The same encodings in another precision, as `EntityIndex.build` would store them."""
    shards = rewrite(index.store, np.arange(index.num_rows), folder, 0, index.manifest.shard_rows, precision)
    replace(index.manifest, precision=precision, shards=shards, next_shard=len(shards)).save(folder)
    return EntityIndex.load(folder)


def check_exact(index: EntityIndex, queries: Encodings) -> None:
    """Exact search against all scores sorted, and against products in float64 by numpy."""
    vectors = index.encodings(np.arange(index.num_rows))["embeds"]
    for begin in range(0, len(queries["embeds"]), 256):
        part = queries["embeds"][begin : begin + 256]
        scores, rows = index.search(part, max(KS))
        all_scores = dot_product(part, vectors)
        order = all_scores.argsort(dim=1, descending=True, stable=True)[:, : max(KS)]
        if not (np.array_equal(rows, order) and np.array_equal(scores, all_scores.gather(1, order))):
            raise SystemExit("exact search is not the search by brute force")
        best = -np.sort(-(part.double().numpy() @ vectors.double().numpy().T), axis=1)[:, : max(KS)]
        if np.abs(best - scores).max() > 1e-6:
            raise SystemExit("the scores of exact search are not those of numpy in float64")


# ---- One row of the table ----


def seconds(work: Callable) -> float:
    """How long it takes, the best of three: the machine may do something else as well."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def measured(
    name: str, reference: EntityIndex, searched, queries: Encodings, gold: np.ndarray, build: float | None
) -> dict:
    """Recall, hits and speed of an index, or of a backend of the reference."""
    index, backend = (searched, None) if isinstance(searched, EntityIndex) else (reference, searched)
    embeds = queries["embeds"]
    recall = measure_recall(reference, searched, queries, KS)
    rows = index.search(embeds, 1, backend=backend)[1][:, 0]
    slow = name.startswith("qdrant")
    batch = embeds[:FEW] if slow else embeds
    each = [embeds[row : row + 1] for row in range(SINGLE // (4 if slow else 1))]
    result = {
        "name": name,
        **{f"recall@{k}": recall[f"recall@{k}"] for k in KS},
        "hits@1": float((rows == gold).mean()),
        "bytes_per_entity": recall["bytes_per_entity"],
        "build_seconds": None if build is None else round(build, 2),
        "queries_per_second_batch": round(len(batch) / seconds(lambda: index.search(batch, K, backend=backend))),
        "queries_per_second_single": round(
            len(each) / seconds(lambda: [index.search(one, K, backend=backend) for one in each])
        ),
    }
    print(json.dumps(result), flush=True)
    return result


def search_rows(
    index: EntityIndex, queries: Encodings, gold: np.ndarray, scratch: Path, encoded_in: float | None
) -> list:
    """All rows of the table, the reference first."""
    rows = [measured("exact, float32", index, index, queries, gold, encoded_in)]
    for precision in PRECISIONS:
        folder = scratch / precision
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begin = time.perf_counter()
        reduced = converted(index, folder, precision)
        rows.append(measured(f"exact, {precision}", index, reduced, queries, gold, time.perf_counter() - begin))
    shutil.rmtree(index.folder / "backends", ignore_errors=True)  # what an earlier run built
    for name, (kind, options) in BACKENDS.items():
        begin = time.perf_counter()
        backend = get_backend(kind, index, **options)
        rows.append(measured(name, index, backend, queries, gold, time.perf_counter() - begin))
        if rows[-1]["recall@10"] < 1 and backend.exact:
            raise SystemExit(f"{name} calls itself exact and is not")
    return rows


def encode_rows(model, processor, kb: KnowledgeBase, queries: Encodings, scratch: Path, count: int) -> list[dict]:
    """How long the towers take in full and in half precision, and what the latter changes."""
    part = KnowledgeBase(kb.dataset.select(range(count)), text_field=kb.text_field)
    indexes, rows = {}, []
    for dtype in ("float32", "bfloat16"):
        folder = scratch / f"encoded-{dtype}"
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.perf_counter()
        indexes[dtype] = EntityIndex.build(model, processor, part, folder, encode_dtype=dtype, thumbnail_size=0)
        took = time.perf_counter() - begin
        recall = measure_recall(indexes["float32"], indexes[dtype], queries, KS)
        rows.append(
            {
                "encode_dtype": dtype,
                "entities": count,
                "seconds": round(took, 1),
                "entities_per_second": round(count / took, 1),
                **{f"recall@{k}": recall[f"recall@{k}"] for k in KS},
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


# ---- All ----


def run(options: argparse.Namespace, scratch: Path) -> dict:
    """Encodes, checks and measures."""
    model, processor = load_checkpoint(options.model)
    data = load_data(options.raw_dir, options.layout)
    kb, mentions = data.entities, data.mentions["test"]
    there = (scratch / "float32").exists()  # from a run before, of which it says nothing how long it took
    begin = time.perf_counter()
    index = EntityIndex.build(model, processor, kb, scratch / "float32", encode_dtype="float32", thumbnail_size=0)
    encoded_in = None if there else time.perf_counter() - begin
    queries, _ = encode_all(model, MentionInputs(mentions, processor), 128)
    gold = index.rows(mentions["entity_id"][:])
    check_exact(index, queries)
    rows = search_rows(index, queries, gold, scratch, encoded_in)
    encoding = encode_rows(model, processor, kb, queries, scratch, options.encode_entities)
    packages = ("hf-mel", "torch", "transformers", "numpy", "faiss-cpu", "qdrant-client")
    return {
        "command": "python benchmarks/index_backends.py",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": SEED,
        "environment": vars(Environment.collect(packages=packages, repository=ROOT)),
        "dataset": f"WikiMEL ({options.layout}), test",
        "entities": len(kb),
        "mentions": len(mentions),
        "kb_fingerprint": kb.fingerprint,
        "model_fingerprint": index.manifest.model["fingerprint"],
        "dim": index.manifest.dim,
        "k_of_speed": K,
        "exact_equals_brute_force": True,
        "search": rows,
        "encoding": encoding,
    }


def tables(result: dict) -> dict[str, str]:
    """What the page shows of the JSON, by marker."""
    search = [
        "| index | recall@1 | recall@10 | recall@100 | H@1 | bytes an entity | built in | mentions a second, all at once | one by one |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["search"]:
        size = row["bytes_per_entity"]
        cells = [row["name"], *(f"{100 * row[f'recall@{k}']:.2f}" for k in KS), f"{100 * row['hits@1']:.2f}"]
        built = row["build_seconds"]
        cells += ["-" if size is None else f"{size:,.0f}", "-" if built is None else f"{built:,.1f} s"]
        cells += [f"{row['queries_per_second_batch']:,}", f"{row['queries_per_second_single']:,}"]
        search.append(f"| {' | '.join(cells)} |")
    encoding = ["| towers in | entities a second | recall@1 | recall@10 | recall@100 |", "|---|---:|---:|---:|---:|"]
    for row in result["encoding"]:
        shares = (f"{100 * row[f'recall@{k}']:.2f}" for k in KS)
        encoding.append(f"| {row['encode_dtype']} | {row['entities_per_second']:,} | {' | '.join(shares)} |")
    environment = result["environment"]
    made = (
        f"`{result['command']}`; commit {environment['git_commit']}, {environment['machine']}, "
        f"{environment['torch_threads']} thread{'s' if environment['torch_threads'] > 1 else ''}, {result['date']}."
    )
    about = (
        f"{result['dataset']}: {result['mentions']:,} mentions, {result['entities']:,} entities, vectors of {result['dim']} "
        "numbers. Recall in percent of the best of exact search in float32, which was checked against brute force; H@1 with "
        f"the gold entity. What faiss proposes is scored by the stored vectors, as in every search of an index. Speed: the "
        f"best {result['k_of_speed']}. Built in: for the first row the encoding, for the other rows what comes after it. "
        f"Bytes: of the vectors, or of faiss' file beside them. {made}"
    )
    entities = result["encoding"][0]["entities"] if result["encoding"] else 0
    return {
        "index-backends": "\n".join([*search, "", about]),
        "index-encoding": "\n".join(
            [*encoding, "", f"The first {entities:,} entities; recall against float32, as above. {made}"]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the checkpoint")
    parser.add_argument("--raw_dir", help="the folder with the released files")
    parser.add_argument("--layout", default="ghmfc")
    parser.add_argument("--folder", type=Path, help="scratch space, kept; by default a temporary folder")
    parser.add_argument("--encode_entities", type=int, default=2048, help="how many to time the towers on")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    parser.add_argument("--report", action="store_true", help="only write the tables, from the JSON that is there")
    options = parser.parse_args()
    if not options.report:
        if options.model is None or options.raw_dir is None:
            parser.error("--model and --raw_dir are needed, unless with --report")
        torch.manual_seed(SEED)
        with tempfile.TemporaryDirectory() as temporary:
            result = run(options, options.folder or Path(temporary))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.out}")
    if options.out.resolve() == OUTPUT:
        for marker, text in tables(json.loads(OUTPUT.read_text(encoding="utf-8"))).items():
            render_into(PAGE, marker, text)


if __name__ == "__main__":
    main()
