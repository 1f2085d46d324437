"""Columns that an index stores with the vectors of each entity: names, texts, and a small picture."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from PIL import Image

from ...data import KnowledgeBase, open_image
from ...data.fingerprint import picture_digest
from ...data.images import undecoded
from ...data.thumbnails import small_jpeg
from .store import SCHEMA


# Few enough that they fit into memory together.
_PICTURES = 64
_TEXTS = ("id", "name", "aliases", "description", "attributes", "types")


class EntityColumns:
    """
    Entities of a knowledge base as columns of an index. Stands wherever [`EntityInputs`] takes a knowledge base, so that
    a picture is opened once, for the model and for its thumbnail.

    Args:
        knowledge_base ([`KnowledgeBase`]): The entities.
        thumbnail_size (`int`): Longest side of the small pictures; 0: none are made.
    """

    def __init__(self, knowledge_base: KnowledgeBase, thumbnail_size: int):
        self.knowledge_base = knowledge_base
        self.thumbnail_size = thumbnail_size
        records = undecoded(knowledge_base.dataset).with_format("arrow")
        self._texts = records.select_columns([*_TEXTS])
        self._pictures = records.select_columns(["id", "image", "image_status"])
        self._states = records.select_columns(["image_status"])
        self._records = records.select_columns([*_TEXTS, "image", "image_status"])
        self._seen: dict[int, tuple[bytes | None, str]] = {}

    def __len__(self) -> int:
        return len(self.knowledge_base)

    def names(self, rows: Sequence[int] | None = None) -> list[str]:
        """As those of the knowledge base."""
        return self.knowledge_base.names(rows)

    def texts(self, rows: Sequence[int] | None = None) -> list[str]:
        """As those of the knowledge base."""
        return self.knowledge_base.texts(rows)

    def images(self, rows: Sequence[int]) -> list[Image.Image | None]:
        """As those of the knowledge base; what is needed of them later is kept."""
        table = self._pictures[[int(row) for row in rows]]
        images = []
        for row, record in zip(rows, table.to_pylist(), strict=True):
            image, state = open_image(record["image"], record=record["id"])
            if state == "none" and record["image_status"] not in (None, "ok"):
                state = record["image_status"]  # known from reading the table: why there is none
            self._seen[int(row)] = (self._thumbnail(image), state)
            images.append(image)
        return images

    def table(self, rows: np.ndarray) -> pa.Table:
        """The columns of some rows. Their pictures are forgotten."""
        unseen = [int(row) for row in rows if int(row) not in self._seen]
        for begin in range(0, len(unseen), _PICTURES):
            self._look_at(unseen[begin : begin + _PICTURES])
        seen = [self._seen.pop(int(row)) for row in rows]
        texts = self._texts[[int(row) for row in rows]]
        columns = {name: texts.column(name).combine_chunks() for name in _TEXTS}
        columns["image_status"] = pa.array([state for _, state in seen], pa.string())
        columns["thumbnail"] = pa.array([thumbnail for thumbnail, _ in seen], pa.binary())
        columns["digest"] = pa.array(self.digests(rows), pa.string())
        arrays = [columns[field.name].cast(field.type) for field in SCHEMA]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)

    def _look_at(self, rows: list[int]) -> None:
        """Notes about pictures that the model did not see."""
        if self.thumbnail_size:
            self.images(rows)
            return
        states = self._states[rows].column("image_status").to_pylist()  # no one needs the pixels
        self._seen |= {row: (None, state or "none") for row, state in zip(rows, states, strict=True)}

    def digests(self, rows: np.ndarray) -> list[str]:
        """A digest of each record: equal where nothing about the entity changed, not even its picture."""
        found = []
        for begin in range(0, len(rows), 256):
            part = self._records[[int(row) for row in rows[begin : begin + 256]]]
            for record in part.to_pylist():
                record["image"] = picture_digest(record["image"])
                content = json.dumps(record, sort_keys=True).encode()
                found.append(hashlib.sha256(content).hexdigest()[:32])
        return found

    def _thumbnail(self, image: Image.Image | None) -> bytes | None:
        if image is None or not self.thumbnail_size:
            return None
        return small_jpeg(image, self.thumbnail_size)
