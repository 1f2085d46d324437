"""One table of labelled mentions as training, validation and test split."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..layouts.base import RawBenchmark, deal_out
from ..problems import listed
from ..schema import SPLITS
from ..tables import NoPicture
from .shares import check_shares


logger = logging.getLogger(__name__)

_LARGE = 0.5


def split_mentions(raw: RawBenchmark, shares: Mapping[str, float], seed: int = 0) -> RawBenchmark:
    """Divides mentions without splits into training, validation and test split, by caption.

    Mentions that share their text or their picture are in one split, so that nothing that is trained on comes up again in
    the test. The split of a caption depends on the seed and on the texts alone: the order of the rows does not matter.

    Args:
        raw ([`RawBenchmark`]): what [`~hf_mel.data.own.importing.read_own_data`] returns for one table of mentions.
        shares (`Mapping[str, float]`): share of the captions by split, such as `{"train": 0.8, "test": 0.2}`. They add up
            to 1. A split has at least one caption; one whose share is 0 is left out.
        seed (`int`, *optional*, defaults to 0): another seed gives another division.

    Returns:
        [`RawBenchmark`]: the same mentions, each in one split, in their order.

    Raises:
        `ValueError`: shares that cannot be used, or fewer captions than splits.

    Example:

    ```python
    >>> from hf_mel.data import RawBenchmark
    >>> from hf_mel.data.own.splitting import split_mentions

    >>> rows = [{"id": str(i), "mention": "Ada", "text": f"Ada at desk {i // 2}.", "image": None} for i in range(20)]
    >>> divided = split_mentions(RawBenchmark({"all": rows}, lambda: iter(())), {"train": 0.8, "test": 0.2})
    >>> {split: len(list(rows)) for split, rows in divided.mentions.items()}
    {'train': 16, 'test': 4}
    ```
    """
    check_shares(shares)
    (rows,) = raw.mentions.values()
    groups = _groups(rows)
    given = {split: share for split, share in shares.items() if share > 0}
    number = len(set(groups))
    if number < len(given):
        raise ValueError(
            f"{number} captions cannot be divided into {listed(given)}: mentions with the same text or picture stay together"
        )
    counts = _counts(given, number)
    dealt = deal_out(sorted(set(groups)), {split: count / number for split, count in counts.items()}, seed, str)
    split_of = {group: split for split, members in dealt.items() for group in members}
    _warn_of_large(Counter(groups))
    found = tuple(split_of[group] for group in groups)
    rule = f"{'/'.join(f'{shares.get(split, 0):g}' for split in SPLITS)} of the captions, by a hash of their texts"
    return replace(
        raw,
        mentions={split: _Part(rows, found, split) for split in given},
        counts={**raw.counts, "split_rule": rule, "seed": seed, "captions": number},
    )


def _counts(shares: Mapping[str, float], number: int) -> dict[str, int]:
    """Captions of each split: at least one; what rounding leaves is for the training."""
    first, *others = shares
    counts = {split: max(round(shares[split] * number), 1) for split in others}
    while others and sum(counts.values()) >= number:
        counts[max(counts, key=counts.__getitem__)] -= 1
    return {first: number - sum(counts.values()), **counts}


def _groups(rows: Iterable[dict]) -> list[str]:
    """For each row the first text, by alphabet, of those that are tied to it by an equal text or picture."""
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        above.setdefault(node, node)
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    texts = []
    for row in rows:
        texts.append(("text", row["text"]))
        picture = _picture_key(row.get("image"))
        root(texts[-1])
        if picture is not None:
            above[root(texts[-1])] = root(("picture", picture))
    first: dict[tuple[str, str], str] = {}
    for kind, text in set(texts):
        own = root((kind, text))
        first[own] = min(first.get(own, text), text)
    return [first[root(text)] for text in texts]


def _picture_key(image) -> str | None:
    """The picture as a text: its place, or a digest of its bytes."""
    if isinstance(image, NoPicture):
        image = image.file
    elif isinstance(image, dict):
        image = image.get("bytes") if image.get("bytes") is not None else image.get("path")
    if isinstance(image, (bytes, bytearray, memoryview)):
        return hashlib.sha256(image).hexdigest()
    return None if image is None else str(image)


def _warn_of_large(sizes: Counter) -> None:
    text, size = sizes.most_common(1)[0]
    total = sum(sizes.values())
    if len(sizes) > 1 and size > _LARGE * total:
        logger.warning(
            "%d of %d mentions are in one split, because they share texts or pictures; one of their texts is %.60r. Do "
            "many captions name one picture, such as that of a missing one?",
            size, total, text,
        )  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """The rows of one split, read from the whole table each time."""

    rows: Iterable[dict]
    split_of: tuple[str, ...]
    split: str

    def __iter__(self) -> Iterator[dict]:
        for row, split in zip(self.rows, self.split_of, strict=True):
            if split == self.split:
                yield row
