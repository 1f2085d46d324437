"""Results as Parquet."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ....data.tables import chunks
from .rdf import RdfNames


_ROWS = 2_000

CANDIDATE = pa.struct(
    {
        "entity_id": pa.string(),
        "name": pa.string(),
        "text": pa.string(),
        "score": pa.float64(),
        "probability": pa.float64(),
        "text_score": pa.float64(),
        "image_score": pa.float64(),
        "image_weight": pa.float64(),
        "retrieval_score": pa.float64(),
        "name_score": pa.float64(),
        "lexical_score": pa.float64(),
        "matched_alias": pa.string(),
        "types": pa.list_(pa.string()),
        "p_value": pa.float64(),
    }
)
SCHEMA = pa.schema(
    {
        "mention": pa.string(),
        "text": pa.string(),
        "start": pa.int64(),
        "end": pa.int64(),
        "id": pa.string(),
        "entity_id": pa.string(),
        "name": pa.string(),
        "is_nil": pa.bool_(),
        "probability": pa.float64(),
        "nil_probability": pa.float64(),
        "margin": pa.float64(),
        "has_image": pa.bool_(),
        "image_weight": pa.float64(),
        "candidates": pa.list_(CANDIDATE),
        "calibration": pa.string(),
        "nil_p_value": pa.float64(),
        "unlisted_p_value": pa.float64(),
        "alpha": pa.float64(),
        "prediction_set": pa.list_(pa.string()),
    }
)
"""The fields of `LinkedMention` and `LinkedEntity`, and `prediction_set`, whatever the results are: files of several runs fit together."""


def write_parquet(results: Iterable[dict], path: Path, names: RdfNames | None = None) -> None:
    """One row a mention, its candidates as a list within it."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for rows in chunks(results, _ROWS):
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
