"""Index manifest: the file that makes a folder an index."""

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...data.problems import listed


FORMAT_VERSION = 2
MANIFEST_FILE = "manifest.json"
SHARD_FOLDER = "shards"
REMOVED_FOLDER = "removed"


@dataclass(frozen=True)
class Shard:
    """
    Rows that were written together and never change: `shards/NAME.safetensors` and `shards/NAME.parquet`.

    Args:
        name (`str`): Its number, with six digits.
        rows (`int`): How many entities it holds.
        vector_bytes (`int`), table_bytes (`int`): Sizes of its two files.
        vector_sha256 (`str`), table_sha256 (`str`): Their digests.
        images (`dict[str, int]`): Entities by the state of their picture.
    """

    name: str
    rows: int
    vector_bytes: int
    table_bytes: int
    vector_sha256: str
    table_sha256: str
    images: dict[str, int]

    @property
    def vectors(self) -> str:
        """Path of the tensors in the folder of the index."""
        return f"{SHARD_FOLDER}/{self.name}.safetensors"

    @property
    def table(self) -> str:
        """Path of the columns in the folder of the index."""
        return f"{SHARD_FOLDER}/{self.name}.parquet"

    @property
    def files(self) -> dict[str, tuple[int, str]]:
        """Size and digest of each file."""
        return {
            self.vectors: (self.vector_bytes, self.vector_sha256),
            self.table: (self.table_bytes, self.table_sha256),
        }


@dataclass(frozen=True)
class Manifest:
    """
    Content of an [`EntityIndex`]. An index is changed by replacing this file: until then the files of the change belong to
    nothing, and after that the old ones do.

    Args:
        precision (`str`): How vectors are stored: `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`.
        encode_dtype (`str`): In what the towers computed: `"float32"` or `"bfloat16"`.
        modalities (`bool`): Whether encodings of text alone and image alone are stored.
        thumbnail_size (`int`): Longest side of the stored pictures; 0: there are none.
        batch_size (`int`), shard_rows (`int`): How the entities were dealt out.
        model (`dict`): Of the model: `type`, `vector_name`, `proposal_name`, `fingerprint`, and what a difference is named
            by.
        processor (`dict`): The same of the processor.
        model_source (`str`, *optional*): Where the checkpoint was: a name on the Hub, or a folder, seen from that of the
            index.
        kb_fingerprint (`str`): Of the knowledge base that the index was built from.
        text_field (`str`): Which text describes an entity: `"attributes"` or `"description"`.
        tensors (`dict[str, list[int]]`): The shape of a row of each tensor, by its flat name: that of a unit is
            `unit.part`, and those of single modalities begin with `alone.`.
        shards (`list[Shard]`): The stored rows.
        removed_file (`str`, *optional*): Which rows were removed.
        num_removed (`int`): How many.
        images (`dict[str, int]`): Entities by the state of their picture, without removed ones.
        next_shard (`int`): A number that no shard has had.
        generation (`int`): Grows with every change.
        recall (`dict`, *optional*): What `precision` costs, measured when the index was built.
        proposals (`dict`, *optional*): What a search in two stages finds, of a model whose score is no dot product; measured
            when the index was built.
        job (`str`): Fingerprint of the build.
        format_version (`int`): Of this format.
    """

    precision: str
    encode_dtype: str
    modalities: bool
    thumbnail_size: int
    batch_size: int
    shard_rows: int
    model: dict[str, Any]
    processor: dict[str, Any]
    model_source: str | None
    kb_fingerprint: str
    text_field: str
    tensors: dict[str, list[int]]
    shards: list[Shard] = field(default_factory=list)
    removed_file: str | None = None
    num_removed: int = 0
    images: dict[str, int] = field(default_factory=dict)
    next_shard: int = 0
    generation: int = 1
    recall: dict[str, Any] | None = None
    proposals: dict[str, Any] | None = None
    job: str = ""
    format_version: int = FORMAT_VERSION

    # ---- Counts ----

    @property
    def num_rows(self) -> int:
        """Stored rows, also of removed entities."""
        return sum(shard.rows for shard in self.shards)

    @property
    def num_entities(self) -> int:
        """Entities that were not removed."""
        return self.num_rows - self.num_removed

    @property
    def vector_bytes(self) -> int:
        """Size of all files of vectors."""
        return sum(shard.vector_bytes for shard in self.shards)

    @property
    def table_bytes(self) -> int:
        """Size of all files of names, texts and pictures."""
        return sum(shard.table_bytes for shard in self.shards)

    @property
    def vector_name(self) -> str | None:
        """The tensor whose dot product is the score; `None`: the model scores in another way."""
        return self.model["vector_name"]

    @property
    def proposal_name(self) -> str | None:
        """The tensor whose dot product is the score or near it, by which searches propose rows; `None`: there is none."""
        return self.model["proposal_name"]

    @property
    def dim(self) -> int | None:
        """Length of that vector."""
        return None if self.proposal_name is None else self.tensors[self.proposal_name][-1]

    # ---- Reading and writing ----

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dictionary, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        """The inverse of `to_dict`."""
        return cls(**{**values, "shards": [Shard(**shard) for shard in values["shards"]]})

    def save(self, folder: Path) -> None:
        """Makes this the manifest of a folder, in one step."""
        for name in (SHARD_FOLDER, REMOVED_FOLDER):
            sync_folder(folder / name)  # what it names has to be there before it is
        write_bytes(folder / MANIFEST_FILE, (json.dumps(self.to_dict(), indent=2) + "\n").encode())
        sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """
    The manifest of an index.

    Raises:
        `FileNotFoundError`: there is no such folder. `ValueError`: it is no index, its manifest is damaged, or was written
        in another format.
    """
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no index {folder}: build one with `hf-mel index build`")
    if not path.is_file():
        raise ValueError(
            f"{folder} is no index of entities, or one whose build did not end: it has no {MANIFEST_FILE}"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no manifest of an index: build the index again") from error
    if version != FORMAT_VERSION:
        advice = "build the index again with `hf-mel index build`"
        raise ValueError(
            f"{folder} is an index in format {version}, and this version of hf_mel reads format {FORMAT_VERSION}: "
            f"{advice if version == 1 else f'update hf_mel, or {advice}'}"
        )
    try:
        return Manifest.from_dict(values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): build the index again") from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises a `ValueError` that names every file which is missing or has another size."""
    wrong = []
    for shard in manifest.shards:
        for file, (size, _) in shard.files.items():
            path = folder / file
            if not path.is_file():
                wrong.append(f"{path} is missing")
            elif path.stat().st_size != size:
                wrong.append(f"{path} has {path.stat().st_size:,} bytes and should have {size:,}")
    if manifest.removed_file is not None and not (folder / manifest.removed_file).is_file():
        wrong.append(f"{folder / manifest.removed_file} is missing")
    if wrong:
        raise ValueError(f"the index is damaged: {listed(wrong)}. Copy the folder again, or build the index again.")


def changed_files(folder: Path, manifest: Manifest, among: Collection[str] | None = None) -> list[str]:
    """Files of vectors and columns that are not those which were written; reads all of them, or those `among` these."""
    expected = {file: digest for shard in manifest.shards for file, (_, digest) in shard.files.items()}
    asked = [file for file in expected if among is None or file in among]
    return [file for file in asked if _digest(folder / file) != expected[file]]


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes, sync: bool = True) -> None:
    """
    Writes a file so that under its name there is never a part of it. With `sync` that holds even if the machine goes
    down, once the folder is synced too.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder as durable as the files, where the system can."""
    if os.name == "nt" or not folder.is_dir():
        return  # Windows has no such call
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
