"""The second protocol: ranks among k retrieved candidates, where the retriever may have missed the gold."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .metrics import check_ranks, per_mention_values
from .ranking import tie_bounds


def rank_among_candidates(
    scores: np.ndarray | Tensor,
    candidates: np.ndarray | Tensor,
    gold_rows: np.ndarray | Tensor | Sequence[int],
    *,
    tie_tolerance: float = 1e-6,
) -> np.ndarray:
    """
    Rank of the gold among the candidates that a retriever gave; `inf` where it is not among them.

    Args:
        scores (array of shape `(num_mentions, k)`):
            Score of each candidate. Where there is no candidate the score is not read.
        candidates (array of `int` of shape `(num_mentions, k)`):
            Entity rows, -1 where a mention has fewer than `k` candidates.
        gold_rows (array of `int` of shape `(num_mentions,)`):
            Row of each mention's gold entity. NIL mentions are left out by the caller, and counted.
        tie_tolerance (`float`, *optional*, defaults to 1e-6):
            As in [`rank_gold`]; a tie counts half.

    Returns:
        `np.ndarray` of shape `(num_mentions,)`, float64.

    Raises:
        ValueError: shapes that do not agree, a NaN score, a candidate given twice, a gold row below 0; each names the
            mention's position.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import rank_among_candidates

    >>> scores, candidates = np.array([[0.9, 0.5], [0.9, 0.5]]), np.array([[7, 3], [7, 3]])
    >>> rank_among_candidates(scores, candidates, [3, 4])
    array([ 2., inf])
    ```
    """
    scores, candidates, gold = _checked(scores, candidates, gold_rows)
    is_gold = candidates == gold[:, None]
    retrieved = is_gold.any(dim=1)
    gold_scores = torch.where(is_gold, scores, 0).sum(dim=1)
    ranks = _mean_ranks(scores, gold_scores, (candidates >= 0) & ~is_gold, tie_tolerance)
    return torch.where(retrieved, ranks, torch.inf).numpy()


def rank_with_gold_added(
    scores: np.ndarray | Tensor,
    candidates: np.ndarray | Tensor,
    gold_rows: np.ndarray | Tensor | Sequence[int],
    gold_scores: np.ndarray | Tensor | Sequence[float],
    *,
    tie_tolerance: float = 1e-6,
) -> np.ndarray:
    """
    The optimistic variant found in the literature: a gold that the retriever missed is added to the candidates.

    Every rank is finite then, and the metrics say nothing about the retriever: they are an upper bound on what
    [`rank_among_candidates`] gives, and must be reported under a name of their own (`gold_added=True` of
    [`candidate_metrics`]).

    Args:
        scores, candidates, gold_rows, tie_tolerance:
            As in [`rank_among_candidates`].
        gold_scores (array of shape `(num_mentions,)`):
            Score of each mention's gold, by the model that scored the candidates.

    Returns:
        `np.ndarray` of shape `(num_mentions,)`, float64, from 1 to `k + 1`.

    Raises:
        ValueError: as [`rank_among_candidates`].

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.evaluation import rank_with_gold_added

    >>> scores, candidates = np.array([[0.9, 0.5], [0.9, 0.5]]), np.array([[7, 3], [7, 3]])
    >>> rank_with_gold_added(scores, candidates, gold_rows=[3, 4], gold_scores=[0.5, 0.7])
    array([2., 2.])
    ```
    """
    scores, candidates, gold = _checked(scores, candidates, gold_rows)
    gold_scores = torch.as_tensor(gold_scores).cpu().double()
    if gold_scores.shape != gold.shape:
        raise ValueError(f"gold_scores must have one score for each of the {len(gold)} mentions")
    _refuse_nan(gold_scores[:, None], torch.ones_like(gold_scores[:, None], dtype=torch.bool))
    others = (candidates >= 0) & (candidates != gold[:, None])
    return _mean_ranks(scores, gold_scores, others, tie_tolerance).numpy()


def candidate_metrics(
    ranks: np.ndarray | Sequence[float],
    *,
    retriever: str,
    gold_added: bool = False,
    ks: Sequence[int] = (1, 5, 10, 20),
) -> dict[str, float | int | str]:
    """
    Top-k accuracy T@k among retrieved candidates, labelled with what retrieved them.

    Args:
        ranks (array of `float` of shape `(num_mentions,)`):
            From [`rank_among_candidates`], or with `gold_added` from [`rank_with_gold_added`].
        retriever (`str`):
            Name of the retriever: T@k of different retrievers cannot be compared.
        gold_added (`bool`, *optional*, defaults to `False`):
            Says that missed golds were added. The keys become `T@k (gold added)`.
        ks (sequence of `int`, *optional*, defaults to `(1, 5, 10, 20)`):
            The cut-offs.

    Returns:
        `dict`: `T@k` for each k, `retrieved` (share of mentions whose gold is among the candidates; only without
        `gold_added`, which hides it), `retriever`, `num_mentions`.

    Raises:
        ValueError: no ranks, no retriever's name, or an infinite rank with `gold_added`.

    Example:

    ```python
    >>> from hf_mel.evaluation import candidate_metrics

    >>> candidate_metrics([1, 3, float("inf"), 1], retriever="BM25, k = 20", ks=(1, 5))
    {'T@1': 0.5, 'T@5': 0.75, 'retrieved': 0.75, 'retriever': 'BM25, k = 20', 'num_mentions': 4}
    ```
    """
    ranks = check_ranks(ranks)
    if ranks.ndim != 1 or not len(ranks):
        raise ValueError(f"metrics need the ranks of at least one mention in one dimension, got shape {ranks.shape}")
    if not isinstance(retriever, str) or not retriever.strip():
        raise ValueError("candidate_metrics needs the retriever's name: T@k means nothing without it")
    missed = int(np.isinf(ranks).sum())
    if gold_added and missed:
        raise ValueError(f"gold_added=True, but {missed} ranks are infinite: these come from rank_among_candidates")
    label = " (gold added)" if gold_added else ""
    metrics = {f"T@{k}{label}": float(per_mention_values(ranks, f"hits@{k}").mean()) for k in ks}
    shares = {} if gold_added else {"retrieved": 1 - missed / len(ranks)}
    return metrics | shares | {"retriever": retriever, "num_mentions": len(ranks)}


def _mean_ranks(scores: Tensor, gold_scores: Tensor, others: Tensor, tie_tolerance: float) -> Tensor:
    low, high = tie_bounds(gold_scores, tie_tolerance)
    better = (others & (scores > high)).sum(dim=1)
    at_least = (others & (scores >= low)).sum(dim=1)
    return 1 + (better + at_least).double() / 2


def _checked(scores, candidates, gold_rows) -> tuple[Tensor, Tensor, Tensor]:
    scores = torch.as_tensor(scores).cpu().double()
    candidates = torch.as_tensor(candidates).cpu()
    gold = torch.as_tensor(gold_rows).cpu()
    if scores.ndim != 2 or scores.shape != candidates.shape or gold.shape != scores.shape[:1]:
        raise ValueError(
            "scores and candidates must be (num_mentions, k) and gold_rows (num_mentions,), "
            f"got {tuple(scores.shape)}, {tuple(candidates.shape)} and {tuple(gold.shape)}"
        )
    if len(gold) and int(gold.min()) < 0:
        raise ValueError(
            f"mention {int((gold < 0).nonzero()[0])} has no gold row: leave NIL mentions out of the ranking, and count them"
        )
    ordered = candidates.sort(dim=1).values
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(dim=1).nonzero()
    if len(twice):
        raise ValueError(f"mention {int(twice[0])} has the same candidate twice; give each entity once")
    _refuse_nan(scores, candidates >= 0)
    return scores, candidates, gold


def _refuse_nan(scores: Tensor, read: Tensor) -> None:
    wrong = (torch.isnan(scores) & read).any(dim=1).nonzero()
    if len(wrong):
        raise ValueError(f"mention {int(wrong[0])} has a NaN score: a NaN cannot be ranked")
