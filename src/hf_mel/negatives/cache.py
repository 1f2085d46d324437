"""`cache`: NSCaching, a small memory of hard negatives for each mention."""

import numpy as np
import torch

from .base import NegativeStrategy, ScoreSource, SelectionContext, choose_columns, top_columns
from .pools import CandidatePool, PoolBuilder


class Cache(NegativeStrategy):
    """
    Each mention keeps half a pool of entities; negatives are drawn from it uniformly. After each visit the kept half
    is drawn anew from itself and as many uniform entities, without replacement, with probability proportional to
    `exp(score / cache_temperature)` (Zhang et al. 2019).

    Args:
        cache_temperature (`float`):
            Small: the cache keeps the hardest. Large: it changes more.
        scores (`"fresh"` or `"index"`):
            See [`TopK`].
    """

    name = "cache"
    pool_shares = {"uniform": 1.0}

    def __init__(self, num_negatives: int, cache_temperature: float = 0.1, scores: ScoreSource = "index"):
        super().__init__(num_negatives)
        self.cache_temperature = cache_temperature
        self.scores = scores
        self.kept: np.ndarray | None = None  # (num_mentions, pool_size // 2), -1 where a mention was not visited yet

    @property
    def uses_index_scores(self) -> bool:
        return self.scores == "index"

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> CandidatePool:
        half = builder.size // 2
        if self.kept is None:
            self.kept = np.full((len(builder.gold_rows), half), -1, dtype=np.int64)
        uniform = builder.uniform_rows(builder.size, mentions, epoch, stream="cache")
        kept = self.kept[mentions]
        rows = np.concatenate([np.where(kept < 0, uniform[:, :half], kept), uniform[:, half:]], axis=1)
        return builder.masked(rows, mentions)

    def columns(self, context: SelectionContext) -> torch.Tensor:
        kept = context.pool.mask[:, : self.kept.shape[1]]
        return choose_columns(kept, context.uniforms("choose", kept.shape[1]), self.num_negatives)

    def updates(self, context: SelectionContext) -> tuple[np.ndarray, np.ndarray]:
        scores = context.pool_scores(self.scores) / self.cache_temperature
        # The highest of scores plus Gumbel noise are a draw without replacement from the softmax of the scores.
        noise = context.uniforms("cache", scores.shape[1]).clamp(min=1e-12)
        kept = top_columns(scores - torch.log(-torch.log(noise)), self.kept.shape[1])
        return context.mentions, context.pool.rows.gather(1, kept).cpu().numpy()

    def remember(self, mentions: np.ndarray, values: np.ndarray) -> None:
        self.kept[mentions] = values

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {} if self.kept is None else {"kept": torch.from_numpy(self.kept)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.kept = state["kept"].numpy().copy() if "kept" in state else None
