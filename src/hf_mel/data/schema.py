"""The one schema of all benchmarks: a table of mentions, a table of entities."""

from datasets import Dataset, Features, Image, List, Value


SPLITS = ("train", "validation", "test")

IMAGE_STATUS = ("ok", "none", "missing_file", "unreadable", "blank")
"""States of a record's picture. Only `ok` records have one.

`none`: the release names no picture. `missing_file`: it names one which is not there. `unreadable`: the file cannot be
decoded. `blank`: every pixel has the same colour, which is what some public loaders leave behind after an error.
"""

MENTION_FEATURES = Features(
    {
        "id": Value("string"),
        "mention": Value("string"),
        "text": Value("string"),
        "start": Value("int64"),
        "end": Value("int64"),
        "mention_type": Value("string"),
        "image": Image(),
        "image_status": Value("string"),
        "entity_id": Value("string"),
        "entity_name": Value("string"),
        "topic": Value("string"),
    }
)
"""One row a mention. `start` and `end` are character offsets into `text`, null where the mention is not found in it
literally; `entity_id` is null for NIL; `mention_type` and `topic` are null where the release has none."""

ENTITY_FEATURES = Features(
    {
        "id": Value("string"),
        "name": Value("string"),
        "aliases": List(Value("string")),
        "description": Value("string"),
        "attributes": Value("string"),
        "types": List(Value("string")),
        "image": Image(),
        "image_status": Value("string"),
        "source_row": Value("int64"),
    }
)
"""One row an entity. `id` is a Wikidata id or the title in a Wikipedia URL; `attributes` is text such as
`"Birth: 1900, Erie. Occupation: police officer, politician."`; `source_row` is the row in the released file."""


def dataset_of_columns(columns: dict[str, list], features: Features) -> Dataset:
    """A `Dataset` in memory from columns; a column that is not given is null (an empty list for lists).

    Args:
        columns (`dict[str, list]`): values by column; pictures are paths, `{"bytes", "path"}` dicts or `None`.
        features (`Features`): `MENTION_FEATURES` or `ENTITY_FEATURES`.
    """
    length = len(next(iter(columns.values()))) if columns else 0
    complete = {}
    for name, feature in features.items():
        values = columns.get(name)
        if values is None:
            # A list each: one shared object would let an edit of one row show up in all of them.
            values = [[] for _ in range(length)] if isinstance(feature, List) else [None] * length
        complete[name] = values
    return Dataset.from_dict(complete, features=features)
