"""The dataset card of EmojiMEL with what lies in its Parquet files: `python dataset_scripts/emojimel/card.py`."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from pictures import SIZE

from hf_mel.data import SPLITS
from hf_mel.data.shards import described, file_digest


HERE = Path(__file__).parent
DATASET = HERE.parents[1] / "src" / "hf_mel" / "data" / "emojimel" / "dataset"
KINDS = ("text", "image", "both")
QUALITIES = ("good", "medium", "two_entities", "low_quality", "low_value", "low_relevance", "missing")


def write_card(folder: Path) -> None:
    """Writes the card of a folder with the Parquet files; that of the package also stands beside this script."""
    card = render_card(folder)
    for place in [folder, HERE] if folder == DATASET else [folder]:
        (place / "README.md").write_text(card, encoding="utf-8")


def render_card(folder: Path) -> str:
    columns = ["entity_id", "kind", "image_quality", "source", "language", "glyphs"]
    mentions = {
        split: pq.read_table(_files(folder / "mentions", split), columns=columns).to_pylist() for split in SPLITS
    }
    entities = pq.read_table(_files(folder / "entities"), columns=["name", "aliases"]).to_pylist()
    names = Counter(name.lower() for row in entities for name in {row["name"], *row["aliases"]})
    values = {
        "entities": len(entities),
        "shared": sum(count > 1 for count in names.values()),
        "size": SIZE,
        "written": f"{sum(row['source'] == 'written' for split in SPLITS for row in mentions[split]):,}",
        "statistics": _statistics(mentions),
    }
    for config in ("mentions", "entities"):
        values[f"{config}_described"] = described(config, map(file_digest, _files(folder / config)))
    card = (HERE / "card_template.md").read_text(encoding="utf-8")
    for name, value in values.items():
        card = card.replace(f"{{{name}}}", str(value))
    return card


def _files(folder: Path, split: str = "") -> list[Path]:
    return sorted(folder.glob(f"{split}*.parquet"))


def _statistics(mentions: dict[str, list[dict]]) -> str:
    known = {row["entity_id"] for row in mentions["train"]} - {None}

    def counted(test) -> dict[str, int]:
        return {split: sum(map(test, mentions[split])) for split in SPLITS}

    rows = {"mentions": {split: len(mentions[split]) for split in SPLITS}}
    rows["NIL"] = counted(lambda row: row["entity_id"] is None)
    rows["distinct entities"] = {
        split: len({row["entity_id"] for row in mentions[split]} - {None}) for split in SPLITS
    }
    rows["mentions of entities of train"] = counted(lambda row: row["entity_id"] in known)
    rows["written"] = counted(lambda row: row["source"] == "written")
    rows["in another language"] = counted(lambda row: row["language"] != "en")
    for column, names in (("kind", KINDS), ("image_quality", QUALITIES)):
        counts = {split: Counter(row[column] for row in mentions[split]) for split in SPLITS}
        for name in names:
            rows[f"{column} `{name}`"] = {split: counts[split][name] for split in SPLITS}
    for vendor in ("noto", "fluent", "openmoji"):
        rows[f"picture by {vendor}"] = {
            split: sum(row["glyphs"][:1] != [] and row["glyphs"][0].startswith(vendor) for row in mentions[split])
            for split in SPLITS
        }
    lines = [f"| | {' | '.join(SPLITS)} |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {' | '.join(f'{counts[split]:,}' for split in SPLITS)} |" for name, counts in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    write_card(DATASET)
