"""Small benchmarks with one fault each."""

from datasets import DatasetDict

from hf_mel.data import ENTITY_FEATURES, MENTION_FEATURES, KnowledgeBase, MELData
from hf_mel.data.schema import dataset_of_columns
from hf_mel.doctor import diagnose


ENTITIES = [
    {"id": "Q1", "name": "Ada Lovelace", "attributes": "Occupation: mathematician."},
    {"id": "Q2", "name": "Linda Lovelace", "attributes": "Occupation: actor."},
    {"id": "Q3", "name": "Robin Hood", "attributes": "Occupation: outlaw."},
]


def mention(number, **changes):
    """A faultless mention of Ada in a sentence of its own."""
    sentence = f"Ada at desk {number}"
    row = {"id": f"m{number}", "mention": "Ada", "text": sentence, "start": 0, "end": 3, "entity_id": "Q1"}
    return {"entity_name": "Ada Lovelace", "image": None, "image_status": "none"} | row | changes


def table(rows, features):
    columns = {name: [row.get(name) for row in rows] for name in features}
    for name in ("aliases", "types"):
        if name in columns:
            columns[name] = [value or [] for value in columns[name]]
    return dataset_of_columns(columns, features)


def benchmark(entities=ENTITIES, report=None, **splits):
    """`MELData` of the rows given by split; the rest of each row is faultless."""
    splits = splits or {"train": [mention(1)], "validation": [mention(2)], "test": [mention(3)]}
    tables = {split: table(rows, MENTION_FEATURES) for split, rows in splits.items()}
    rows = [{"image_status": "none", "source_row": row, **entity} for row, entity in enumerate(entities)]
    return MELData(DatasetDict(tables), KnowledgeBase(table(rows, ENTITY_FEATURES)), report or {})


def found(kind, *args, **kwargs):
    """One finding of a benchmark made of the arguments, or `None`."""
    return diagnose(benchmark(*args, **kwargs)).finding(kind)
