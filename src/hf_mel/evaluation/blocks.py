"""Blocks of scores: the one way in which ranking and retrieval look at a knowledge base that is never scored whole."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor


Rows = Tensor | Mapping[str, Tensor]
"""Encoded mentions or entities: one tensor, or a dict of tensors, whose leading dimension is the row."""

MatchFunction = Callable[[Rows, Rows], Tensor]

# Kernels for the edge of a matrix sum in another order than those for its inside, so a product could depend in its
# last bit on where a row stands in its block. Whole tiles keep every row in the inside.
TILE = 64


def dot_product(mentions: Tensor, entities: Tensor) -> Tensor:
    """
    Scores of all pairs, `mentions @ entities.T`: the default `match` of the functions of this room.

    Both sides are padded to whole tiles before the product, so that on the usual kernels the score of a pair is the
    same to the last bit in whatever block it is computed, and copies of an entity score alike.

    Args:
        mentions (`torch.Tensor` of shape `(num_mentions, dim)`):
            Mention embeddings.
        entities (`torch.Tensor` of shape `(num_entities, dim)`):
            Entity embeddings.

    Returns:
        `torch.Tensor` of shape `(num_mentions, num_entities)`.

    Example:

    ```python
    >>> import torch
    >>> from hf_mel.evaluation import dot_product

    >>> dot_product(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    tensor([[0.5000, 0.0000]])
    ```
    """
    return (_whole_tiles(mentions) @ _whole_tiles(entities).T)[: len(mentions), : len(entities)]


def _whole_tiles(rows: Tensor) -> Tensor:
    missing = -len(rows) % TILE
    return torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows


def count_rows(rows: Rows, name: str) -> int:
    """The number of rows; a ValueError if there is no tensor, or tensors of a dict disagree."""
    if not isinstance(rows, Mapping):
        if not isinstance(rows, Tensor) or rows.ndim == 0:
            raise ValueError(f"{name} must be a tensor with a row for each of them, or a dict of such tensors")
        return len(rows)
    lengths = {key: len(value) for key, value in rows.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the tensors of {name} must all have the same number of rows, got {lengths}")
    return next(iter(lengths.values()))


def device_of(rows: Rows) -> torch.device:
    return (next(iter(rows.values())) if isinstance(rows, Mapping) else rows).device


def take_rows(rows: Rows, index: slice | Tensor, device: torch.device) -> Rows:
    """Some rows, on `device`; half-precision ones as float32, in which alone scores are compared."""
    if isinstance(rows, Mapping):
        return {key: take_rows(value, index, device) for key, value in rows.items()}
    taken = rows[index.to(rows.device) if isinstance(index, Tensor) else index].to(device)
    return taken.float() if taken.dtype in (torch.float16, torch.bfloat16) else taken


def slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def score_block(match: MatchFunction, mentions: Rows, entities: Rows, first_mention: int, where: str) -> Tensor:
    """
    `match` of two blocks, checked: the shape must be right and no score NaN.

    `where` says in an error which entities these are; `first_mention` is the position of the block's first mention.
    """
    # Under a caller's autocast the product would be made in half precision, which cannot tell neighbours apart.
    with torch.autocast(device_of(mentions).type, enabled=False):
        scores = match(mentions, entities)
    expected = (count_rows(mentions, "mentions"), count_rows(entities, "entities"))
    if tuple(scores.shape) != expected:
        raise ValueError(
            f"`match` must return a score for each pair, shape {expected}, but gave {tuple(scores.shape)}"
        )
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    # `amax` lets NaN through, and reads the block once without writing a mask of its size.
    if scores.numel() and torch.isnan(scores.amax()):
        row = int(torch.isnan(scores).any(dim=1).nonzero()[0])
        raise ValueError(
            f"mention {first_mention + row} has a NaN score against {where}: a NaN cannot be ranked. "
            "Look for NaN in the embeddings of this mention and of these entities."
        )
    return scores


def check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
