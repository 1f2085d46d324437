"""A context for strategies: scores and policy given as tensors, random numbers as in a training."""

import numpy as np
import torch

from hf_mel.negatives import CandidatePool, SelectionContext, row_uniforms


def make_context(
    scores=None, gold=None, log_probs=None, mask=None, rows=None, mentions=None, seed=0, epoch=0
) -> SelectionContext:
    given = next(value for value in (scores, log_probs, mask, rows) if value is not None)
    batch, size = torch.as_tensor(given).shape
    rows = torch.arange(batch * size).view(batch, size) if rows is None else torch.as_tensor(rows)
    mask = torch.ones(batch, size, dtype=torch.bool) if mask is None else torch.as_tensor(mask)
    mentions = np.arange(batch) if mentions is None else np.asarray(mentions)
    gold = torch.ones(batch) if gold is None else torch.as_tensor(gold)

    def compute_scores(source):
        return torch.as_tensor(scores), gold

    return SelectionContext(
        mentions=mentions,
        pool=CandidatePool(rows, mask),
        uniforms=lambda stream, count: torch.from_numpy(row_uniforms(seed, epoch, mentions, stream, count)),
        compute_scores=compute_scores,
        compute_log_probs=None if log_probs is None else lambda: torch.as_tensor(log_probs),
    )
