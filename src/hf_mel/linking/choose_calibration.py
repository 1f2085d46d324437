"""The calibration that a linker uses: the one saved with its index, the one in its checkpoint, or the prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..evaluation.standard_scores import MIN_CANDIDATES
from .calibration import CALIBRATION_FILE, Calibration
from .index import EntityIndex
from .index.folder import cached_repository
from .prediction_sets import check_rate
from .prior import prior_calibration, why_no_prior


logger = logging.get_logger(__name__)


def choose_calibration(
    index: EntityIndex,
    setup: Mapping[str, Any],
    checkpoint: str | Path | None = None,
    name_features: bool = False,
    **hub,
) -> Calibration | None:
    """
    The calibration that is saved in the folder of an index or, if there is none that fits, in a checkpoint. If neither has
    one for this set-up, the prior; the log says so, and why what was saved is not used.

    Args:
        index ([`EntityIndex`]):
            The index.
        setup (`Mapping[str, Any]`):
            [`Linker.setup`].
        checkpoint (`str` or `Path`, *optional*):
            Folder or Hub id of the model.
        name_features (`bool`, *optional*, defaults to `False`):
            `config.name_features` of the model, which decides which prior holds.
        hub:
            For a Hub id: those of [`Calibration.load`].

    Returns:
        [`Calibration`], or `None` where not even the prior holds for this set-up.
    """
    reasons = []
    for source, options in _sources(index, checkpoint, hub):
        saved = Calibration.load(source, **options)
        if saved is None:
            continue
        try:
            saved.check(setup)
        except ValueError as error:
            reasons.append(f"{CALIBRATION_FILE} of {source} is not used: {error}. ")
            continue
        grown = saved.growth(len(index))
        if grown is not None:
            logger.warning(grown)
        return saved
    unfit = why_no_prior(setup)
    if len(index) < MIN_CANDIDATES:
        said = f"Probabilities and NIL need {MIN_CANDIDATES} entities at least, and this index has {len(index)}."
    elif unfit is None:
        said = "Probabilities and NIL come from a prior that was fitted on other data."
    else:
        said = f"There are no probabilities, and nothing is answered NIL: {unfit}."
    told = "".join(reasons) or "No calibration was fitted for this index. "
    logger.warning(f"{told}{said} Fit a calibration on labelled mentions with `hf-mel calibrate`")
    return None if unfit is not None else prior_calibration(setup, name_features)


def _sources(index: EntityIndex, checkpoint: str | Path | None, hub: dict) -> list[tuple[str | Path, dict]]:
    """Places where a calibration may be saved, with the arguments to load it: with the index first."""
    repository = cached_repository(index.folder)
    of_index: tuple[str | Path, dict] = (index.folder, {})
    if repository is not None and not (index.folder / CALIBRATION_FILE).is_file():
        of_index = (repository, {"repo_type": "dataset", "revision": index.folder.resolve().name})
    return [of_index] if checkpoint is None else [of_index, (checkpoint, hub)]


def check_prediction_set(calibration: Calibration | None, alpha: float, restricted: bool = False) -> None:
    """
    Checks that prediction sets with an error rate can be given.

    Args:
        calibration ([`Calibration`], *optional*): That of the linker.
        alpha (`float`): The error rate.
        restricted (`bool`, *optional*, defaults to `False`): Whether only some entities may be candidates.

    Raises:
        `ValueError`: they cannot; the reason is named.
    """
    check_rate(alpha)
    if restricted:
        raise ValueError(
            f"prediction_set={alpha}: its error rate is not guaranteed where `types` or `entity_ids` leave out candidates; "
            "give one or the other"
        )
    if calibration is None or calibration.sets is None:
        kind = "there is no calibration" if calibration is None else f"this one is {calibration.kind!r}"
        raise ValueError(
            f"prediction_set={alpha}: prediction sets need a calibration that was fitted on labelled mentions for this "
            f"index, and {kind}; fit one with `hf-mel calibrate`"
        )
    calibration.sets.check_alpha(alpha)
