"""Conformal scores, from which prediction sets with a guaranteed error rate are computed."""

from dataclasses import dataclass

import numpy as np

from ..evaluation import ProbabilityModel, conformal_p_values, lowest_alpha, standard_scores


@dataclass(frozen=True)
class ConformalScores:
    """
    A probability model, with its probabilities of the right answers of labelled mentions that it was not fitted on.

    The mentions of a calibration are split in two: on one part this model is fitted, and the other gives `truth`. Split
    conformal prediction needs that, so that a calibration mention and a new one are exchangeable.

    Args:
        temperature (`float`), nil_score (`float`), nil_slope (`float`), nil_margin (`float`):
            Those of [`ProbabilityModel`].
        standardized (`bool`):
            Whether they are for [`standard_scores`].
        truth (`list[float]`):
            Probability of the right answer, entity or NIL, of each mention of the second part, sorted; 0 where the right
            entity was not among the candidates.
    """

    temperature: float
    nil_score: float
    nil_slope: float
    nil_margin: float
    standardized: bool
    truth: list[float]

    def __post_init__(self):
        self.model  # noqa: B018  # raises a ValueError where a number cannot be
        values = self.truth
        if not isinstance(values, list) or not values or not all(isinstance(each, (int, float)) for each in values):
            raise ValueError("`truth` must be a list of at least one probability")
        if not all(0 <= each <= 1 for each in values):
            raise ValueError("`truth` holds probabilities, from 0 to 1")

    @property
    def model(self) -> ProbabilityModel:
        """The probability model."""
        return ProbabilityModel(self.temperature, self.nil_score, self.nil_slope, self.nil_margin)

    def p_values(
        self, scores: np.ndarray, num_entities: np.ndarray | int, num_candidates: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Conformal p-values of the candidates and of NIL; see [`conformal_p_values`].

        Args:
            scores (`np.ndarray` of shape `(num_mentions, K)`), num_entities, num_candidates:
                Those of [`Calibration.probabilities`].

        Returns:
            `tuple[np.ndarray, np.ndarray]` of shapes `(num_mentions, K)` and `(num_mentions,)`. 1 where probabilities are not
            known: such a mention excludes no answer.
        """
        found = candidate_probabilities(self.model, scores, self.standardized, num_entities, num_candidates)
        return tuple(
            np.where(np.isnan(each), 1.0, conformal_p_values(np.nan_to_num(each), self.truth)) for each in found
        )

    @property
    def lowest_alpha(self) -> float:
        """The lowest rate of errors that can be guaranteed."""
        return lowest_alpha(self.truth)

    def check_alpha(self, alpha: float) -> None:
        """
        Raises:
            `ValueError`: `alpha` is no rate between 0 and 1, or lower than these mentions can guarantee.
        """
        check_rate(alpha)
        if alpha >= self.lowest_alpha - 1e-9:
            return
        missed, number = sum(value <= 0 for value in self.truth), len(self.truth)
        if 1 / (number + 1) > alpha + 1e-9:
            needed = int(np.ceil(1 / alpha - 1e-9)) - 1
            raise ValueError(
                f"prediction_set={alpha}: the sets of this calibration are computed from {number:,} labelled mentions, half of "
                f"those given, and an error rate of {alpha} needs {needed:,}. Calibrate with at least {2 * needed:,} labelled "
                f"mentions, or ask for at least {self.lowest_alpha:.3g}"
            )
        raise ValueError(
            f"prediction_set={alpha}: the right entity of {missed:,} of {number:,} labelled mentions was not among the "
            f"candidates, so that no set of candidates errs less often than {self.lowest_alpha:.3g}. Calibrate with a higher "
            "num_candidates, or ask for that"
        )


def check_rate(alpha: float) -> None:
    """Raises a `ValueError` for what is no rate of errors."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
        raise ValueError(f"prediction_set={alpha!r} is no rate of errors: it must lie between 0 and 1, such as 0.1")


def candidate_probabilities(
    model: ProbabilityModel,
    scores: np.ndarray,
    standardized: bool,
    num_entities: np.ndarray | int | None,
    num_candidates: int,
    among: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Those of a model for scores, or for [`standard_scores`]; then NaN for a mention that has none."""
    if not standardized:
        return model.probabilities(scores)
    if num_entities is None:
        raise ValueError("this calibration is for standard scores: pass `num_entities`")
    scores = standard_scores(scores, num_entities, num_candidates, among)
    known = ~np.isnan(scores).any(axis=1)
    entity, nil = np.full(scores.shape, np.nan), np.full(len(scores), np.nan)
    entity[known], nil[known] = model.probabilities(scores[known])
    return entity, nil
