"""Writes the card of a benchmark beside its build script.

`python dataset_scripts/card.py wikimel --built DIR` takes the card of a build and says above it what was built and when.
Without `--built` the card shows the published numbers, and says that no build was at hand. EmojiMEL has its own script.
"""

import argparse
import datetime
import json
from pathlib import Path

from datasets import Features, Value

from hf_mel.data import BENCHMARKS
from hf_mel.data.building.card import card_without_build
from hf_mel.data.layouts.wikidiverse import CANDIDATES


HERE = Path(__file__).parent
NAMES = ("wikimel", "richpediamel", "wikidiverse", "merlin", "melart")
EXTRA_FEATURES = {
    "wikidiverse": CANDIDATES,
    "merlin": Features({"language": Value("string")}),
    "melart": Features({"sentence_type": Value("string")}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the card of a benchmark beside its build script.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--built", type=Path, help="folder that `hf-mel data build` wrote")
    parser.add_argument(
        "--date", default=datetime.date.today().isoformat(), help="when it was built; today by default"
    )
    arguments = parser.parse_args()
    card = card_of(arguments.name, arguments.built, arguments.date)
    (HERE / arguments.name / "README.md").write_text(card, encoding="utf-8")


def card_of(name: str, built: Path | None, date: str) -> str:
    benchmark = BENCHMARKS[name]
    if built is None:
        card = card_without_build(benchmark, EXTRA_FEATURES.get(name, Features()))
        note = (
            f"No build of the whole benchmark was at hand when this card was written ({date}), so its numbers are the "
            f"published ones. `python dataset_scripts/{name}/build.py --raw RAW --out DIR` builds it, and "
            f"`python dataset_scripts/card.py {name} --built DIR` writes this card again with what was counted."
        )
    else:
        card = (built / "README.md").read_text(encoding="utf-8")
        note = note_of(json.loads((built / "build_report.json").read_text(encoding="utf-8")), date)
    title = f"\n# {benchmark.title}\n"
    return card.replace(title, f"{title}\n> {note}\n", 1)


def note_of(report: dict, date: str) -> str:
    """What was built, in words."""
    splits = report["splits"].values()
    mentions = sum(counts["mentions"] for counts in splits)
    pictured = sum(counts["images"].get("ok", 0) for counts in splits)
    missing = sum(
        counts.get("missing_file", 0) for counts in (*(each["images"] for each in splits), report["entity_images"])
    )
    return (
        f"The numbers below were counted by a build of {date} from files in the layout `{report['origin']['layout']}`. Of its "
        f"{mentions:,} mentions {pictured:,} have a picture, of its {report['entities']:,} entities "
        f"{report['entity_images'].get('ok', 0):,}; {missing:,} rows name a picture that was not at hand."
    )


if __name__ == "__main__":
    main()
