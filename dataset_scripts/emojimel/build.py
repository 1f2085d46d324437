"""Builds EmojiMEL from its pinned inputs: `python dataset_scripts/emojimel/build.py --sources DIR`.

Run by hand; the Parquet files it writes are part of the package. It needs `requirements.txt` beside `hf_mel`, and the
network where the inputs are not in the folder of sources yet.
"""

import argparse
import shutil
from pathlib import Path

from card import DATASET, HERE, write_card
from draws import Draw
from knowledge_base import Emoji, choose_entities, set_mention_words
from mentions import Mention, MentionWriter
from pictures import encode, entity_picture, mention_picture
from sources import Art, fetch, read_cldr, read_emojibase, read_nouns
from tables import write_dataset

from hf_mel.data import SPLITS


def main() -> None:
    parser = argparse.ArgumentParser(description="Build EmojiMEL.")
    parser.add_argument("--sources", type=Path, required=True, help="folder of the downloaded inputs; filled if empty")
    parser.add_argument(
        "--out", type=Path, default=DATASET, help="folder of the dataset (default: inside the package)"
    )
    arguments = parser.parse_args()
    paths = fetch(arguments.sources)
    entities = choose_entities(read_emojibase(paths["emojibase"]), read_cldr(paths["cldr"]))
    set_mention_words(entities, read_nouns(paths["wordnet"]))
    art = Art(paths)
    entities = [entity for entity in entities if art("twemoji", entity.hexcode) is not None]
    mentions = MentionWriter(entities, art).write(HERE / "written.jsonl")
    files = write_dataset(mention_rows(mentions, art), entity_rows(entities, art), arguments.out)
    write_card(arguments.out)
    shutil.copyfile(HERE / "NOTICES.md", arguments.out / "NOTICES.md")
    for path in files:
        print(f"{path.stat().st_size:>9,} bytes  {path}")


def entity_rows(entities: list[Emoji], art: Art) -> list[dict]:
    return [
        {
            "id": entity.hexcode,
            "name": entity.name,
            "aliases": [entity.character],
            "description": entity.description,
            "types": [entity.group],
            "image": {"bytes": encode(entity_picture(art("twemoji", entity.hexcode))), "path": None},
            "image_status": "ok",
            "source_row": row,
        }
        for row, entity in enumerate(entities)
    ]


def mention_rows(mentions: list[Mention], art: Art) -> dict[str, list[dict]]:
    """The rows of each split, in an order that says nothing about them."""
    rows = {}
    for split in SPLITS:
        of_split = sorted((m for m in mentions if m.split == split), key=lambda m: Draw(m.sentence, "order").uniform())
        rows[split] = [
            {"id": f"{split}-{number:05d}", **_mention_row(m, art)} for number, m in enumerate(of_split, start=1)
        ]
    return rows


def _mention_row(mention: Mention, art: Art) -> dict:
    glyphs = [art(*glyph) for glyph in mention.glyphs]
    picture = mention_picture(
        Draw(*mention.key, "picture"), mention.quality, glyphs[0] if glyphs else None, glyphs[1:]
    )
    return {
        "mention": mention.mention,
        "text": mention.sentence,
        "start": mention.start,
        "end": mention.end,
        "image": None if picture is None else {"bytes": encode(picture), "path": None},
        "image_status": "none" if picture is None else "ok",
        "entity_id": mention.entity.hexcode,
        "entity_name": mention.entity.name,
        "kind": mention.kind,
        "image_quality": mention.quality,
        "source": mention.source,
        "glyphs": [f"{vendor}/{hexcode}" for vendor, hexcode in mention.glyphs],
    }


if __name__ == "__main__":
    main()
