"""Exact search for a few queries: which entities can be among the best, told from scores that may be a rounding off."""

from collections.abc import Iterable

import torch
from torch import Tensor


# Below half of a float32's last digit: what a rounding adds, relative to the product.
_UNIT = 2.0**-24


def shortlist(
    queries: Tensor, blocks: Iterable[tuple[int, Tensor]], k: int, allowed: Tensor, largest_norm: float
) -> Tensor:
    """
    Rows which hold the best `k` of every query.

    The product that gives a pair the same last bit wherever it is computed works on whole tiles of queries, which is wasted
    on a few. A plain product reads the vectors once and does nothing else, but its sums are rounded in another order. Two
    such sums of `d` products differ by no more than `2 d u |q| |e|`, with `u` half the last digit; so an entity whose
    plain score is lower than the k-th best by more than twice that is not among the best, and all others are kept.

    Args:
        queries (`torch.Tensor` of shape `(num_queries, dim)` and type `float32`):
            The queries.
        blocks (`Iterable[tuple[int, torch.Tensor]]`):
            The first row of a block, and its vectors.
        k (`int`):
            How many are wanted.
        allowed (`torch.BoolTensor` of shape `(num_rows,)`):
            Rows to choose from.
        largest_norm (`float`):
            No vector is longer.

    Returns:
        `torch.Tensor` of type `int64`: rows, ascending.
    """
    slack = 4 * queries.shape[1] * _UNIT * largest_norm * queries.norm(dim=1)
    bound = queries.new_full((len(queries),), -torch.inf)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for first, vectors in blocks:
        scores = queries @ vectors.T
        scores.masked_fill_(~allowed[first : first + len(vectors)], -torch.inf)
        if len(vectors) > k:
            bound = torch.maximum(bound, scores.topk(k, dim=1, sorted=False).values.amin(dim=1))
        query, column = (scores >= (bound - slack)[:, None]).nonzero(as_tuple=True)
        near = scores[query, column]
        known = near > -torch.inf
        found.append((query[known], column[known] + first, near[known]))
    query, rows, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = []
    for number in range(len(queries)):
        own, own_rows = scores[query == number], rows[query == number]
        if len(own) > k:
            own_rows = own_rows[own >= own.topk(k, sorted=False).values.amin() - slack[number]]
        kept.append(own_rows)
    return torch.cat(kept).unique()
