"""Ranks, metrics, intervals and results, on arrays and tensors. `evaluation.models` evaluates a model on a data set."""

from .blocks import dot_product
from .candidate_ranking import candidate_metrics, rank_among_candidates, rank_with_gold_added
from .conformal import conformal_p_values, lowest_alpha
from .environment import Environment
from .eval_results_json import RESULTS_FILE, load_results, save_result
from .evaluation_result import EvaluationResult, Protocol, load_ranks, save_ranks
from .groups import AMBIGUITY, Group, group_hits
from .intervals import Interval, PairedComparison, bootstrap_intervals, paired_comparison
from .markdown_tables import render_into, results_table
from .metrics import DIRECTIONS, higher_is_better, per_mention_values, ranking_metrics, split_metrics
from .probabilities import CRITERIA, ProbabilityModel, choose_threshold, fit_probabilities
from .ranking import rank_gold
from .reliability import (
    CoverageCurve,
    ReliabilityBins,
    calibration_error,
    coverage_curve,
    gold_columns,
    linking_measures,
    nil_metrics,
    reliability_bins,
)
from .retrieval import top_candidates, top_candidates_in_blocks
from .standard_scores import standard_scores


__all__ = [
    "AMBIGUITY",
    "CRITERIA",
    "CoverageCurve",
    "DIRECTIONS",
    "Environment",
    "EvaluationResult",
    "Group",
    "Interval",
    "MELRanking",
    "PairedComparison",
    "ProbabilityModel",
    "Protocol",
    "RESULTS_FILE",
    "ReliabilityBins",
    "bootstrap_intervals",
    "calibration_error",
    "candidate_metrics",
    "choose_threshold",
    "conformal_p_values",
    "coverage_curve",
    "dot_product",
    "fit_probabilities",
    "gold_columns",
    "group_hits",
    "higher_is_better",
    "linking_measures",
    "load_ranks",
    "load_results",
    "lowest_alpha",
    "nil_metrics",
    "paired_comparison",
    "per_mention_values",
    "rank_among_candidates",
    "rank_gold",
    "rank_with_gold_added",
    "ranking_metrics",
    "reliability_bins",
    "render_into",
    "results_table",
    "save_ranks",
    "save_result",
    "split_metrics",
    "standard_scores",
    "top_candidates",
    "top_candidates_in_blocks",
]


def __getattr__(name: str):
    # `evaluate` takes seconds to import and only the metric's shell needs it.
    if name == "MELRanking":
        from .mel_ranking import MELRanking

        return MELRanking
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
