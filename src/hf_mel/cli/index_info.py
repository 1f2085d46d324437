"""`hf-mel index info INDEX`"""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data.problems import counted
from .options import parse


if TYPE_CHECKING:
    from ..linking import EntityIndex


@dataclass
class InfoOptions:
    """Options of `hf-mel index info`."""

    json: bool = field(default=False, metadata={"help": "Print everything, as JSON."})
    verify: bool = field(default=False, metadata={"help": "Read all files and compare them with their digests."})


def run(argv: list[str]) -> int:
    """Prints what an index holds and what it was made with."""
    about = "Tell what an index holds and by which model it was made. Exit status 1: --verify found a damaged file."
    options, folder = parse("index info", about, InfoOptions, argv, ("index", "Folder or Hub id of an index."))
    from ..linking import EntityIndex

    index = EntityIndex.load(folder)
    damaged = index.verify() if options.verify else []
    if options.json:
        counts = {name: getattr(index.manifest, name) for name in ("num_entities", "num_rows", "dim")}
        sizes = {name: getattr(index.manifest, name) for name in ("vector_bytes", "table_bytes")}
        known = counts | sizes | ({"damaged_files": damaged} if options.verify else {})
        print(json.dumps(index.manifest.to_dict() | known, indent=2, ensure_ascii=False))
    else:
        for line in summary_lines(index):
            print(line)
        for file in damaged:
            print(f"damaged: {index.folder / file}")
        if options.verify and not damaged:
            print("all files are what was written")
    return int(bool(damaged))


def summary_lines(index: "EntityIndex") -> list[str]:
    """Description of an index, in lines of text."""
    manifest = index.manifest
    rows = max(manifest.num_rows, 1)
    removed = f", and rows of {manifest.num_removed:,} removed ones" if manifest.num_removed else ""
    tensors = ", ".join(f"{name}{_shape(shape)}" for name, shape in manifest.tensors.items())
    pictures = ", ".join(f"{number:,} {state}" for state, number in manifest.images.items()) or "none"
    lines = [
        f"{_place(index)}: {counted(len(index), 'entity', 'entities')}{removed}",
        f"  vectors    {manifest.vector_bytes / 1e6:,.1f} MB in {manifest.precision}, "
        f"{manifest.vector_bytes / rows:,.0f} bytes each: {tensors}",
        f"  names      {manifest.table_bytes / 1e6:,.1f} MB with texts and pictures",
        f"  pictures   {pictures}",
        f"  texts      {manifest.text_field}",
        f"  model      {manifest.model['type']} {manifest.model['fingerprint'][:16]}, towers in {manifest.encode_dtype}"
        + (f", from {index.model_source}" if index.model_source else ""),
        f"  changes    generation {manifest.generation}, {counted(len(manifest.shards), 'shard')}",
    ]
    if manifest.recall is not None:
        lines.append(f"  precision  {_recall(manifest.recall)} against float32, measured when it was built")
    if manifest.proposals is not None:
        number = manifest.proposals["num_proposals"]
        lines.append(
            f"  two_stage  {_recall(manifest.proposals)} of {number:,} proposals, against the exact search, measured with "
            f"{manifest.proposals['queries']} when it was built"
        )
    return lines


def _recall(measured: dict) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in measured.items() if name.startswith("recall@"))


def _place(index: "EntityIndex") -> str:
    return index.name if index.name == str(index.folder) else f"{index.name}, in {index.folder}"


def _shape(shape: list[int]) -> str:
    return f"[{', '.join(map(str, shape))}]" if shape else ""
