"""Negatives: candidate pools, neighbour lists, strategies, and guards against false negatives."""

from ..models.registry import Registry
from .attribute_index import attribute_neighbours
from .guards import OwnerGuard, below_share_of_gold
from .lexical_index import LexicalIndex, lexical_neighbours
from .pools import PoolBuilder
from .strategies import Attribute, Cache, InBatch, Lexical, PolicyGradient, Random, SemiHard, TopK
from .strategy import Candidates, NegativeStrategy, Selection, mix_uniform, row_uniforms


STRATEGIES = Registry(
    "negatives",
    {
        strategy.name: strategy
        for strategy in (InBatch, Random, Lexical, Attribute, TopK, SemiHard, Cache, PolicyGradient)
    },
)


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
            A registered name, such as `"topk"`; a class; or an instance, which is returned as it is.
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
    found = STRATEGIES.find(strategy)
    if isinstance(found, NegativeStrategy):
        return found
    try:
        return found(**options)
    except TypeError as error:
        raise TypeError(f"`negatives_kwargs` of {strategy!r}: {error}") from error


__all__ = [
    "STRATEGIES",
    "Candidates",
    "LexicalIndex",
    "NegativeStrategy",
    "OwnerGuard",
    "PoolBuilder",
    "Selection",
    "attribute_neighbours",
    "below_share_of_gold",
    "get_strategy",
    "lexical_neighbours",
    "mix_uniform",
    "register_strategy",
    "row_uniforms",
]
