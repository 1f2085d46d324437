"""Metrics of an evaluation during the training."""

from collections.abc import Callable

import numpy as np
from transformers.trainer_utils import EvalPrediction, denumpify_detensorize

from ..evaluation import ranking_metrics
from ..evaluation.models import Linkable


def evaluation_metrics(
    ranks: np.ndarray, mentions: Linkable, compute_metrics: Callable[[EvalPrediction], dict] | None, prefix: str
) -> dict[str, float]:
    """
    The metrics of [`ranking_metrics`], the number of NIL mentions, and those of the user.

    Args:
        ranks (`np.ndarray` of shape `(num_mentions,)`):
            Ranks of the gold entities.
        mentions ([`Linkable`]):
            The mentions.
        compute_metrics (`Callable`, *optional*):
            The user's metrics from ranks and gold rows. A metric of the same name as one of the package replaces it.
        prefix (`str`):
            Comes before each name, as `eval_`, unless it is there.
    """
    metrics = ranking_metrics(ranks) | {"num_nil": mentions.num_nil}
    if compute_metrics is not None:
        metrics |= compute_metrics(EvalPrediction(predictions=ranks, label_ids=mentions.gold_rows))
    begin = f"{prefix}_"
    return {f"{begin}{name.removeprefix(begin)}": value for name, value in denumpify_detensorize(metrics).items()}
