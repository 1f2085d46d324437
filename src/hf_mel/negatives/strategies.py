"""Negative strategies: the interface, and those of the package."""

from typing import ClassVar, Literal

import numpy as np
import torch

from .candidates import (
    Candidates,
    Selection,
    choose_columns,
    sample_columns,
    sample_without_replacement,
    top_columns,
)
from .pools import PoolBuilder


class NegativeStrategy:
    """
    Picks the negatives of a batch from the pools of its mentions. A subclass sets `reads` and overrides
    [`~NegativeStrategy.columns`]. It keeps no reference to a model, and its only random numbers are
    [`~Candidates.uniforms`], so that a draw depends on (seed, epoch, mention) alone.

    Args:
        num_negatives (`int`):
            Negatives of each mention.

    Attributes:
        pool_shares (`dict[str, float]`, *optional*):
            Mixture of the pool. `None` takes that of the training arguments.
        reads (`str`):
            `"nothing"`, `"index"` (scores of the last index), `"fresh"` (scores of the current discriminator) or
            `"policy"` (the generator).
        shares_state (`bool`):
            One mention changes state that another one reads. Then the training step draws, and no data-loading worker
            with its own copy of the state.

    Example:

    ```python
    >>> import numpy as np, torch
    >>> from hf_mel.negatives import Candidates, NegativeStrategy

    >>> class Nearest(NegativeStrategy):
    ...     reads = "index"
    ...
    ...     def columns(self, candidates):
    ...         return candidates.masked_scores.topk(self.num_negatives).indices

    >>> rows = torch.tensor([[7, 8, 9]])
    >>> pool = Candidates(np.array([0]), rows, torch.ones(1, 3).bool(), scores=torch.tensor([[0.1, 0.9, 0.3]]))
    >>> Nearest(num_negatives=1).select(pool).columns
    tensor([[1]])
    ```
    """

    name: ClassVar[str | None] = None
    pool_shares: ClassVar[dict[str, float] | None] = None
    reads: Literal["nothing", "index", "fresh", "policy"] = "nothing"
    shares_state: ClassVar[bool] = False

    def __init__(self, num_negatives: int):
        if self.reads not in ("nothing", "index", "fresh", "policy"):
            raise ValueError(
                f"`reads` of {type(self).__name__} must be nothing, index, fresh or policy, not {self.reads!r}"
            )
        self.num_negatives = num_negatives

    @property
    def is_live(self) -> bool:
        """Needs the models of the current step; any other strategy can be drawn by the data loader."""
        return self.reads in ("fresh", "policy")

    def start(self, builder: PoolBuilder) -> None:
        """Called once before the first pool, in the main process."""

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> Candidates:
        """Pools from which [`~NegativeStrategy.select`] picks."""
        return builder.build(mentions, epoch)

    def select(self, candidates: Candidates) -> Selection:
        """Negatives of each mention of the batch."""
        columns, wanted = self.columns(candidates), (len(candidates.rows), self.num_negatives)
        if columns.shape != wanted:
            raise ValueError(f"{type(self).__name__}.columns gave the shape {(*columns.shape,)} and not {wanted}")
        return candidates.pick(columns)

    def columns(self, candidates: Candidates) -> torch.Tensor:
        """Picked columns of the pool, of shape `(batch_size, num_negatives)`. By default a uniform choice."""
        return choose_columns(candidates.mask, candidates.uniforms("choose", candidates.size), self.num_negatives)

    def updates(self, candidates: Candidates) -> np.ndarray | None:
        """Values to remember, one row for each mention of the batch, or nothing."""
        return None

    def remember(self, mentions: np.ndarray, values: np.ndarray) -> None:
        """Takes what [`~NegativeStrategy.updates`] returned for these mentions, in all processes."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Counterpart of [`~NegativeStrategy.state_dict`]."""


class InBatch(NegativeStrategy):
    """Picks nothing: the gold entities of the other mentions in the batch are the negatives of the contrastive loss."""

    name = "in_batch"
    pool_shares = {"uniform": 1.0}

    def __init__(self, num_negatives: int = 0):
        super().__init__(0)

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> Candidates:
        return builder.masked(np.zeros((len(mentions), 0), dtype=np.int64), mentions, epoch)


class Random(NegativeStrategy):
    """A uniform choice from the knowledge base."""

    name = "random"
    pool_shares = {"uniform": 1.0}


class Lexical(NegativeStrategy):
    """A uniform choice from the entities whose names are most similar to the mention."""

    name = "lexical"
    pool_shares = {"lexical": 1.0}


class Attribute(NegativeStrategy):
    """
    A uniform choice from the entities with the smallest Jaccard distance to the gold entity's attributes (JD-CCL,
    Nguyen et al. 2025; see [`attribute_neighbours`]).
    """

    name = "attribute"
    pool_shares = {"attribute": 1.0}


Scores = Literal["index", "fresh"]


class ScoredStrategy(NegativeStrategy):
    """
    Base of the strategies that read scores of the pool.

    Args:
        num_negatives (`int`):
            Negatives of each mention.
        scores (`str`, *optional*, defaults to `"index"`):
            `"index"`: scores of the discriminator at its last index refresh, which cost nothing. `"fresh"`: those of the
            current discriminator, which encodes the whole pool for them.
    """

    def __init__(self, num_negatives: int, scores: Scores = "index"):
        if scores not in ("index", "fresh"):
            raise ValueError(f"`scores` of {type(self).__name__} must be 'index' or 'fresh', got {scores!r}.")
        super().__init__(num_negatives)
        self.reads = scores


class TopK(ScoredStrategy):
    """
    The highest scores of the pool.

    Args:
        choose_from (`int`, *optional*):
            Chooses uniformly among that many of the hardest. Defaults to `num_negatives`: all of them are taken.
        scores (`str`, *optional*, defaults to `"index"`): See [`ScoredStrategy`].
    """

    name = "topk"

    def __init__(self, num_negatives: int, choose_from: int | None = None, scores: Scores = "index"):
        super().__init__(num_negatives, scores)
        self.choose_from = num_negatives if choose_from is None else choose_from
        if self.choose_from < num_negatives:
            raise ValueError(
                f"`choose_from` must be at least `num_negatives`, got {self.choose_from} and {num_negatives}."
            )

    def columns(self, candidates: Candidates) -> torch.Tensor:
        hardest = top_columns(candidates.masked_scores, self.choose_from)
        if self.choose_from == self.num_negatives:
            return hardest
        mask = candidates.mask.gather(1, hardest)
        chosen = choose_columns(mask, candidates.uniforms("choose", self.choose_from), self.num_negatives)
        return hardest.gather(1, chosen)


class SemiHard(ScoredStrategy):
    """
    A uniform choice among the candidates with `d(m, e+) < d(m, e) < d(m, e+) + margin` (FaceNet, Schroff et al. 2015). A
    mention whose pool has none draws uniformly from its pool.

    Args:
        margin (`float`, *optional*, defaults to 0.3):
            Width of the band.
        scores (`str`, *optional*, defaults to `"index"`): See [`ScoredStrategy`].
    """

    name = "semi_hard"

    def __init__(self, num_negatives: int, margin: float = 0.3, scores: Scores = "index"):
        super().__init__(num_negatives, scores)
        self.margin = margin

    def columns(self, candidates: Candidates) -> torch.Tensor:
        gap = candidates.gold_scores.unsqueeze(-1) - candidates.masked_scores
        band = (gap > 0) & (gap < self.margin)
        weights = torch.where(band.any(dim=-1, keepdim=True), band, candidates.mask)
        return sample_columns(weights.float(), candidates.uniforms("semi_hard", self.num_negatives))


class Cache(ScoredStrategy):
    """
    NSCaching (Zhang et al. 2019): each mention keeps half a pool of entities; negatives are drawn from it uniformly. After
    each visit the kept half is drawn again from itself and as many uniform entities, without replacement, with probability
    proportional to `exp(score / temperature)`.

    Args:
        temperature (`float`, *optional*, defaults to 0.1):
            Small: the cache keeps the hardest. Large: it changes more.
        scores (`str`, *optional*, defaults to `"index"`): See [`ScoredStrategy`].
    """

    name = "cache"
    pool_shares = {"uniform": 1.0}

    def __init__(self, num_negatives: int, temperature: float = 0.1, scores: Scores = "index"):
        if temperature <= 0:
            raise ValueError(f"`temperature` of Cache must be positive, got {temperature}.")
        super().__init__(num_negatives, scores)
        self.temperature = temperature
        self.kept: np.ndarray | None = None  # (num_mentions, pool_size // 2), -1 where a mention was not visited yet

    def start(self, builder: PoolBuilder) -> None:
        if self.kept is None:
            self.kept = np.full((len(builder.gold_rows), builder.size // 2), -1, dtype=np.int64)

    def pool(self, builder: PoolBuilder, mentions: np.ndarray, epoch: int) -> Candidates:
        half = self.kept.shape[1]
        uniform = builder.uniform_rows(builder.size, mentions, epoch, stream="cache")
        kept = self.kept[mentions]
        rows = np.concatenate([np.where(kept < 0, uniform[:, :half], kept), uniform[:, half:]], axis=1)
        return builder.masked(rows, mentions, epoch)

    def columns(self, candidates: Candidates) -> torch.Tensor:
        kept = candidates.mask[:, : self.kept.shape[1]]
        return choose_columns(kept, candidates.uniforms("choose", kept.shape[1]), self.num_negatives)

    def updates(self, candidates: Candidates) -> np.ndarray:
        # The highest of scores plus Gumbel noise are a draw without replacement from the softmax of the scores.
        noise = candidates.uniforms("cache", candidates.size).clamp(min=1e-12)
        scores = candidates.masked_scores / self.temperature - torch.log(-torch.log(noise))
        kept = top_columns(scores, self.kept.shape[1])
        return candidates.rows.gather(1, kept).cpu().numpy()

    def remember(self, mentions: np.ndarray, values: np.ndarray) -> None:
        self.kept[mentions] = values

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {} if self.kept is None else {"kept": torch.from_numpy(self.kept)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.kept = state["kept"].numpy().copy() if "kept" in state else None


class PolicyGradient(NegativeStrategy):
    """
    Samples from the generator's distribution `p(e | m)` over the pool. The training step computes the generator's loss from
    the rewards and the importance weights of the samples.

    Args:
        with_replacement (`bool`, *optional*, defaults to `True`):
            Independent draws; otherwise different negatives, see [`sample_without_replacement`].
    """

    name = "pg"
    reads = "policy"

    def __init__(self, num_negatives: int, with_replacement: bool = True):
        super().__init__(num_negatives)
        self.with_replacement = with_replacement

    def select(self, candidates: Candidates) -> Selection:
        log_probs = candidates.log_probs.detach()
        if self.with_replacement:
            columns = sample_columns(log_probs.exp(), candidates.uniforms("sample", self.num_negatives))
            weights = torch.full_like(log_probs[:, : self.num_negatives], 1 / self.num_negatives)
        else:
            uniforms = candidates.uniforms("sample", candidates.size)
            columns, weights = sample_without_replacement(log_probs, uniforms, self.num_negatives)
        return candidates.pick(columns)._replace(weights=weights)
