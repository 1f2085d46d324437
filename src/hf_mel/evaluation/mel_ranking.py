"""The ranking metrics as an `evaluate` metric: used directly, or by `evaluate.load` with the path of this file."""

# `evaluate.load` reads this file's imports line by line: one a line, and by full name because it loads a copy.
import datasets
import evaluate
import numpy as np

from hf_mel.evaluation.metrics import ranking_metrics


_DESCRIPTION = """
Entity linking by ranked candidates: hits@k and mean reciprocal rank of the gold entity. A gold that is not among the
candidates counts as a miss and stays in the denominator. Mentions whose gold is NIL (an empty reference) are left out
and counted.
"""

_INPUTS = """
Args:
    predictions (`list[list[str]]`): Entity ids of each mention's candidates, best first.
    references (`list[str]`): Gold entity id of each mention; "" where the gold is NIL.
    ks (`list[int]`, *optional*, defaults to `[1, 3, 5, 10]`): The cut-offs.

Returns:
    `hits@k` for each k, `mrr`, `mr` where every gold was retrieved, `num_mentions` (ranked) and `num_nil`. Without a
    mention to rank there is no metric, and only the two counts are returned.

Example:

>>> from hf_mel.evaluation import MELRanking
>>> metric = MELRanking()
>>> metric.compute(predictions=[["Q5", "Q2"], ["Q7"], ["Q1"]], references=["Q2", "Q7", ""], ks=[1])
{'hits@1': 0.5, 'mrr': 0.75, 'mr': 1.5, 'num_mentions': 2, 'num_nil': 1}
"""


class MELRanking(evaluate.Metric):
    """
    Hits@k and mean reciprocal rank of ranked lists of entity ids.

    For ranks over a whole knowledge base, ties included, use [`rank_gold`] and [`ranking_metrics`]: a list has lost
    which of its candidates were tied.

    Example:

    ```python
    >>> from hf_mel.evaluation import MELRanking

    >>> metric = MELRanking()
    >>> metric.compute(predictions=[["Q5", "Q2"], ["Q7"], ["Q1"]], references=["Q2", "Q7", ""], ks=[1])
    {'hits@1': 0.5, 'mrr': 0.75, 'mr': 1.5, 'num_mentions': 2, 'num_nil': 1}
    ```
    """

    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.List(datasets.Value("string")), "references": datasets.Value("string")}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(features),
        )

    def _compute(self, predictions, references, ks=(1, 3, 5, 10)) -> dict[str, float | int]:
        pairs = [(ranked, gold) for ranked, gold in zip(predictions, references, strict=True) if gold]
        counts = {"num_nil": len(references) - len(pairs)}
        if not pairs:
            return {"num_mentions": 0} | counts
        ranks = [ranked.index(gold) + 1 if gold in ranked else np.inf for ranked, gold in pairs]
        return ranking_metrics(ranks, ks) | counts
