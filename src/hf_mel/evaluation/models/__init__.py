"""Evaluation of a model on a split: mentions with a gold entity, their ranks, and the result that is written."""

from .encode_and_rank import encode_sides, rank_mentions
from .evaluate import check_candidates, check_place, describe_ranks, evaluate_model, write_result
from .linkable import Linkable, linkable_mentions


__all__ = [
    "Linkable",
    "check_candidates",
    "check_place",
    "describe_ranks",
    "encode_sides",
    "evaluate_model",
    "linkable_mentions",
    "rank_mentions",
    "write_result",
]
