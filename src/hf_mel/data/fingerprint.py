"""A hash of what a table holds, equal between processes, machines and cache folders."""

import hashlib
import json
import os

from datasets import Dataset
from datasets import Image as ImageFeature

from .images import undecoded


_PICTURE_PART = 16_384
_ROWS = 1_000


def content_fingerprint(dataset: Dataset, **extra) -> str:
    """Hashes the values of a table: 64 hex digits.

    The text columns are hashed whole. A picture is hashed by its size in bytes and its first and last 16 KiB (all of
    it when it is smaller), whether it is embedded or a file; where the file lies and what it is called does not
    matter. A picture file that is missing counts as such. So the value survives `KnowledgeBase.save`, and 100,000
    pictures cost seconds instead of reading gigabytes; what it cannot see is an edit in the middle of a large file
    that keeps its size.

    Args:
        dataset (`datasets.Dataset`): the table; the order of its rows counts, that of its columns does not.
        extra: further values that belong to the identity, for example how the text is chosen.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_mel.data import content_fingerprint

    >>> first = content_fingerprint(Dataset.from_dict({"id": ["Q1"], "name": ["Ada"]}))
    >>> first == content_fingerprint(Dataset.from_dict({"name": ["Ada"], "id": ["Q1"]}))
    True
    >>> first == content_fingerprint(Dataset.from_dict({"id": ["Q1"], "name": ["Eva"]}))
    False
    ```
    """
    names = sorted(dataset.column_names)
    pictures = {name for name in names if isinstance(dataset.features[name], ImageFeature)}
    digest = hashlib.sha256(json.dumps([names, sorted(extra.items())]).encode())
    for batch in undecoded(dataset).with_format("arrow").iter(_ROWS):
        for name in names:
            values = batch.column(name).to_pylist()
            if name in pictures:
                values = [picture_digest(value) for value in values]
            digest.update(json.dumps(values, default=str).encode())
    return digest.hexdigest()


def picture_digest(picture: dict | None) -> str | None:
    if picture is None or (picture["bytes"] is None and picture["path"] is None):
        return None
    if picture["bytes"] is not None:
        size = len(picture["bytes"])
        head, tail = picture["bytes"][:_PICTURE_PART], picture["bytes"][max(_PICTURE_PART, size - _PICTURE_PART) :]
    elif not os.path.isfile(picture["path"]):
        return "missing"  # a folder or a named pipe is no file either
    else:
        with open(picture["path"], "rb") as file:
            head = file.read(_PICTURE_PART)
            size = file.seek(0, 2)
            file.seek(max(_PICTURE_PART, size - _PICTURE_PART))
            tail = file.read(_PICTURE_PART)
    return hashlib.sha256(b"%d:" % size + head + tail).hexdigest()
