"""Split conformal prediction: sets of answers with a guaranteed rate of errors, on plain arrays."""

from collections.abc import Sequence

import numpy as np


def conformal_p_values(probabilities: np.ndarray, truth: Sequence[float]) -> np.ndarray:
    """
    Conformal p-values of possible answers.

    The answers whose p-value is above `alpha` are the prediction set of split conformal prediction: if the mention and the
    calibration mentions are exchangeable, the set lacks the right answer with a probability of at most `alpha`.

    Args:
        probabilities (array of `float`, of any shape):
            Probability of each answer, by a model that was fitted on other mentions than those of `truth`.
        truth (`Sequence[float]` of length `n`):
            Probability that the same model gave to the right answer of each calibration mention; 0 where that was no
            candidate.

    Returns:
        `np.ndarray` of float64 of the same shape: `(1 + number of truth <= probability) / (n + 1)`.

    Example: three calibration mentions. At `alpha=0.25` the set holds the answers with a probability of 0.2 and more:

    ```python
    >>> from hf_mel.evaluation import conformal_p_values

    >>> conformal_p_values([0.1, 0.2, 0.6, 0.9], [0.5, 0.8, 0.2])
    array([0.25, 0.5 , 0.75, 1.  ])
    ```
    """
    truth = np.sort(np.asarray(truth, dtype=np.float64))
    return (1 + np.searchsorted(truth, probabilities, side="right")) / (len(truth) + 1)


def lowest_alpha(truth: Sequence[float]) -> float:
    """
    The lowest rate of errors that can be guaranteed: below it, a set would have to hold every entity.

    With `n` calibration mentions it is `1 / (n + 1)`, and `(1 + m) / (n + 1)` where the right answer of `m` of them was no
    candidate.

    Example:

    ```python
    >>> from hf_mel.evaluation.conformal import lowest_alpha

    >>> lowest_alpha([0.5, 0.8, 0.2]), lowest_alpha([0.5, 0.8, 0.0])
    (0.25, 0.5)
    ```
    """
    return float((1 + np.count_nonzero(np.asarray(truth) <= 0)) / (len(truth) + 1))
