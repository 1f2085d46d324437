"""The dataset card of EmojiMEL with what this build counted."""

from collections import Counter
from pathlib import Path

from pictures import SIZE

from hf_mel.data import SPLITS


TEMPLATE = Path(__file__).with_name("card_template.md")
KINDS = ("text", "image", "both")
QUALITIES = ("good", "medium", "low_quality", "low_value", "low_relevance", "missing")


def render_card(mentions: dict[str, list[dict]], entities: list[dict]) -> str:
    values = {
        "entities": f"{len(entities):,}",
        "size": SIZE,
        "written": sum(row["source"] == "written" for row in mentions["test"]),
        "statistics": _statistics(mentions),
    }
    card = TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        card = card.replace(f"{{{name}}}", str(value))
    return card


def _statistics(mentions: dict[str, list[dict]]) -> str:
    known = {row["entity_id"] for row in mentions["train"]}
    rows = {"mentions": {split: len(mentions[split]) for split in SPLITS}}
    rows["distinct entities"] = {split: len({row["entity_id"] for row in mentions[split]}) for split in SPLITS}
    rows["mentions of entities of train"] = {
        split: sum(row["entity_id"] in known for row in mentions[split]) for split in SPLITS
    }
    rows["written by hand"] = {split: sum(row["source"] == "written" for row in mentions[split]) for split in SPLITS}
    for column, names in (("kind", KINDS), ("image_quality", QUALITIES)):
        counts = {split: Counter(row[column] for row in mentions[split]) for split in SPLITS}
        for name in names:
            rows[f"{column} `{name}`"] = {split: counts[split][name] for split in SPLITS}
    for vendor in ("noto", "openmoji"):
        rows[f"picture by {vendor}"] = {
            split: sum(row["glyphs"][:1] != [] and row["glyphs"][0].startswith(vendor) for row in mentions[split])
            for split in SPLITS
        }
    lines = [f"| | {' | '.join(SPLITS)} |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {' | '.join(f'{counts[split]:,}' for split in SPLITS)} |" for name, counts in rows.items()]
    return "\n".join(lines)
