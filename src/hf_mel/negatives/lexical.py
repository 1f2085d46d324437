"""`lexical`: uniform over the entities whose names resemble the mention."""

from .base import NegativeStrategy


class Lexical(NegativeStrategy):
    """A uniform choice from pools of lexical neighbours (see [`lexical_neighbours`])."""

    name = "lexical"
    pool_shares = {"lexical": 1.0}
