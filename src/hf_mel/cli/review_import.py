"""`hf-mel review import REVIEW`"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from ..data.problems import SHOWN, counted
from .options import parse
from .reading import KB_HELP, EntityTableOptions
from .review_export import LINKS_HELP


MENTIONS_FILE = "mentions.csv"
REPORT_FILE = "review_report.json"


@dataclass(kw_only=True)
class ReviewImportOptions(EntityTableOptions):
    """Options of `hf-mel review import`."""

    links: str = field(metadata={"help": LINKS_HELP})
    kb: str = field(metadata={"help": f"The entities: {KB_HELP}"})
    out: str = field(metadata={"help": f"New folder for {MENTIONS_FILE} and {REPORT_FILE}."})
    reviewed: int | None = field(
        default=None,
        metadata={
            "help": "Only so many lines from the top were looked at. By default all: an empty cell confirms a link."
        },
    )
    nil: list[str] = field(
        default_factory=lambda: ["NIL"], metadata={"help": "Words for a mention without an entity."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace what an earlier import left in OUT."})


ABOUT = (
    "Check what people said about links, and write labelled mentions and a report of the agreement. REVIEW is the table of "
    "`hf-mel review export`, or what Label Studio exports as JSON. Exit status 0: all lines could be used; 1: some could "
    "not; 2: the command cannot be run."
)


def run(argv: list[str]) -> int:
    """Writes the labelled mentions, and prints the report and what is wrong."""
    positional = ("review", "The corrected table, or the .json that Label Studio exported.")
    options, review = parse("review import", ABOUT, ReviewImportOptions, argv, positional)
    reading = _check_usage(options, review)
    from ..data import open_knowledge_base
    from ..linking.review import (
        ReviewReport,
        check_corrections,
        read_annotations,
        read_links,
        read_table,
        report_lines,
        write_mentions,
    )

    links = read_links(options.links)
    kb = open_knowledge_base(options.kb, **reading)
    corrections = list(read_annotations(review) if Path(review).suffix.lower() == ".json" else read_table(review))
    if not corrections:
        raise ValueError(f"{review} holds no link that somebody looked at: it has no rows, or nothing is filled in")
    if options.reviewed is not None and options.reviewed > len(corrections):
        raise ValueError(
            f"--reviewed {options.reviewed}: {review} has only {counted(len(corrections), 'reviewed link')}"
        )
    links_name = f"--links {options.links}"
    labelled, problems = check_corrections(
        corrections[: options.reviewed], links, kb, links_name=links_name, nil_values=options.nil
    )
    report = ReviewReport.of(labelled, len(links), problems)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_mentions(labelled, out / MENTIONS_FILE, kb)
    values = dataclasses.asdict(report) | {"agreement": report.agreement}
    (out / REPORT_FILE).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for line in report_lines(report):
        print(line)
    if problems:
        print(f"{review}: {counted(len(problems), 'line')} left out")
        for problem in problems[:SHOWN]:
            print(f"  {problem}")
        if len(problems) > SHOWN:
            print(f"  ... and {len(problems) - SHOWN:,} more, in {out / REPORT_FILE}")
    print(
        f"{out / MENTIONS_FILE}: {counted(report.reviewed, 'labelled mention')}, for `hf-mel data import` and `hf-mel calibrate`"
    )
    return int(bool(problems))


def _check_usage(options: ReviewImportOptions, review: str) -> dict:
    """Checks the options, and returns those for reading the entities."""
    reading = options.reading()
    if options.reviewed is not None and options.reviewed < 1:
        raise ValueError(f"--reviewed {options.reviewed}: it must be at least 1")
    for name, path in (("review", review), ("--links", options.links)):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{name}: there is no file {path}")
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out {out} is a file: name a folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / REPORT_FILE).is_file():
            raise FileExistsError(f"--out {out} holds something else: name a new folder")
        if not options.overwrite:
            raise FileExistsError(f"--out {out} holds an earlier import: --overwrite replaces it")
    return reading
