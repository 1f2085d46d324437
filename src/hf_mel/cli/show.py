"""How results look in a terminal."""

from ..evaluation import EvaluationResult


def metrics_line(result: EvaluationResult) -> str:
    """One line with the metrics, one with the protocol."""
    names = ("hits@1", "hits@3", "hits@5", "hits@10", "mrr")
    shown = "  ".join(f"{name} {100 * result.metrics[name]:.1f}" for name in names)
    return f"{result.dataset}   {shown}\n  {result.protocol.describe()}"
