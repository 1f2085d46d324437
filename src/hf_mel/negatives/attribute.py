"""`attribute`: uniform over the entities which share most attributes with the gold entity."""

from .base import NegativeStrategy


class Attribute(NegativeStrategy):
    """
    A uniform choice from pools of entities with a small Jaccard distance to the gold entity's attributes (JD-CCL,
    Nguyen et al. 2025; see [`attribute_neighbours`]).
    """

    name = "attribute"
    pool_shares = {"attribute": 1.0}
