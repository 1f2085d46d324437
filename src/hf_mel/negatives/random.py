"""`random`: uniform over the knowledge base."""

from .base import NegativeStrategy


class Random(NegativeStrategy):
    """A uniform choice from uniform pools."""

    name = "random"
    pool_shares = {"uniform": 1.0}
