"""Candidates for strategies: scores and policy given as tensors, random numbers as in a training."""

import numpy as np
import torch

from hf_mel.negatives import Candidates


def make_candidates(
    scores=None, gold=None, log_probs=None, mask=None, rows=None, mentions=None, seed=0, epoch=0
) -> Candidates:
    given = next(value for value in (scores, log_probs, mask, rows) if value is not None)
    batch, size = torch.as_tensor(given).shape
    return Candidates(
        mentions=np.arange(batch) if mentions is None else np.asarray(mentions),
        rows=torch.arange(batch * size).view(batch, size) if rows is None else torch.as_tensor(rows),
        mask=torch.ones(batch, size, dtype=torch.bool) if mask is None else torch.as_tensor(mask),
        seed=seed,
        epoch=epoch,
        scores=None if scores is None else torch.as_tensor(scores),
        gold_scores=torch.ones(batch) if gold is None else torch.as_tensor(gold),
        log_probs=None if log_probs is None else torch.as_tensor(log_probs),
    )
