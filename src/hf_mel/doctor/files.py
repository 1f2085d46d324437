"""A look at files before they are read: a cache may hold what they were before they broke."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.problems import Problems


def check_parquet_files(folder: str | os.PathLike) -> None:
    """Refuses a folder with Parquet files that are cut off or no Parquet; only the ends of the files are read.

    Raises:
        `ValueError`: lists all of them.
    """
    problems = Problems(str(folder), "Fetch these files again, or build the folder again.")
    for file in sorted(Path(folder).rglob("*.parquet")):
        try:
            pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            problems.add(str(file.relative_to(folder)), f"is not whole Parquet ({str(error).rstrip('. ')})")
    problems.raise_if_any()
