"""Checks of a recipe's keys and values against the table of keys, before anything is loaded."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .keys import LAYOUT, SECTIONS, Key, KeyTable


Problem = tuple[tuple[str, ...], str]
"""The place of a key, and what is wrong with it."""

DEFAULT_TYPE = "pgmel"
DEFAULT_BENCHMARK = "emojimel"


def content_problems(content: dict[str, Any], table: KeyTable) -> list[Problem]:
    """
    Everything that is wrong with the keys of a recipe: unknown ones, with the nearest valid name, and values of a wrong
    type or none of the choices.

    Args:
        content (`dict`): The sections.
        table ([`KeyTable`]): The keys that there are.
    """
    problems: list[Problem] = []
    for section, values in content.items():
        if section not in SECTIONS:
            problems.append(((section,), f"unknown section {section!r}{nearest_name(section, SECTIONS)}"))
        elif values is not None and not isinstance(values, dict):
            problems.append(((section,), f"section {section!r} must be a mapping, got {values!r}"))
        else:
            problems += _group_problems((section,), values or {}, table.groups[section])
    data, model = (content.get(name) for name in ("data", "model"))
    if isinstance(model, dict):
        problems += _model_problems(model, table)
    if isinstance(data, dict):
        problems += _options_problems(data, table)
    return problems


def _model_problems(model: dict[str, Any], table: KeyTable) -> list[Problem]:
    configs = table.variants("model.config")
    fields = configs.get(model.get("type", DEFAULT_TYPE))
    problems = _inner_problems(("model", "processor"), model.get("processor"), table.groups["model.processor"])
    return problems if fields is None else _inner_problems(("model", "config"), model.get("config"), fields) + problems


def _options_problems(data: dict[str, Any], table: KeyTable) -> list[Problem]:
    if data.get("path") is not None or data.get("repo_id") is not None:  # then they are those of `load_dataset`
        return []
    options = table.variants("data.options")
    benchmark = LAYOUT if data.get("raw_dir") is not None else data.get("benchmark", DEFAULT_BENCHMARK)
    known = options.get(benchmark, options[LAYOUT]) if isinstance(benchmark, str) else options[LAYOUT]
    return _inner_problems(("data", "options"), data.get("options"), known)


def _inner_problems(place: tuple[str, ...], values: Any, keys: list[Key]) -> list[Problem]:
    return _group_problems(place, values, keys) if isinstance(values, dict) else []  # else its own key says so


def _group_problems(place: tuple[str, ...], values: dict[str, Any], keys: list[Key]) -> list[Problem]:
    section, known = ".".join(place), {key.name: key for key in keys}
    problems: list[Problem] = []
    for name, value in values.items():
        here = (*place, name)
        key = known.get(name)
        if key is None:
            problems.append((here, f"unknown key {section}.{name}{nearest_name(name, known)}"))
        elif wrong := key.problem(value):
            problems.append((here, f"{section}.{name} {wrong}"))
        elif key.choices is not None and isinstance(value, str) and value not in key.choices:
            problems.append((here, f"{section}.{name} is {value!r}{nearest_name(value, key.choices)}"))
    return problems


def nearest_name(name: Any, known, rest: str = "; known are {}") -> str:
    """`", did you mean 'x'?"` for the nearest valid name; where none is near, `rest` with all of them."""
    names = [str(each) for each in known]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f", did you mean {near[0]!r}?" if near else rest.format(", ".join(sorted(names)))


def raise_problems(
    problems: list[Problem], source: str, origins: Mapping[tuple[str, ...], Path] | None = None
) -> None:
    """
    Raises:
        `ValueError`: there are problems; each names the file of its key where that is not `source`.
    """
    if problems:
        files = {place: str(file) for place, file in (origins or {}).items()}
        lines = [
            line if files.get(place, source) == source else f"{line} (in {files[place]})" for place, line in problems
        ]
        raise ValueError(f"{source}: " + "; ".join(lines))
