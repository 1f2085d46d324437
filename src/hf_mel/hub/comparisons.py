"""Results of other runs on the same data, to stand beside those of a checkpoint: ablations and baselines."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..data.problems import Problems
from ..evaluation import RESULTS_FILE, EvaluationResult, load_ranks, load_results, paired_comparison
from .run_folder import (
    COMPARISONS_FILE,
    is_operational,
    read_json,
    read_recipe,
    readable_result,
)


METRICS = ("hits@1", "mrr")
_LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """
    A metric of the checkpoint minus that of the other run.

    Args:
        difference (`float`): The difference.
        low (`float`, *optional*), high (`float`, *optional*): Ends of its 95 % interval, by the paired bootstrap over
            mentions; `None` where one of the two kept no ranks.
    """

    difference: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """
    Another run's result on the same data.

    Args:
        changes (`list[str]`): In what its recipe differs, as `training.negatives: pg -> topk`.
        split (`str`): The split.
        result ([`EvaluationResult`]): The other run's.
        differences (`dict[str, Difference]`): By metric.
        own_metrics (`dict`): Those of the checkpoint when they were compared.
    """

    changes: list[str]
    split: str
    result: EvaluationResult
    differences: dict[str, Difference] = field(default_factory=dict)
    own_metrics: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        differences = {name: vars(each) for name, each in self.differences.items()}
        return vars(self) | {"result": self.result.to_dict(), "differences": differences}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Comparison":
        """The inverse of `to_dict`."""
        names = {each.name for each in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"a comparison has the fields {', '.join(sorted(names))}")
        try:
            differences = {name: Difference(**each) for name, each in values["differences"].items()}
        except (AttributeError, TypeError) as error:
            raise ValueError(f"`differences` must hold `difference`, `low` and `high` by metric: {error}") from error
        return cls(**values | {"result": EvaluationResult.from_dict(values["result"]), "differences": differences})


def compare(folder: str | Path, others: Iterable[str | Path]) -> list[Comparison]:
    """
    Puts the results of other runs beside those of a checkpoint, for its card. They are kept in `comparisons.json` in its
    folder, where they replace those of an earlier call, so that the card can be rendered again from the folder alone.

    Args:
        folder (`str` or `Path`):
            The checkpoint.
        others (`Iterable[str | Path]`):
            Folders of other runs, or their `eval_results.json`.

    Raises:
        `FileNotFoundError`: one of the places has no results.
        `ValueError`: a result is on other data or under another protocol; all are listed, with what differs.

    Example:

    ```py
    >>> compare("runs/emojimel", ["runs/text-only", "runs/bm25"])
    >>> write_model_card("runs/emojimel")
    ```
    """
    folder = Path(folder)
    own = load_results(folder)
    if not own:
        raise FileNotFoundError(f"{folder} has no {RESULTS_FILE}: there is nothing to compare with")
    problems = Problems(
        str(folder), "Only results on the same data, under the same protocol, stand beside each other."
    )
    found = []
    for other in map(Path, others):
        place = other if other.is_dir() else other.parent
        theirs = load_results(other)
        if not theirs:
            raise FileNotFoundError(f"{other} has no results: name a run's folder, or its {RESULTS_FILE}")
        common = [split for split in own if split in theirs]
        if not common:
            problems.add(str(other), f"has results of {', '.join(theirs)}, not of {', '.join(own)}")
        for split in common:
            wrong = _what_differs(own[split], theirs[split])
            if wrong:
                problems.add(f"{other}, {split}", "; ".join(wrong))
            else:
                found.append(_compared(folder, own[split], place, theirs[split], split))
    problems.raise_if_any()
    text = json.dumps([each.to_dict() for each in found], indent=2, ensure_ascii=False, allow_nan=False)
    unfinished = folder / f"{COMPARISONS_FILE}.{os.getpid()}.tmp"
    unfinished.write_text(text + "\n", encoding="utf-8")
    os.replace(unfinished, folder / COMPARISONS_FILE)
    return found


def load_comparisons(folder: str | Path) -> list[Comparison]:
    """
    Loads the comparisons that [`compare`] stored, if the results of the folder are still those that were compared.

    Raises:
        `ValueError`: the file is damaged.
    """
    path = Path(folder) / COMPARISONS_FILE
    values = read_json(path, list)
    try:
        found = [Comparison.from_dict(each) for each in values]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    own = load_results(folder)
    return [each for each in found if each.split in own and own[each.split].metrics == each.own_metrics]


def _what_differs(own: EvaluationResult, other: EvaluationResult) -> list[str]:
    found = []
    if own.data_fingerprint != other.data_fingerprint:
        found.append(
            f"other data: {other.dataset!r} with the fingerprint {other.data_fingerprint[:12]}, here {own.dataset!r} with "
            f"{own.data_fingerprint[:12]}"
        )
    for each in fields(own.protocol):
        values = [getattr(result.protocol, each.name) for result in (other, own)]
        if values[0] != values[1]:
            found.append(f"protocol.{each.name} is {values[0]!r}, here {values[1]!r}")
    return found


def _compared(folder: Path, own: EvaluationResult, place: Path, other: EvaluationResult, split: str) -> Comparison:
    ranks = [_ranks(where, result) for where, result in ((folder, own), (place, other))]
    shared = [name for name in METRICS if name in own.metrics and name in other.metrics]
    if any(each is None for each in ranks):
        differences = {name: Difference(own.metrics[name] - other.metrics[name]) for name in shared}
    else:
        paired = paired_comparison(*ranks, shared, level=_LEVEL)
        differences = {name: Difference(each.difference, each.low, each.high) for name, each in paired.items()}
    changes = changed_keys(read_recipe(folder), read_recipe(place))
    return Comparison(changes, split, readable_result(other), differences, dict(own.metrics))


def _ranks(folder: Path, result: EvaluationResult):
    """Only a file beside the result: a path that leads elsewhere is not this run's."""
    path = folder / Path(result.ranks_file or "").name
    if result.ranks_file is None or not path.is_file():
        return None
    ranks, _ = load_ranks(path)
    if ranks.shape[-1] != result.protocol.num_mentions:
        raise ValueError(
            f"{path} has {ranks.shape[-1]} ranks, but its result is of {result.protocol.num_mentions} mentions"
        )
    return ranks


# ---- Recipes ----


def changed_keys(own: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """
    In what another recipe differs, as `section.key: here -> there`. What a run is called and where it is kept is no
    difference. Empty where one of the two has no recipe.
    """
    if not own or not other:
        return []
    sections = [name for name in dict.fromkeys([*own, *other]) if name != "evaluation"]
    return [line for name in sections for line in _changes(own.get(name, {}), other.get(name, {}), name)]


def _changes(own: Any, other: Any, key: str) -> list[str]:
    if isinstance(own, dict) and isinstance(other, dict):
        names = dict.fromkeys([*own, *other])
        return [
            line
            for name in names
            if not (key == "training" and is_operational(name))
            for line in _changes(own.get(name, _Missing), other.get(name, _Missing), f"{key}.{name}")
        ]
    return [] if own == other else [f"{key}: {_shown(own)} -> {_shown(other)}"]


class _Missing:
    """A key that was not given."""


def _shown(value: Any) -> str:
    if value is _Missing:
        return "default"
    if isinstance(value, dict):  # a tower: its kind says more than all its sizes
        return str(value.get("model_type", json.dumps(value)))
    return "none" if value is None else str(value)
