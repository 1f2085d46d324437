"""The prior: probabilities for an index with few labelled mentions, or none, fitted on other data."""

from collections.abc import Mapping
from typing import Any

from ..evaluation import ProbabilityModel
from ..evaluation.shrinkage import ModelPrior
from .calibration import Calibration


# Fitted by `python benchmarks/calibration_prior.py` on WikiMEL's validation mentions, linked to knowledge bases of 10 to 18,880
# entities by an untrained MiniLM; the deviations are those between these settings. docs/results/calibration_prior.json
# has the numbers, the date and the commit.
PRIOR = ModelPrior(
    ProbabilityModel(temperature=0.194878, nil_score=1.31472, nil_slope=0.553982, nil_margin=0.854429),
    log_temperature=0.351685,
    nil_score=0.358811,
    log_nil_slope=0.316356,
    nil_margin=1.0795,
)
# The same where features of the names are part of the score: the right entity then stands out more.
PRIOR_WITH_NAMES = ModelPrior(
    ProbabilityModel(temperature=0.272564, nil_score=1.82231, nil_slope=0.607494, nil_margin=1.0364),
    log_temperature=0.420554,
    nil_score=0.396714,
    log_nil_slope=0.3911,
    nil_margin=0.793484,
)
PRIOR_DATA = {
    "data": "WikiMEL, untrained MiniLM",
    "nil_share": 0.2,
    "command": "python benchmarks/calibration_prior.py",
}
MIN_PRIOR_CANDIDATES = 10
"""Standard scores need so many candidates, unless the knowledge base itself has fewer entities."""


def prior_of(name_features: bool) -> ModelPrior:
    """The prior for a model whose score has a part for the names (`config.name_features`), or has none."""
    return PRIOR_WITH_NAMES if name_features else PRIOR


def why_no_prior(setup: Mapping[str, Any]) -> str | None:
    """Reason why the prior does not hold for a set-up ([`Linker.setup`]); `None` where it does."""
    if setup.get("reranker") is not None:
        return "the prior was fitted on the scores of models, not of rerankers"
    if setup.get("candidates") == "lexical":
        return "the prior was fitted on the best-scored candidates, not on those with a similar name"
    if setup["num_candidates"] < MIN_PRIOR_CANDIDATES:
        return f"the prior needs num_candidates={MIN_PRIOR_CANDIDATES} at least, not {setup['num_candidates']}"
    return None


def prior_calibration(setup: Mapping[str, Any], name_features: bool = False) -> Calibration:
    """
    A calibration without labelled mentions of this index: probabilities of standard scores, fitted on WikiMEL.

    Answers are marked: `calibration` of [`LinkedMention`] is `"prior"`. It has no prediction sets. On RichpediaMEL, which
    it was not fitted on, its probabilities are near the truth; on EmojiMEL, where a mention is a word that many entities
    share, it is too sure of the best: docs/linking.md has the numbers.

    Args:
        setup (`Mapping[str, Any]`):
            [`Linker.setup`] of the linker that is to use it.
        name_features (`bool`, *optional*, defaults to `False`):
            `config.name_features` of its model: a prior of its own holds for scores with names.

    Raises:
        `ValueError`: the prior does not hold for this set-up: with a reranker, candidates by name alone, or fewer than 10
            candidates.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.linking.prior import prior_calibration

    >>> setup = {"model": "", "knowledge_base": "", "candidates": "dense", "num_candidates": 64, "reranker": None, "exact": True}
    >>> prior = prior_calibration(setup)
    >>> clear, unclear = [0.9, 0.3, 0.25, 0.2, 0.2, 0.1], [0.32, 0.3, 0.25, 0.2, 0.2, 0.1]
    >>> _, nil = prior.probabilities(np.array([clear, unclear]), num_entities=6)
    >>> nil < 0.5
    array([ True, False])
    ```
    """
    reason = why_no_prior(setup)
    if reason is not None:
        raise ValueError(f"{reason}: fit a calibration with `hf-mel calibrate`")
    mean = prior_of(name_features).mean
    return Calibration(
        temperature=mean.temperature,
        nil_score=mean.nil_score,
        nil_slope=mean.nil_slope,
        nil_margin=mean.nil_margin,
        threshold=0.5,
        num_candidates=setup["num_candidates"],
        setup=dict(setup),
        fitted_on=PRIOR_DATA | {"name_features": name_features},
        kind="prior",
        standardized=True,
    )
