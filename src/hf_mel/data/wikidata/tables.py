"""From entities with ids as values to tables with labels, and to Parquet."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from datasets import Features, List, Value

from ..schema import ENTITY_FEATURES
from ..shards import ShardWriter
from .entities import unpacked
from .findings import Findings
from .labels import label_key, read_labels
from .options import DESCRIPTION, WikidataOptions, is_pid, is_qid
from .values import as_text, picture_url, references


EXTRA_FEATURES = Features(
    {
        "id": Value("string"),
        "language": Value("string"),
        "types": List(Value("string")),
        "sitelinks": Value("int64"),
        "picture": Value("string"),
        "picture_url": Value("string"),
    }
)
"""Columns of the config `wikidata`, one row an entity, in the order of the entities: language of the name, QIDs of the types,
number of sitelinks, file name and URL of the picture."""

ROW_GROUP = 1_000


@dataclass
class Labelled:
    """Tables of a batch.

    Args:
        entities, extra (`pa.Table`): with the columns of `ENTITY_FEATURES` and `EXTRA_FEATURES`.
        counts (`dict[str, Counter]`): of `languages` of names, of `values_left_out`, and of entities `with` each part.
        findings ([`Findings`]): places where an id is written in place of a label (`labels_not_found`).
    """

    entities: pa.Table
    extra: pa.Table
    counts: dict[str, Counter]
    findings: Findings = field(default_factory=Findings)


def label_batch(labels: Path, blob: bytes, offset: int, dropped: set[int], options: WikidataOptions) -> Labelled:
    """Looks up labels of types, values and properties; the work of one process.

    Args:
        labels (`Path`): the closed file of a [`~hf_mel.data.wikidata.labels.LabelTable`].
        blob (`bytes`): the entities of a batch.
        offset (`int`): number of records before the batch.
        dropped (`set[int]`): records of the batch that are left out after all, because their id came before.
        options ([`WikidataOptions`]): the properties.
    """
    records = [record for record in unpacked(blob) if record["row"] not in dropped]
    wanted = [entity_id for entity_id in needed_ids(records, options) if is_qid(entity_id) or is_pid(entity_id)]
    by_key = read_labels(labels, map(label_key, wanted))
    known = {each: by_key[label_key(each)] for each in wanted if label_key(each) in by_key}
    findings = Findings()

    def label_of(entity_id: str) -> str:
        if entity_id not in known and entity_id != DESCRIPTION:
            findings.add("labels_not_found", entity_id)
        return known.get(entity_id, entity_id)

    columns = {name: [] for name in ENTITY_FEATURES}
    for record in records:
        types = dict.fromkeys([*record["types"], *map(label_of, record["types"])])
        columns["id"].append(record["id"])
        columns["name"].append(record["name"])
        columns["aliases"].append(record["aliases"])
        columns["description"].append(record["description"])
        columns["attributes"].append(_attributes(record["statements"], label_of))
        columns["types"].append(list(types))
        columns["image"].append(None)
        columns["image_status"].append("none" if record["picture"] is None else "missing_file")
        columns["source_row"].append(record["row"] + offset)
    entities = pa.Table.from_pydict(columns, schema=ENTITY_FEATURES.arrow_schema)
    return Labelled(entities, _extra(records), _counts(records, columns), findings)


def needed_ids(records: Iterable[dict], options: WikidataOptions) -> list[str]:
    """Ids whose labels the records need: types, values, units and properties, each once."""
    found = dict.fromkeys(each for record in records for each in record["types"])
    statements = [statement for record in records for statement in record["statements"]]
    found |= dict.fromkeys(property_id for property_id, _ in statements)
    found |= dict.fromkeys(references(value) for _, values in statements for value in values)
    return [entity_id for entity_id in found if entity_id is not None]


def _attributes(statements: list, label_of: Callable[[str], str]) -> str | None:
    """Text such as `"Occupation: painter, sculptor. Place of birth: Vinci."`; a key begins with a capital letter."""
    items = []
    for property_id, values in statements:
        key = label_of(property_id)
        texts = dict.fromkeys(as_text(value, label_of) for value in values)
        items.append(f"{key[0].upper()}{key[1:]}: {', '.join(texts)}.")
    return " ".join(items) or None


def _extra(records: list[dict]) -> pa.Table:
    columns = {name: [record[name] for record in records] for name in EXTRA_FEATURES if name != "picture_url"}
    columns["picture_url"] = [None if name is None else picture_url(name) for name in columns["picture"]]
    return pa.Table.from_pydict(columns, schema=EXTRA_FEATURES.arrow_schema)


def _counts(records: list[dict], columns: dict[str, list]) -> dict[str, Counter]:
    left_out: Counter = Counter()
    for record in records:
        left_out.update(record["left_out"])
    parts = {name: columns[name] for name in ("aliases", "description", "attributes", "types")}
    parts["picture"] = [record["picture"] for record in records]
    return {
        "languages": Counter(record["language"] for record in records),
        "values_left_out": left_out,
        "with": Counter({name: sum(1 for value in values if value) for name, values in parts.items()}),
    }


class TableWriter:
    """Parquet files of one table, in row groups of 1,000 rows however the rows arrive.

    Args:
        features (`Features`): the columns.
        folder (`Path`): where the files go.
        max_shard_bytes (`int`): when a file is full.
    """

    def __init__(self, features: Features, folder: Path, max_shard_bytes: int):
        self._writer = ShardWriter(
            features, lambda number: folder / f"{number:05d}.tmp", max_shard_bytes=max_shard_bytes,
            row_group_size=ROW_GROUP,
        )  # fmt: skip
        self._waiting: list[pa.Table] = []
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Adds rows."""
        self.rows += len(table)
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            *full, rest = self._cut()
            for part in full:
                self._writer.write(part)
            self._waiting = [rest]

    def finish(self) -> list[Path]:
        """Writes what is left and gives the files their names."""
        for part in self._cut() if self._waiting else ():
            if len(part):
                self._writer.write(part)
        paths = self._writer.finish()
        return [
            path.rename(path.with_name(f"train-{number:05d}-of-{len(paths):05d}.parquet"))
            for number, path in enumerate(paths)
        ]

    def abandon(self) -> None:
        """Closes a file that is not whole."""
        self._writer.abandon()

    def _cut(self) -> Iterator[pa.Table]:
        """Full row groups of the waiting rows, and a rest that may be empty. In one chunk, for pages end with chunks."""
        table = pa.concat_tables(self._waiting).combine_chunks()
        for start in range(0, len(table) + 1, ROW_GROUP):
            yield table.slice(start, ROW_GROUP)
