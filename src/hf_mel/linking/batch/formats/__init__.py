"""The forms in which results are written: one file a kind."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ....data.problems import listed, nearest
from .parquet import write_parquet
from .rdf import RdfNames, write_json_ld, write_n_triples
from .text import write_csv, write_json_lines, write_tsv


Writer = Callable[[Iterable[dict], Path, RdfNames | None], None]

WRITERS: dict[str, Writer] = {
    "jsonl": write_json_lines,
    "csv": write_csv,
    "tsv": write_tsv,
    "parquet": write_parquet,
    "nt": write_n_triples,
    "jsonld": write_json_ld,
}
"""By name, what writes results (as `LinkedMention.to_dict` has them) one after the other."""

RDF = ("nt", "jsonld")


def format_of(path: Path, name: str | None = None) -> str:
    """
    The form that is named, or else that which the suffix tells.

    Raises:
        `ValueError`: an unknown name or suffix.
    """
    if name is not None and name not in WRITERS:
        raise ValueError(f"unknown format {name!r}{nearest(name, WRITERS)} (there are {listed(WRITERS)})")
    suffix = path.suffix.lower().removeprefix(".")
    found = name or {"ndjson": "jsonl"}.get(suffix, suffix)
    if found not in WRITERS:
        raise ValueError(
            f"{path}: the suffix tells no format{nearest(suffix, WRITERS)}; use one of"
            f" {listed(f'.{known}' for known in WRITERS)}, or name the format"
        )
    return found
