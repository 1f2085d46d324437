"""Probabilities and the NIL decision of a linker: what was fitted, for which set-up, on which data."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from transformers.utils import logging

from ..data.problems import Problems, nearest
from ..evaluation import ProbabilityModel
from .prediction_sets import ConformalScores, candidate_probabilities


logger = logging.get_logger(__name__)

CALIBRATION_FILE = "calibration.json"
_CURE = "Fit it again with `hf-mel calibrate`."
_NUMBERS = ("temperature", "nil_score", "nil_slope", "nil_margin", "threshold")
KINDS = ("fitted", "shrunk", "prior", "transferred")
"""Origin of the numbers of a calibration; see [`Calibration`]."""
SOME_GROWTH = 1.5
"""An index that has grown or shrunk by more than this factor since its calibration was fitted gets a warning."""
_SETUP_NAMES = {
    "knowledge_base": "another knowledge base (fingerprint {0} instead of {1})",
    "model": "another model (fingerprint {0} instead of {1})",
    "candidates": "candidates={0!r} instead of {1!r}",
    "num_candidates": "num_candidates={0} instead of {1}",
    "reranker": "the reranker {0!r} instead of {1!r}",
    "exact": "a search that is exact: {0} instead of {1}",
}


@dataclass(frozen=True)
class Calibration:
    """
    Turns the scores of a [`Linker`]'s candidates into probabilities, and decides NIL. It is fitted by [`calibrate`], for one
    set-up: model, knowledge base, kind and number of candidates, reranker.

    A candidate's probability is that of being the entity meant; the probability of NIL is that *none of the candidates* is,
    be it that the knowledge base does not have the entity or that it was not retrieved. Probabilities are shares among
    mentions like those it was fitted on: see [`~Calibration.with_nil_rate`] for others with more or fewer NIL mentions.

    Args:
        temperature (`float`), nil_score (`float`), nil_slope (`float`, *optional*, defaults to 1.0),
        nil_margin (`float`, *optional*, defaults to 0.0):
            Those of [`ProbabilityModel`].
        threshold (`float`):
            A mention is NIL if the probability that its entity is one of the candidates is below this.
        num_candidates (`int`):
            Candidates among which the probabilities are shared.
        setup (`dict`):
            What the scores depend on beside the entities; [`Linker.setup`].
        fitted_on (`dict`):
            Data, split, counts, hidden entities, seed and date.
        metrics (`dict`):
            What was measured: `fitted`, on the same mentions and so too good, and `measured`, on another split.
        kind (`str`, *optional*, defaults to `"fitted"`):
            `"fitted"`: on labelled mentions for this index. `"shrunk"`: on fewer than 50 of them, towards the prior.
            `"prior"`: on none, see [`prior_calibration`]. `"transferred"`: for another index, see
            [`~Calibration.transferred`].
        standardized (`bool`, *optional*, defaults to `False`):
            Whether the numbers are for [`standard_scores`], not for the scores themselves.
        sets ([`ConformalScores`], *optional*):
            What prediction sets are made with. `None`: there are none.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_mel.linking import Calibration

    >>> calibration = Calibration(temperature=0.1, nil_score=0.3, threshold=0.5, num_candidates=2)
    >>> entity, nil = calibration.probabilities(np.array([[0.5, 0.2], [0.1, -np.inf]]))
    >>> entity.round(2), nil.round(2)
    (array([[0.84, 0.04],
           [0.12, 0.  ]]), array([0.11, 0.88]))
    ```
    """

    temperature: float
    nil_score: float
    threshold: float
    num_candidates: int
    setup: dict[str, Any] = field(default_factory=dict)
    fitted_on: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    nil_slope: float = 1.0
    nil_margin: float = 0.0
    kind: str = "fitted"
    standardized: bool = False
    sets: ConformalScores | None = None

    def __post_init__(self):
        problems = Problems("calibration", _CURE)
        for name in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                problems.add(f"`{name}`", f"must be a finite number, got {value!r}")
            elif name in ("temperature", "nil_slope") and value <= 0:
                problems.add(f"`{name}`", f"must be above 0, got {value!r}")
            elif name == "nil_margin" and value < 0:
                problems.add(f"`{name}`", f"must be at least 0, got {value!r}")
            elif name == "threshold" and not 0 <= value <= 1:
                problems.add("`threshold`", f"is a probability, from 0 to 1, got {value!r}")
        if (
            isinstance(self.num_candidates, bool)
            or not isinstance(self.num_candidates, int)
            or self.num_candidates < 1
        ):
            problems.add("`num_candidates`", f"must be an integer above 0, got {self.num_candidates!r}")
        for name in ("setup", "fitted_on", "metrics"):
            if not isinstance(getattr(self, name), dict):
                problems.add(f"`{name}`", f"must be a dictionary, got {getattr(self, name)!r}")
        if self.kind not in KINDS:
            problems.add("`kind`", f"must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not isinstance(self.standardized, bool):
            problems.add("`standardized`", f"must be true or false, got {self.standardized!r}")
        if self.sets is not None and not isinstance(self.sets, ConformalScores):
            problems.add("`sets`", f"must be `ConformalScores`, got {self.sets!r:.60}")
        problems.raise_if_any()

    def probabilities(
        self, scores: np.ndarray, num_entities: np.ndarray | int | None = None, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Probabilities of the candidates and of NIL, which sum to 1 for each mention.

        Args:
            scores (`np.ndarray` of shape `(num_mentions, K)`):
                Scores of the candidates, best first; `-inf` where there are fewer. All candidates that were retrieved, not
                only those that are shown.
            num_entities (`int` or `np.ndarray` of shape `(num_mentions,)`, *optional*):
                Entities of the index. Needed by a `standardized` calibration only.
            among (`np.ndarray` of shape `(num_mentions, L)`, *optional*):
                Where only some entities may be candidates: scores of the candidates among all entities. Read by a
                `standardized` calibration only.

        Returns:
            `tuple[np.ndarray, np.ndarray]` of float64: `(num_mentions, K)`, 0 where there is no candidate, and
            `(num_mentions,)`, 1 where there is none at all. Of a `standardized` calibration both are NaN where
            [`standard_scores`] are.

        Raises:
            `ValueError`: a `standardized` calibration and no `num_entities`.
        """
        model = ProbabilityModel(self.temperature, self.nil_score, self.nil_slope, self.nil_margin)
        return candidate_probabilities(model, scores, self.standardized, num_entities, self.num_candidates, among)

    def check(self, setup: Mapping[str, Any]) -> None:
        """
        Holds the set-up of a linker against the one this was fitted for.

        Raises:
            `ValueError`: they differ; every difference is named.
        """
        found = []
        for name in sorted(self.setup.keys() | setup.keys()):
            fitted, given = self.setup.get(name), setup.get(name)
            if fitted != given:
                text = _SETUP_NAMES.get(name, f"{name}={{0!r}} instead of {{1!r}}")
                found.append(text.format(*(_short(value) for value in (fitted, given))))
        if found:
            raise ValueError(
                f"the calibration was fitted with {'; '.join(found)}. Its probabilities do not hold here: fit one for this "
                "set-up with `hf-mel calibrate`"
            )

    def transferred(self, setup: Mapping[str, Any]) -> "Calibration":
        """
        The same numbers for another knowledge base, marked as such: nothing says that they hold there. Prediction sets,
        whose rate of errors is guaranteed, are left behind.

        Args:
            setup (`Mapping[str, Any]`):
                [`Linker.setup`] of the linker that is to use it. Only its knowledge base may be another one.

        Raises:
            `ValueError`: more than the knowledge base differs; every difference is named.
        """
        moved = self.setup | {"knowledge_base": setup.get("knowledge_base")}
        replace(self, setup=moved).check(setup)
        return self if moved == self.setup else replace(self, setup=moved, kind="transferred", sets=None)

    def growth(self, num_entities: int) -> str | None:
        """Reason why an index of so many entities needs another calibration; `None` where it does not."""
        before = self.fitted_on.get("entities")
        if not before or not num_entities or before / SOME_GROWTH <= num_entities <= before * SOME_GROWTH:
            return None
        return (
            f"the calibration was fitted with {before:,} entities, and the index has {num_entities:,} now: its "
            "probabilities, NIL above all, may be wrong. Fit it again with `hf-mel calibrate`"
        )

    def with_nil_rate(self, nil_rate: float) -> "Calibration":
        """
        The same for mentions of which another share is NIL, as it is fitted where a share was made up.

        By Bayes' rule: what NIL mentions look like stays the same, and there are more or fewer of them. The threshold, which
        is one for probabilities, stays. Prediction sets are left behind: their guarantee is for the share they were made
        with.

        Args:
            nil_rate (`float`):
                Share of the mentions whose entity the knowledge base does not have, from 0 and below 1.

        Raises:
            `ValueError`: such a share is none, or `fitted_on` does not say how many were NIL.

        Example:

        ```python
        >>> import numpy as np
        >>> from hf_mel.linking import Calibration

        >>> counts = {"observations": 1000, "nil": 200, "not_retrieved": 8}
        >>> fitted = Calibration(0.1, 0.3, 0.5, num_candidates=2, fitted_on=counts)
        >>> [float(c.probabilities(np.array([[0.3, 0.1]]))[1][0].round(3)) for c in (fitted, fitted.with_nil_rate(0.02))]
        [0.468, 0.093]
        ```
        """
        if not 0 <= nil_rate < 1:
            raise ValueError(f"nil_rate is a share from 0 and below 1, got {nil_rate}")
        missing = [name for name in ("observations", "nil", "not_retrieved") if name not in self.fitted_on]
        if missing:
            raise ValueError(f"`fitted_on` of the calibration has no {missing[0]!r}, so its share of NIL is not known")
        number, nil, missed = (self.fitted_on[name] for name in ("observations", "nil", "not_retrieved"))
        # Beside NIL proper, "none of the candidates" holds golds that were not retrieved: their share stays.
        none = nil_rate + (1 - nil_rate) * missed / max(number - nil, 1)
        odds = [_odds(none, number), _odds((nil + missed) / number, number)]
        shift = np.log(odds[0] / odds[1]) * self.temperature / self.nil_slope
        fitted_on = self.fitted_on | {"adjusted_to_nil_rate": nil_rate}
        return replace(self, nil_score=float(self.nil_score + shift), fitted_on=fitted_on, sets=None)

    # ---- Files ----

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """
        The inverse of `to_dict`.

        Raises:
            `ValueError`: an unknown or missing field, or a value that cannot be; all are listed.
        """
        problems = Problems("calibration", _CURE)
        known = {each.name for each in fields(cls)}
        for name in sorted(set(values) - known):
            problems.add(f"`{name}`", f"is unknown{nearest(name, known)}")
        for name in ("temperature", "nil_score", "threshold", "num_candidates"):
            if name not in values:
                problems.add(f"`{name}`", "is missing")
        sets = values.get("sets")
        if isinstance(sets, Mapping):
            try:
                sets = ConformalScores(**sets)
            except (TypeError, ValueError) as error:
                problems.add("`sets`", str(error))
        problems.raise_if_any()
        return cls(**{**values, "sets": sets})

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """
        Writes `calibration.json` into a folder: that of the index it was fitted for, or of the checkpoint where the entities
        are in no folder of their own. [`Linker.from_pretrained`] looks into both.

        Args:
            folder (`str` or `os.PathLike`):
                The folder, which must exist.
            overwrite (`bool`, *optional*, defaults to `False`):
                Also replace a calibration of another set-up, such as another knowledge base. One of the same set-up is
                replaced in any case, and the log says so.

        Returns:
            `Path`: the file. One that stands there is replaced whole or not at all.

        Raises:
            `FileNotFoundError`: there is no such folder.
            `FileExistsError`: it holds a calibration of another set-up.
        """
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder {folder} to save the calibration in")
        path = Path(folder) / CALIBRATION_FILE
        if not overwrite:
            check_replaceable(folder, self.setup)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
        return path

    @classmethod
    def load(cls, source: str | os.PathLike, **hub) -> "Calibration | None":
        """
        Reads what `save` wrote.

        Args:
            source (`str` or `os.PathLike`):
                A folder, or the Hub id of a model.
            hub:
                For a Hub id: `revision`, `token`, `cache_dir`, `local_files_only` and `repo_type` of
                [`~huggingface_hub.hf_hub_download`].

        Returns:
            [`Calibration`], or `None` if there is none.

        Raises:
            `ValueError`: the file is no calibration; it is named.
        """
        path = Path(source) / CALIBRATION_FILE
        if not path.parent.is_dir():
            try:
                path = Path(hf_hub_download(str(source), CALIBRATION_FILE, **hub))
            except LocalEntryNotFoundError:
                logger.warning(
                    f"{CALIBRATION_FILE} of {source} is not in the cache, and the Hub could not be asked whether there is one: "
                    "linking goes on without it"
                )
                return None
            except EntryNotFoundError:
                return None
        elif not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"must hold an object, not {values!r:.40}")
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def check_replaceable(folder: str | os.PathLike, setup: Mapping[str, Any]) -> None:
    """
    Raises a `FileExistsError` if a folder holds a calibration of another set-up, which would be lost.

    Args:
        folder (`str` or `os.PathLike`): Where a calibration is to be saved.
        setup (`Mapping[str, Any]`): The set-up of that calibration.
    """
    path = Path(folder) / CALIBRATION_FILE
    if not path.is_file():
        return
    try:
        Calibration.load(folder).check(setup)
    except ValueError as error:
        raise FileExistsError(
            f"{path} holds a calibration that would be lost: {error}. Save elsewhere, or replace it with "
            "`overwrite=True`"
        ) from error


def _odds(share: float, number: int) -> float:
    """Odds of a share, none so small or large that so many mentions could not tell it from the end."""
    share = min(max(share, 1 / (number + 2)), 1 - 1 / (number + 2))
    return share / (1 - share)


def _short(value: Any) -> Any:
    """Enough of a fingerprint to tell it by."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else value
