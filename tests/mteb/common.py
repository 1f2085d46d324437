"""A built data set with NIL mentions, missing pictures, equal entities and aliases, and what mteb tells a model of a task."""

import shutil
from pathlib import Path
from types import SimpleNamespace

from datasets import load_dataset

from hf_mel.data import RawBenchmark
from hf_mel.data.building import build_dataset
from tests.data.building.common import picture


LICENSED = "---\nlicense: cc-by-4.0\nlanguage: en\n"

ENTITIES = [
    {"id": "jug", "name": "jug", "description": "a vessel of stoneware", "aliases": ["pitcher", 'a "mug"']},
    {"id": "clock", "name": "lantern clock", "description": "with a single hand"},
    {"id": "twin-a", "name": "lamp", "description": "gives light"},
    {"id": "twin-b", "name": "lamp", "description": "gives light"},
    {"id": "bare", "name": "bowl"},
]
LONG = "A bowl of soup. " + "They ate and drank. " * 20 + "Then another bowl came in."  # the second is meant
MENTIONS = {
    "train": [("t1", "jug", "The jug is full.", "jug"), ("t2", "vase", "A vase fell.", None)],
    "test": [
        ("m1", "pitcher", "She filled the pitcher.", "jug"),
        ("m2", "clock", "It struck twelve.", "clock"),  # not in its sentence
        ("m3", "lamp", "The lamp went out.", "twin-b"),
        ("m4", "vase", "A vase stood there.", None),
        ("m5", "bowl", LONG, "bare"),
    ],
}


def build(folder: Path, pictures: bool = True, mentions: dict | None = None, front: str = LICENSED) -> Path:
    """Builds the data set; `m1`, `m5`, `jug` and `clock` have pictures."""
    with_picture = {
        name: picture(folder / "raw" / f"{name}.png", n) for n, name in enumerate(("m1", "m5", "jug", "clock"))
    }

    def row(**values) -> dict:
        image = with_picture.get(values["id"]) if pictures else None
        at = values.get("text", "").rfind(values.get("mention", "?"))
        place = {"start": at, "end": at + len(values["mention"])} if at >= 0 else {}
        return values | place | ({"image": image} if image else {})

    names = ("id", "mention", "text", "entity_id")
    splits = {
        split: [row(**dict(zip(names, values, strict=True))) for values in rows]
        for split, rows in (MENTIONS if mentions is None else mentions).items()
    }
    out = folder / "small"
    build_dataset(RawBenchmark(splits, lambda: iter([row(**each) for each in ENTITIES])), out, name="small")
    shutil.rmtree(folder / "raw")
    card = (out / "README.md").read_text(encoding="utf-8")
    (out / "README.md").write_text(card.replace("---\n", front, 1), encoding="utf-8")
    return out


def task_of(category: str) -> SimpleNamespace:
    """Metadata of a task, as far as a model reads it."""
    kinds = {"t": "text", "i": "image"}
    sides = dict(zip(("query", "document"), category.split("2"), strict=True))
    return SimpleNamespace(name="Small", get_modalities=lambda side: [kinds[letter] for letter in sides[side]])


def tables(folder: Path, split: str = "test") -> dict:
    """The three configs, as mteb loads them: corpus, queries, and the relevant documents of each query."""
    qrels = load_dataset(str(folder), "qrels", split=split)
    gold = {row["query-id"]: {row["corpus-id"]} for row in qrels}
    corpus, queries = (
        load_dataset(str(folder), "corpus", split="corpus"),
        load_dataset(str(folder), "queries", split=split),
    )
    return {"corpus": corpus, "queries": queries, "gold": gold}
