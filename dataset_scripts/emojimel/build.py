"""Builds EmojiMEL from its pinned inputs: `python dataset_scripts/emojimel/build.py --sources DIR`.

Run by hand; the Parquet files it writes are part of the package. It needs `requirements.txt` beside `hf_mel`, and the
network where the inputs are not in the folder of sources yet.
"""

import argparse
import shutil
from pathlib import Path

from card import DATASET, HERE, write_card
from draws import Draw
from mentions import Mention, add_pictures
from pictures import encode, entity_picture, mention_picture
from sources import Art, fetch
from tables import write_dataset
from templates import fill
from texts import Entity, read_all, read_entities

from hf_mel.data import SPLITS


def main() -> None:
    parser = argparse.ArgumentParser(description="Build EmojiMEL.")
    parser.add_argument("--sources", type=Path, required=True, help="folder of the downloaded inputs; filled if empty")
    parser.add_argument(
        "--out", type=Path, default=DATASET, help="folder of the dataset (default: inside the package)"
    )
    arguments = parser.parse_args()
    art = Art(fetch(arguments.sources))
    entities = read_entities()
    sentences = read_all(entities)
    known = {sentence.entity.id for sentence in sentences["train"] if sentence.entity is not None}
    taken = {sentence.text.lower() for split in SPLITS for sentence in sentences[split]}
    sentences["train"] += fill(entities, known, taken)
    mentions = {split: add_pictures(split, sentences[split], entities, art) for split in SPLITS}
    rows = {split: mention_rows(mentions[split], art) for split in SPLITS}
    files = write_dataset(rows, entity_rows(list(entities.values()), art), arguments.out)
    write_card(arguments.out)
    shutil.copyfile(HERE / "NOTICES.md", arguments.out / "NOTICES.md")
    for path in files:
        print(f"{path.stat().st_size:>9,} bytes  {path}")


def entity_rows(entities: list[Entity], art: Art) -> list[dict]:
    return [
        {
            "id": entity.id,
            "name": entity.name,
            "aliases": list(entity.aliases),
            "description": entity.description,
            "types": [entity.type],
            "image": {"bytes": encode(entity_picture(art("twemoji", entity.hexcode))), "path": None},
            "image_status": "ok",
            "source_row": row,
        }
        for row, entity in enumerate(entities)
    ]


def mention_rows(mentions: list[Mention], art: Art) -> list[dict]:
    """The rows of a split, in an order that says nothing about them."""
    ordered = sorted(mentions, key=lambda mention: Draw(mention.sentence.text, "order").uniform())
    return [
        {"id": f"{mention.split}-{number:05d}", **_mention_row(mention, art)}
        for number, mention in enumerate(ordered, start=1)
    ]


def _mention_row(mention: Mention, art: Art) -> dict:
    glyphs = [art(*glyph) for glyph in mention.glyphs]
    picture = mention_picture(
        Draw(*mention.key, "picture"), mention.quality, glyphs[0] if glyphs else None, glyphs[1:]
    )
    sentence = mention.sentence
    return {
        "mention": sentence.mention,
        "text": sentence.text,
        "start": sentence.start,
        "end": sentence.start + len(sentence.mention),
        "image": None if picture is None else {"bytes": encode(picture), "path": None},
        "image_status": "none" if picture is None else "ok",
        "entity_id": sentence.entity.id if sentence.entity else None,
        "entity_name": sentence.entity.name if sentence.entity else None,
        "kind": sentence.kind,
        "image_quality": mention.quality,
        "source": sentence.source,
        "language": sentence.language,
        "glyphs": [f"{vendor}/{code}" for vendor, code in mention.glyphs],
    }


if __name__ == "__main__":
    main()
