"""`hf-mel data wikidata SOURCE`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data.problems import counted
from ..data.wikidata.options import WikidataOptions, check_endpoint
from .options import parse


@dataclass
class WikidataCommandOptions:
    """Options of `hf-mel data wikidata`."""

    out: str = field(metadata={"help": "The new folder, for `KnowledgeBase.load` and `load_dataset`."})
    languages: str = field(
        default="en", metadata={"help": "Languages of names, such as de,en: the first that exists, then mul."}
    )
    properties: str = field(
        default="", metadata={"help": "Properties that become attributes, such as description,P106,P19."}
    )
    types: str = field(default="", metadata={"help": "Keep direct instances (P31) of these only, such as Q5,Q515."})
    min_sitelinks: int = field(default=0, metadata={"help": "Keep entities with at least so many sitelinks."})
    endpoint: str | None = field(
        default=None,
        metadata={
            "help": "URL of the API that the QIDs are fetched from, such as https://www.wikidata.org/w/api.php."
        },
    )
    num_workers: int = field(default=1, metadata={"help": "Processes that parse JSON. The result is the same."})
    overwrite: bool = field(default=False, metadata={"help": "Replace what an earlier run left."})


def run(argv: list[str]) -> None:
    """Reads entities of Wikidata, writes a folder and prints what was counted."""
    about = "Turn a dump of Wikidata, or a list of its QIDs, into a knowledge base."
    source_help = (
        "A .json dump or .jsonl, also .gz or .bz2; JSON of Special:EntityData; - for standard input; a list of QIDs."
    )
    options, source = parse("data wikidata", about, WikidataCommandOptions, argv, ("source", source_help))
    lists = {name: _words(getattr(options, name)) for name in ("languages", "properties", "types")}
    WikidataOptions(**lists, min_sitelinks=options.min_sitelinks)  # raises before anything is imported
    if options.endpoint is not None:
        check_endpoint(options.endpoint)
    from ..data.wikidata.build import build_from_wikidata

    report = build_from_wikidata(
        source,
        options.out,
        **lists,
        min_sitelinks=options.min_sitelinks,
        endpoint=options.endpoint,
        num_workers=options.num_workers,
        overwrite=options.overwrite,
    )
    for line in _summary(report, Path(options.out)):
        print(line)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _summary(report: dict, out: Path) -> list[str]:
    """Entities, what was left out and why, parts of the entities, and files."""
    left_out = {kind: entry["count"] for kind, entry in report["left_out"].items()}
    bad = report["bad_lines"]
    lines = [
        f"read      {counted(report['entities_read'], 'entity', 'entities')} in {counted(report['lines'], 'line')}",
        f"kept      {report['entities']:,}   names: {_counts(report['languages'])}   with {_counts(report['with'])}",
        f"left out  {sum(left_out.values()):,}   {_counts(left_out)}",
    ]
    if bad["count"]:
        lines.append(f"bad lines {bad['count']:,}   first: {bad['first'][0]}")
    size = sum(file["bytes"] for file in report["files"]) / 1e6
    lines.append(f"{out}: {counted(len(report['files']), 'Parquet file')}, {size:,.1f} MB")
    lines.append(f"{out / 'wikidata_report.json'}: all counts, and the first records of each kind")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items()) or "nothing"
