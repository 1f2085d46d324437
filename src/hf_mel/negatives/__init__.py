"""Negatives: candidate pools, neighbour lists, and one file for each strategy."""

import difflib

from .attribute import Attribute
from .attribute_index import attribute_neighbours
from .base import NegativeStrategy, Selection, SelectionContext, mix_uniform
from .cache import Cache
from .in_batch import InBatch
from .lexical import Lexical
from .lexical_index import LexicalIndex, lexical_neighbours
from .policy_gradient import PolicyGradient
from .pools import CandidatePool, PoolBuilder, row_uniforms
from .random import Random
from .semi_hard import SemiHard
from .topk import TopK


STRATEGIES = {
    strategy.name: strategy
    for strategy in (InBatch, Random, Lexical, Attribute, TopK, SemiHard, Cache, PolicyGradient)
}


def get_strategy(name: str, **options) -> NegativeStrategy:
    """
    The negative strategy of that name.

    Args:
        name (`str`):
            One of `"in_batch"`, `"random"`, `"lexical"`, `"attribute"`, `"topk"`, `"semi_hard"`, `"cache"`, `"pg"`.
        **options:
            Arguments of the strategy's class.

    Example:

    ```python
    >>> from hf_mel import get_strategy

    >>> get_strategy("topk", num_negatives=4, scores="fresh").name
    'topk'
    ```
    """
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1, cutoff=0)[0]
        raise ValueError(f"unknown negative strategy {name!r}, did you mean {near!r}? One of {', '.join(STRATEGIES)}.")
    return STRATEGIES[name](**options)


__all__ = [
    "STRATEGIES",
    "CandidatePool",
    "LexicalIndex",
    "NegativeStrategy",
    "PoolBuilder",
    "Selection",
    "SelectionContext",
    "attribute_neighbours",
    "get_strategy",
    "lexical_neighbours",
    "mix_uniform",
    "row_uniforms",
]
