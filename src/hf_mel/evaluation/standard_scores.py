"""Scores in units that can be compared between models and knowledge bases, on plain arrays."""

import numpy as np
from scipy.special import ndtri


MIN_CANDIDATES = 4
"""A mention with fewer candidates has no standard scores: the spread of fewer than three others says nothing."""


def standard_scores(
    scores: np.ndarray, num_entities: np.ndarray | int, num_candidates: int, among: np.ndarray | None = None
) -> np.ndarray:
    """
    Standardizes the scores of each mention over its own candidates.

    The best quarter of the candidates is set apart: where several entities share the mention's name, all of them may score
    far above the rest. The mean of the others is subtracted, and the result divided by their standard deviation. It is then
    divided by the value that the best candidate would have by chance, if the scores of all entities were drawn from one
    normal distribution: this depends on the number of entities and of candidates alone. A best candidate at 1 is no better
    than the best of so many wrong entities, one at 2 is twice as far from the others. Neither the unit nor the zero of a
    model's scores matters.

    Args:
        scores (array of `float` of shape `(num_mentions, K)`):
            Scores, best first; `-inf` where there are fewer candidates.
        num_entities (`int` or array of `int` of shape `(num_mentions,)`):
            Entities that were compared with the mention, of which the candidates are the best.
        num_candidates (`int`):
            Only the first `num_candidates` give mean and deviation. The others were found in another way, by their names.
        among (array of `float` of shape `(num_mentions, L)`, *optional*):
            Where only some entities may be candidates: scores of the best of all entities, which give mean and deviation in
            place of `scores`. So an entity has the same standard score however many are left out.

    Returns:
        `np.ndarray` of float64 of shape `(num_mentions, K)`: `-inf` where there is no candidate, NaN for all candidates of a
        mention with fewer than four, or whose scores below the best quarter are equal.

    Example:

    ```python
    >>> from hf_mel.evaluation import standard_scores

    >>> scores = [[0.9, 0.5, 0.4, 0.2], [19.0, 15.0, 14.0, 12.0]]
    >>> standard_scores(scores, num_entities=4, num_candidates=64).round(2)
    array([[ 1.69,  0.42,  0.11, -0.53],
           [ 1.69,  0.42,  0.11, -0.53]])
    ```
    """
    scores = np.asarray(scores, dtype=np.float64)
    num_entities = np.broadcast_to(np.asarray(num_entities), len(scores))
    first = scores if among is None else np.asarray(among, dtype=np.float64)
    first = first[:, :num_candidates]
    counts = np.isfinite(first).sum(axis=1)
    standard = np.where(np.isfinite(scores), np.nan, -np.inf)
    for count, entities in {*zip(counts.tolist(), num_entities.tolist(), strict=True)}:
        if count < MIN_CANDIDATES:
            continue
        rows = np.flatnonzero((counts == count) & (num_entities == entities))
        others = first[rows, _apart(count) : count]
        centre, spread = others.mean(axis=1, keepdims=True), others.std(axis=1, keepdims=True)
        known = spread[:, 0] > 1e-6 * np.abs(others).max(axis=1)
        rows, centre, spread = rows[known], centre[known], spread[known]
        standard[rows] = (scores[rows] - centre) / (spread * chance(max(entities, count), count))
    return standard


def chance(num_entities: int, num_candidates: int) -> float:
    """
    The distance of the best of `num_entities` normal scores from the mean of the best `num_candidates` without their best
    quarter, in standard deviations of these: from the expected order statistics, as Blom approximates them.

    Example:

    ```python
    >>> from hf_mel.evaluation.standard_scores import chance

    >>> round(chance(1_000, 64), 2), round(chance(1_000_000, 64), 2)
    (8.43, 9.83)
    ```
    """
    ranks = np.arange(1, num_candidates + 1)
    expected = ndtri((num_entities - ranks + 0.625) / (num_entities + 0.25))
    others = expected[_apart(num_candidates) :]
    return float((expected[0] - others.mean()) / others.std())


def _apart(num_candidates: int) -> int:
    """Number of best candidates that give neither mean nor deviation."""
    return max(1, num_candidates // 4)
