"""The result of an evaluation with its protocol, data and environment, as strict JSON. Every published number has one."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .environment import Environment
from .groups import Group
from .intervals import Interval


SCHEMA_VERSION = 1
PROTOCOLS = ("full-kb", "candidate-k", "candidate-k, gold added")


@dataclass(frozen=True)
class Protocol:
    """
    Ranking protocol. Numbers under different protocols cannot be compared.

    Args:
        kind (`str`): "full-kb", "candidate-k" or "candidate-k, gold added".
        kb_size (`int`): Entities in the knowledge base.
        kb_text_field (`str`): Text of the entities that the model read, "attributes" or "description".
        num_mentions (`int`): Mentions ranked.
        num_nil (`int`): Mentions left out because their gold is NIL.
        tie_rule (`str`, *optional*, defaults to "mean rank"): How ties are ranked.
        tie_tolerance (`float`, *optional*, defaults to 1e-6): Difference up to which scores tie.
        retriever (`str`, *optional*): What gave the candidates; needed by the two candidate protocols.
        num_candidates (`int`, *optional*): Candidates for each mention; needed by the two candidate protocols.

    Example:

    ```python
    >>> from hf_mel.evaluation import Protocol

    >>> protocol = Protocol("full-kb", kb_size=18880, kb_text_field="attributes", num_mentions=5131, num_nil=0)
    >>> protocol.describe()
    'full KB of 18,880 entities (text: attributes), 5,131 mentions ranked, 0 NIL left out, ties: mean rank'
    ```
    """

    kind: str
    kb_size: int
    kb_text_field: str
    num_mentions: int
    num_nil: int
    tie_rule: str = "mean rank"
    tie_tolerance: float = 1e-6
    retriever: str | None = None
    num_candidates: int | None = None

    def __post_init__(self):
        if self.kind not in PROTOCOLS:
            raise ValueError(f"protocol.kind must be one of {', '.join(map(repr, PROTOCOLS))}, got {self.kind!r}")
        named = bool(self.retriever) and self.num_candidates is not None
        if self.kind == "full-kb" and (self.retriever is not None or self.num_candidates is not None):
            raise ValueError(
                "protocol.retriever and protocol.num_candidates belong to a candidate protocol, not to full-kb"
            )
        if self.kind != "full-kb" and not named:
            raise ValueError(
                f"protocol {self.kind!r} needs retriever and num_candidates: its numbers mean nothing without"
            )

    def describe(self) -> str:
        """One line, to stand under a table."""
        how = f"full KB of {self.kb_size:,} entities"
        if self.kind != "full-kb":
            added = (
                ", missed golds added (optimistic)"
                if self.kind.endswith("gold added")
                else ", missed golds count as wrong"
            )
            how = f"{self.num_candidates} candidates from {self.retriever} of {self.kb_size:,} entities{added}"
        return (
            f"{how} (text: {self.kb_text_field}), {self.num_mentions:,} mentions ranked, {self.num_nil:,} NIL left out, "
            f"ties: {self.tie_rule}"
        )


@dataclass(frozen=True)
class EvaluationResult:
    """
    A measured result, with what is needed to judge and repeat it. Ranks are kept beside it, see [`save_ranks`].

    Args:
        model_name (`str`): The model, as a table names it.
        dataset (`str`): Benchmark and split of the mentions, such as "WikiMEL (GHMFC), test".
        metrics (`dict`): From [`ranking_metrics`] or [`candidate_metrics`]; for several seeds the mean over them.
        protocol ([`Protocol`]): How mentions were ranked.
        data_fingerprint (`str`): Of the mentions and the knowledge base together.
        seeds (`list[int]`): Seeds of the runs; empty where nothing was drawn, as for a model used untrained.
        command (`str`): The command that gives the result again.
        date (`str`): ISO date of the measurement.
        environment ([`Environment`]): What it was measured with.
        seen (`dict`, *optional*): Metrics of mentions whose gold entity occurs in training.
        unseen (`dict`, *optional*): Metrics of the other mentions.
        leaked (`dict`, *optional*): Metrics of mentions whose caption, by its words, also occurs in training; only where
            there are any.
        without_leaked (`dict`, *optional*): Metrics of the other mentions.
        intervals (`dict[str, Interval]`, *optional*): From [`bootstrap_intervals`], by metric.
        extra (`dict`, *optional*): More that a table may show, such as seconds for an epoch.
        ranks_file (`str`, *optional*): File of the ranks, relative to the JSON file.
        groups (`dict[str, list[Group]]`, *optional*): From [`group_hits`]: by what the mentions are told apart.
        model_fingerprint (`str`, *optional*): Of the weights that were measured: a folder may since hold others.
        schema_version (`int`, *optional*): Version of this schema.

    Raises:
        ValueError: a value of a wrong type, or a number that JSON does not know (NaN, infinity); the field is named.

    Example:

    ```python
    >>> from hf_mel.evaluation import Environment, EvaluationResult, Protocol, ranking_metrics

    >>> result = EvaluationResult(
    ...     model_name="PGMEL",
    ...     dataset="miniature, test",
    ...     metrics=ranking_metrics([1, 2]),
    ...     protocol=Protocol("full-kb", kb_size=30, kb_text_field="description", num_mentions=2, num_nil=0),
    ...     data_fingerprint="0f3a",
    ...     seeds=[0],
    ...     command="hf-mel evaluate",
    ...     date="2025-11-20",
    ...     environment=Environment.collect(),
    ... )
    >>> result.metrics["hits@1"]
    0.5
    ```
    """

    model_name: str
    dataset: str
    metrics: dict[str, Any]
    protocol: Protocol
    data_fingerprint: str
    seeds: list[int]
    command: str
    date: str
    environment: Environment
    seen: dict[str, Any] | None = None
    unseen: dict[str, Any] | None = None
    leaked: dict[str, Any] | None = None
    without_leaked: dict[str, Any] | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    ranks_file: str | None = None
    groups: dict[str, list[Group]] = field(default_factory=dict)
    model_fingerprint: str | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self):
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"schema_version is {self.schema_version!r}, but this version reads and writes {SCHEMA_VERSION}"
            )
        values = self.to_dict()
        _check_value(values, "")
        _checked_fields(type(self), values, "")
        if any(not isinstance(seed, int) for seed in self.seeds):
            raise ValueError(f"seeds must be integers, got {self.seeds!r}")
        try:
            datetime.fromisoformat(self.date)
        except (TypeError, ValueError) as error:
            raise ValueError(f"date must be an ISO date such as 2025-11-20, got {self.date!r}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return asdict(self)

    def save(self, path: str | Path) -> Path:
        """Write as JSON; a file that stands there is replaced whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        unfinished = path.with_name(path.name + ".tmp")
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
        return path

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EvaluationResult":
        """
        The inverse of `to_dict`.

        Raises:
            ValueError: a missing or unknown field, or a value of a wrong type; the field is named.
        """
        if values.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise ValueError(
                f"schema_version is {values['schema_version']!r}, but this version reads {SCHEMA_VERSION}"
            )
        values = _checked_fields(cls, values, "")
        values["protocol"] = Protocol(**_checked_fields(Protocol, values["protocol"], "protocol."))
        values["environment"] = Environment(**_checked_fields(Environment, values["environment"], "environment."))
        values["intervals"] = {
            metric: Interval(**_checked_fields(Interval, interval, f"intervals.{metric}."))
            for metric, interval in values.get("intervals", {}).items()
        }
        values["groups"] = {name: _groups(found, f"groups.{name}") for name, found in values.get("groups", {}).items()}
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> "EvaluationResult":
        """
        Read from JSON.

        Raises:
            ValueError: no JSON, or a missing or unknown field, or a value of a wrong type; file and field are named.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse_constant)
            if not isinstance(values, dict):
                raise ValueError("a result is a JSON object")
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def save_ranks(path: str | Path, ranks: np.ndarray, mention_ids: Sequence[str] | None = None) -> Path:
    """
    Keep the ranks of one run, or of several seeds, so that a later run can be compared mention by mention.

    Args:
        path (`str` or `Path`): A file that ends in `.npz`.
        ranks (array of shape `(num_mentions,)` or `(num_seeds, num_mentions)`): Ranks from 1; `inf` is kept.
        mention_ids (sequence of `str`, *optional*): Id of each mention, in the order of the ranks.

    Returns:
        `Path` of the file.

    Example:

    ```python
    >>> import tempfile
    >>> from hf_mel.evaluation import load_ranks, save_ranks

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_ranks(save_ranks(f"{folder}/test.npz", [1.0, 2.5], mention_ids=["m0", "m1"]))
    (array([1. , 2.5]), ['m0', 'm1'])
    ```
    """
    path, ranks = Path(path), np.asarray(ranks, dtype=np.float64)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: ranks are kept in a file that ends in .npz")
    arrays = {"ranks": ranks}
    if mention_ids is not None:
        if len(mention_ids) != ranks.shape[-1]:
            raise ValueError(f"{path}: {len(mention_ids)} mention ids for {ranks.shape[-1]} ranks")
        arrays["mention_ids"] = np.asarray(list(mention_ids), dtype=np.str_)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def load_ranks(path: str | Path) -> tuple[np.ndarray, list[str] | None]:
    """
    The ranks that [`save_ranks`] kept, and the mention ids where they were kept.

    Raises:
        ValueError: the file holds no ranks.
    """
    # Without pickle: a file from a stranger is then no more than numbers.
    with np.load(path, allow_pickle=False) as arrays:
        if "ranks" not in arrays:
            raise ValueError(f"{path}: no array named 'ranks', only {sorted(arrays.files)}; write it with save_ranks")
        ids = arrays["mention_ids"].tolist() if "mention_ids" in arrays else None
        return arrays["ranks"], ids


# What a JSON value may be for each annotation that occurs above.
_TYPES: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    str | None: (str, type(None)),
    int | None: (int, type(None)),
    float | None: (int, float, type(None)),
    list[int]: (list,),
    dict[str, str]: (dict,),
    dict[str, Any]: (dict,),
    dict[str, Any] | None: (dict, type(None)),
    dict[str, Interval]: (dict,),
    dict[str, list[Group]]: (dict,),
    Interval: (dict,),
    Protocol: (dict,),
    Environment: (dict,),
}


def _checked_fields(cls: type, values: Any, prefix: str) -> dict[str, Any]:
    """`values` as a dict, with every field of `cls` that has no default, no other, and each of its type."""
    if not isinstance(values, Mapping):
        raise ValueError(f"field {prefix.rstrip('.')!r} must be a JSON object, got {values!r}")
    known = {item.name: item for item in fields(cls)}
    unknown = [prefix + name for name in values if name not in known]
    if unknown:
        raise ValueError(f"unknown fields {unknown}; the fields are {sorted(known)}")
    needed = [item.name for item in known.values() if item.default is MISSING and item.default_factory is MISSING]
    missing = [prefix + name for name in needed if name not in values]
    if missing:
        raise ValueError(f"missing fields {missing}; measure again, or add what is known of the run")
    for name, value in values.items():
        allowed = _TYPES[known[name].type]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
            raise ValueError(f"field {prefix + name!r} must be {expected}, got {value!r}")
    return dict(values)


def _groups(values: Any, name: str) -> list[Group]:
    if not isinstance(values, list):
        raise ValueError(f"field {name!r} must be list, got {values!r}")
    found = []
    for place, each in enumerate(values):
        each = _checked_fields(Group, each, f"{name}[{place}].")
        interval = Interval(**_checked_fields(Interval, each["interval"], f"{name}[{place}].interval."))
        found.append(Group(**each | {"interval": interval}))
    return found


def _check_value(value: Any, name: str) -> None:
    """A ValueError that names the first value which strict JSON cannot hold."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the keys of {name!r} must be strings, got {key!r}")
            _check_value(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_value(item, f"{name}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"field {name!r} is {value}, which JSON does not know; leave it out")
    elif not isinstance(value, (str, int, float, type(None))):
        raise ValueError(
            f"field {name!r} must be text, a number or null, got {type(value).__name__}; convert it first"
        )


def refuse_constant(name: str) -> None:
    """For `json.loads`: NaN and infinity are refused."""
    raise ValueError(f"{name} is not strict JSON")
