"""
How fast `hf-mel data build` is, and how much memory it takes, for knowledge bases of 10,000 and 100,000 entities.

    python benchmarks/build_scale.py [--entities 10000 100000] [--num_proc 1 2] [--folder SCRATCH]

Writes released files in the layout `mimic`, with a real JPEG for each entity, builds them in a process of its own for each
number of processes, and times the first record of a stream. All builds of one size must give the same bytes. The numbers
go to docs/results/build_scale.json.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from hf_mel.evaluation import render_into


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "build_scale.json"
PAGE = ROOT / "docs" / "data.md"
MENTIONS = 2_000
SIDE = 96


# ---- The released files ----


def write_raw(folder: Path, entities: int) -> Path:
    """A folder in the layout `mimic`: every entity has a picture, every mention that of its entity."""
    done = folder / "done"
    if done.exists():
        return folder
    images = folder / "kb_image"
    images.mkdir(parents=True, exist_ok=True)
    with open(folder / "kb_entity.json", "w", encoding="utf-8") as file:
        for number in range(entities):
            entity = {
                "qid": f"Q{number}", "id": number, "type": "entity", "entity_name": f"Entity%20{number}",
                "attr": f"Sex: female. Birth: {1900 + number % 100}, Town {number % 997}. Occupation: profession {number % 313}.",
                "instance": "human", "image_list": [f"Q{number}_0.jpg"], "desc": f"person number {number}",
            }  # fmt: skip
            file.write(("[" if number == 0 else ",\n") + json.dumps(entity))
            (images / f"Q{number}_0.jpg").write_bytes(photograph(number))
        file.write("]")
    (folder / "qid2id.json").write_text(json.dumps({f"Q{number}": number for number in range(entities)}))
    (folder / "mention_image").mkdir(exist_ok=True)
    for split, size in {"train": MENTIONS, "dev": 100, "test": 100}.items():
        records = [mention(folder, split, number, entities) for number in range(size)]
        (folder / f"WIKIMEL_{split}.json").write_text(json.dumps(records))
    done.touch()
    return folder


def mention(folder: Path, split: str, number: int, entities: int) -> dict:
    """A record, whose picture is a link to that of the entity."""
    entity = number * 7919 % entities
    picture = folder / "mention_image" / f"{split}{number}.jpg"
    picture.symlink_to(f"../kb_image/Q{entity}_0.jpg")
    return {
        "id": f"{split}{number}", "text": f"Entity {entity} was seen in {split}, number {number}.",
        "imgPath": picture.name, "mentions": f"Entity%20{entity}", "entities": f"Entity%20{entity}", "answer": f"Q{entity}",
    }  # fmt: skip


def photograph(number: int) -> bytes:
    """A JPEG of about 5 kB: a gradient with grain, as no codec makes it small."""
    from PIL import Image

    grain = hashlib.shake_128(str(number).encode()).digest(SIDE * SIDE // 4)
    coarse = Image.frombytes("L", (SIDE // 2, SIDE // 2), grain).resize((SIDE, SIDE))
    red = Image.linear_gradient("L").resize((SIDE, SIDE)).rotate(number % 360)
    blue = Image.new("L", (SIDE, SIDE), number % 251)
    buffer = io.BytesIO()
    Image.merge("RGB", (red, coarse, blue)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


# ---- What is measured, each in a process of its own ----


def measured_build(raw: str, out: str, num_proc: int) -> dict:
    """Builds, and tells seconds and memory. Imports are not counted, but take their part of the memory."""
    from hf_mel.data.building import build_benchmark

    before = peak_memory()
    begin = time.perf_counter()
    report = build_benchmark("wikimel", raw, out, "mimic", num_proc=num_proc, max_shard_bytes=100_000_000)
    seconds = time.perf_counter() - begin
    rows = report["entities"] + sum(split["mentions"] for split in report["splits"].values())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "entities": report["entities"],
        "rows": rows,
        "num_proc": num_proc,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "megabytes_written": round(sum(file["bytes"] for file in report["files"]) / 1e6, 1),
        "parquet_files": len(report["files"]),
        "pictures_ok": report["entity_images"].get("ok", 0),
        "peak_rss_before_mb": round(before / 1e6),
        "peak_rss_mb": round(peak_memory() / 1e6),
        "peak_rss_of_largest_child_mb": round(children / 1e6) if num_proc > 1 else None,
    }


def peak_memory() -> int:
    """Of this process since it began, in bytes. `ru_maxrss` would also count what forked it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status: this runs on Linux")


def measured_stream(path: str) -> dict:
    """Seconds until the first entity of a stream is there with its picture."""
    import torch  # noqa: F401 (`datasets` imports it for a stream; imports are not counted)
    from datasets import load_dataset

    begin = time.perf_counter()
    records = iter(load_dataset(path, "entities", split="train", streaming=True))
    record = next(records)
    seconds = time.perf_counter() - begin
    records.close()
    return {"seconds_to_first_record": round(seconds, 2), "size_of_its_picture": record["image"].size}


MEASURES = {"build": measured_build, "stream": measured_stream}


def in_a_process(measure: str, *arguments) -> dict:
    """Runs a measure by this script, and returns what it prints."""
    command = [sys.executable, __file__, "--measure", measure, json.dumps(arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def digest(folder: Path) -> str:
    """Of all files that a build wrote."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode())
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def run(sizes: list[int], processes: list[int], scratch: Path) -> dict:
    """All builds and streams."""
    from hf_mel.evaluation.environment import Environment

    builds, streams = [], []
    for entities in sizes:
        raw = write_raw(scratch / f"raw-{entities}", entities)
        digests = set()
        for num_proc in processes:
            out = scratch / f"out-{entities}-{num_proc}" / "wikimel"
            shutil.rmtree(out.parent, ignore_errors=True)
            builds.append(in_a_process("build", str(raw), str(out), num_proc))
            print(json.dumps(builds[-1]), flush=True)
            digests.add(digest(out))
        if len(digests) != 1:
            raise SystemExit(f"{entities} entities: the bytes depend on num_proc")
        streams.append({"entities": entities, **in_a_process("stream", str(out))})
        print(json.dumps(streams[-1]), flush=True)
    environment = Environment.collect(packages=("hf-mel", "datasets", "pyarrow", "pillow", "ijson"), repository=ROOT)
    return {
        "command": "python benchmarks/build_scale.py",
        "date": datetime.now(UTC).date().isoformat(),
        "environment": vars(environment),
        "picture": f"JPEG, {SIDE} x {SIDE}, about {len(photograph(1)) / 1000:.1f} kB",
        "builds": builds,
        "streams": streams,
    }


def table(result: dict) -> str:
    """What the page shows of the JSON."""
    lines = [
        "| entities | `--num_proc` | seconds | rows a second | memory above the empty process | first record of a stream |"
    ]
    lines.append("|---:|---:|---:|---:|---:|---:|")
    first = {stream["entities"]: stream["seconds_to_first_record"] for stream in result["streams"]}
    for build in result["builds"]:
        memory = build["peak_rss_mb"] - build["peak_rss_before_mb"]
        cells = [f"{build['entities']:,}", build["num_proc"], build["seconds"], f"{build['rows_per_second']:,}"]
        lines.append(f"| {' | '.join(map(str, cells))} | {memory} MB | {first[build['entities']]} s |")
    made = f"commit {result['environment']['git_commit']}, {result['environment']['machine']}, {result['date']}"
    return "\n".join([*lines, "", f"Pictures: {result['picture']}. `{result['command']}`; {made}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--num_proc", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--folder", type=Path, help="scratch space, kept; by default a temporary folder")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--report", action="store_true", help="only write the table, from the JSON that is there")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        name, arguments = options.measure
        print(json.dumps(MEASURES[name](*json.loads(arguments))), flush=True)
        os._exit(0)  # pyarrow's threads, which still read ahead, may abort an interpreter that ends in the usual way
    if not options.report:
        with tempfile.TemporaryDirectory() as temporary:
            result = run(options.entities, options.num_proc, options.folder or Path(temporary))
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.output}")
    if options.output == OUTPUT:
        render_into(PAGE, "build-scale", table(json.loads(OUTPUT.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
