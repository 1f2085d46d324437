"""Negatives: candidate pools, strategies, and guards against false negatives."""

from ..models.registry import Registry
from .attributes import AttributeBatches, attribute_neighbours
from .candidates import Candidates, Selection, mix_uniform, row_uniforms
from .guards import OwnerGuard, below_share_of_gold
from .pools import PoolBuilder
from .strategies import (
    Attribute,
    Cache,
    InBatch,
    Lexical,
    NegativeStrategy,
    PolicyGradient,
    Random,
    SemiHard,
    TopK,
)


_OWN = (InBatch, Random, Lexical, Attribute, TopK, SemiHard, Cache, PolicyGradient)
STRATEGIES = Registry("negatives", {strategy.name: strategy for strategy in _OWN})


def register_strategy(name: str, strategy: type[NegativeStrategy]) -> None:
    """
    Make a strategy of one's own known by name, for recipes and the command line.

    Example:

    ```python
    >>> from hf_mel import NegativeStrategy, get_strategy, register_strategy

    >>> class Uniform(NegativeStrategy):
    ...     pool_shares = {"uniform": 1.0}

    >>> register_strategy("my_uniform", Uniform)
    >>> type(get_strategy("my_uniform", num_negatives=2)).__name__
    'Uniform'
    ```
    """
    STRATEGIES.register(name, strategy)


def get_strategy(strategy: str | type[NegativeStrategy] | NegativeStrategy, **options) -> NegativeStrategy:
    """
    A negative strategy.

    Args:
        strategy (`str`, `type` or [`NegativeStrategy`]):
            A registered name, such as `"topk"`; a class; or an instance, of which a copy is returned.
        **options:
            Arguments of the strategy's class.

    Raises:
        `TypeError`: the class takes no such argument.
        `ValueError`: an unknown name, or options for an instance.

    Example:

    ```python
    >>> from hf_mel import get_strategy

    >>> get_strategy("topk", num_negatives=4, scores="fresh").name
    'topk'
    ```
    """
    return STRATEGIES.build(strategy, options)


__all__ = [
    "STRATEGIES",
    "AttributeBatches",
    "Candidates",
    "NegativeStrategy",
    "OwnerGuard",
    "PoolBuilder",
    "Selection",
    "attribute_neighbours",
    "below_share_of_gold",
    "get_strategy",
    "mix_uniform",
    "register_strategy",
    "row_uniforms",
]
