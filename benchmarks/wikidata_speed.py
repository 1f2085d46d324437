"""
Peak memory and CPU time of `hf-mel data wikidata`, on generated dumps, extrapolated to all of Wikidata.

    python benchmarks/wikidata_speed.py [--entities 100000 1000000] [--num_workers 1 2] [--suffix .json.gz]

The generated items have labels and descriptions in 12 languages, 4 of them aliases, 11 statements with a reference each and 10
sitelinks. They are smaller than those of Wikidata, whose dump has about 13 kB an entity, so the extrapolation is made twice: by
the number of entities and by the bytes of JSON. Each measurement runs in a process of its own. The peak of the largest process is
exact. That of all processes together is sampled ten times a second, and counts memory that they share once. The libraries
alone take `memory_at_start`. The numbers go to docs/results/wikidata_speed.json and docs/data.md.
"""

import argparse
import gzip
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path


ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "results" / "wikidata_speed.json"
PAGE = ROOT / "docs" / "data.md"
WIKIDATA_ENTITIES = 115_000_000
WIKIDATA_BYTES = 1_500_000_000_000  # of uncompressed JSON
LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "ru", "ja", "zh", "ar", "sv", "pl")
PROPERTIES = ("P106", "P19", "P27", "P69", "P102", "P166", "P800", "P108", "P1412")
OPTIONS = {"languages": ("de", "en"), "properties": ("P106", "P19", "P569"), "types": ("Q5",)}
HUMANS = 2  # every second entity passes the filter of types


def entity(number: int, entities: int) -> str:
    """A line of the dump."""
    found = {
        "type": "item",
        "id": f"Q{number}",
        "labels": {code: {"language": code, "value": f"entity {number} {code}"} for code in LANGUAGES},
        "descriptions": {
            code: {"language": code, "value": f"number {number} of a generated dump, {code}"} for code in LANGUAGES
        },
        "aliases": {code: [{"language": code, "value": f"e{number} {code}"}] for code in LANGUAGES[:4]},
        "claims": {"P31": [statement(number, "P31", reference("Q5" if number % HUMANS else "Q515"))]},
        "sitelinks": {
            f"{code}wiki": {"site": f"{code}wiki", "title": f"Entity {number}", "badges": []}
            for code in LANGUAGES[:10]
        },
        "lastrevid": number,
        "modified": "2026-01-01T00:00:00Z",
    }
    for place, name in enumerate(PROPERTIES, start=1):  # values all over the dump
        found["claims"][name] = [statement(number, name, reference(f"Q{1 + number * 7919 * place % entities}"))]
    born = {
        "time": f"+{1000 + number % 1000}-01-01T00:00:00Z", "timezone": 0, "before": 0, "after": 0, "precision": 11,
        "calendarmodel": "http://www.wikidata.org/entity/Q1985727",
    }  # fmt: skip
    found["claims"]["P569"] = [statement(number, "P569", {"value": born, "type": "time"})]
    return json.dumps(found, separators=(",", ":"))


def statement(number: int, name: str, value: dict) -> dict:
    snak = {"snaktype": "value", "property": name, "hash": f"{number:040x}", "datavalue": value, "datatype": "any"}
    source = {"hash": f"{number:040x}", "snaks": {"P143": [snak]}, "snaks-order": ["P143"]}
    return {
        "mainsnak": snak, "type": "statement", "id": f"Q{number}${number:032x}", "rank": "normal", "references": [source],
    }  # fmt: skip


def reference(qid: str) -> dict:
    value = {"entity-type": "item", "numeric-id": int(qid[1:]), "id": qid}
    return {"value": value, "type": "wikibase-entityid"}


def write_dump(path: Path, entities: int) -> int:
    """Writes a dump; the bytes of JSON in it."""
    opened = gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else open(path, "wb")  # noqa: SIM115
    size = 0
    with opened as file:
        file.write(b"[\n")
        for number in range(1, entities + 1):
            size += file.write(f"{entity(number, entities)},\n".encode())
        file.write(b"]\n")
    return size


def measure(path: str, num_workers: int) -> None:
    """Prints the seconds of a run and the memory of its largest process."""
    from hf_mel.data.wikidata.build import build_from_wikidata

    at_start, imported = own_peak(), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    begin = time.perf_counter()
    report = build_from_wikidata(path, Path(path).with_name("kb"), num_workers=num_workers, overwrite=True, **OPTIONS)
    seconds = time.perf_counter() - begin
    peak = max(own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    main, workers = (sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    run = {"num_workers": num_workers, "seconds": round(seconds, 2), "kept": report["entities"]}
    run |= {"cpu_seconds": round(main + workers - imported, 2), "main_cpu_seconds": round(main - imported, 2)}
    print(json.dumps(run | {"memory_at_start": at_start, "peak_memory": peak}))


def own_peak() -> int:
    """The most memory of this process since it began. `ru_maxrss` counts that of its parent too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def in_a_process(path: Path, num_workers: int) -> dict:
    """[`measure`] in a fresh process, and the most memory that this process and its workers had together."""
    code = "import sys, wikidata_speed; wikidata_speed.measure(sys.argv[1], int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(path), str(num_workers)]
    peak = 0
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True) as running:
        while running.poll() is None:
            peak = max(peak, memory_of_all(running.pid))
            time.sleep(0.1)
        printed = running.stdout.read()
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return json.loads(printed) | {"peak_memory_of_all": peak}


def memory_of_all(process: int) -> int:
    """Bytes that a process and those below it have now: what is private to each, and once what the largest shares."""
    found = list(_memory(process))
    return sum(private for private, _ in found) + max((shared for _, shared in found), default=0)


def _memory(process: int) -> Iterator[tuple[int, int]]:
    """Private and shared bytes of a process and of those below it. One that ended has none."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    except (FileNotFoundError, ProcessLookupError):
        return
    kilobytes = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
    private = kilobytes.get("Private_Clean", 0) + kilobytes.get("Private_Dirty", 0)
    yield private * 1024, (kilobytes.get("Rss", 0) - private) * 1024
    for child in children:
        yield from _memory(int(child))


def table(record: dict) -> str:
    """The record as Markdown."""
    lines = [
        "| entities | `--num_workers` | peak memory of the largest process | of all processes | CPU seconds, of them in the main process | "
        "entities a CPU second | 115 million entities | 1.5 TB of JSON | seconds |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in record["runs"]:
        entities, size, busy = run["entities"], run["json_bytes"], run["cpu_seconds"]
        lines.append(
            f"| {entities:,} | {run['num_workers']} | {run['peak_memory'] / 1e6:,.0f} MB | {run['peak_memory_of_all'] / 1e6:,.0f} MB | "
            f"{busy:.1f}, {run['main_cpu_seconds']:.1f} | {entities / busy:,.0f} | "
            f"{WIKIDATA_ENTITIES / entities * busy / 3600:,.1f} CPU hours | {WIKIDATA_BYTES / size * busy / 3600:,.1f} CPU hours | "
            f"{run['seconds']:.0f} |"
        )
    environment, last = record["environment"], record["runs"][-1]
    lines += [
        "",
        f"Generated entities in a `{record['suffix']}`, {last['json_bytes'] / last['entities'] / 1e3:.1f} kB of JSON each; every "
        f"second one is kept. The libraries alone take {last['memory_at_start'] / 1e6:,.0f} MB. CPU hours for all of Wikidata are "
        "extrapolated; several processes share them. Seconds include waiting for other programs on the machine, CPU seconds do not. "
        f"`{record['command']}`; commit {environment['git_commit']}, {environment['machine']}, {record['date']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    from hf_mel.evaluation import Environment, render_into  # not in the processes that are measured

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--num_workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--suffix", default=".json.gz", choices=[".json", ".json.gz"])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    runs = []
    for entities in options.entities:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"dump{options.suffix}")
            size = write_dump(path, entities)
            for number in options.num_workers:
                runs.append({"entities": entities, "json_bytes": size} | in_a_process(path, number))
    given = {"entities": options.entities, "num_workers": options.num_workers}
    words = [f"--{name} {' '.join(map(str, values))}" for name, values in given.items()]
    record = {
        "command": f"python benchmarks/wikidata_speed.py {' '.join(words)}",
        "suffix": options.suffix,
        "date": date.today().isoformat(),
        "environment": asdict(Environment.collect(repository=ROOT)),
        "runs": runs,
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))
    if options.output == OUTPUT:
        render_into(PAGE, "wikidata-speed", table(record))


if __name__ == "__main__":
    main()
