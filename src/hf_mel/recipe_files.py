"""The files of recipes: YAML, with `extends`, which makes one file of several, and overrides on top."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


EXTENDS = "extends"


class _Loader(yaml.SafeLoader):
    """YAML 1.2 where 1.1, which is PyYAML's, surprises: `1e-3` is a number, and `no`, as in `save_strategy: no`, is text."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    letter: [resolver for resolver in resolvers if resolver[0] != _BOOL]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass
class MergedRecipe:
    """
    The keys of a recipe and of all that it extends.

    Args:
        content (`dict`):
            The keys, merged; without `extends`.
        origins (`dict[tuple[str, ...], Path]`):
            The file that each key was last set in, by its place, such as `("training", "seed")`; keys that were overridden are in
            no file.
    """

    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def merge(self, values: dict[str, Any], file: Path) -> None:
        """Takes over the values of a file: mappings key by key, of everything else the later one."""
        _merge(self.content, values, (), file, self.origins)

    def override(self, override: str) -> None:
        """Applies `section.key=value`, the value in YAML."""
        key, separator, value = override.partition("=")
        names = key.split(".")
        if not separator or len(names) < 2:
            raise ValueError(f"{override!r} is no override: write section.key=value, such as training.seed=1")
        place = self.content
        for name in names[:-1]:
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
            if not isinstance(place, dict):
                raise ValueError(f"{override!r} is no override: {name!r} holds {place!r}, no further keys")
        place[names[-1]] = yaml.load(value, Loader=_Loader)
        self.origins.pop(tuple(names), None)


def read_recipe_files(path: Path) -> MergedRecipe:
    """
    Reads a recipe with all that it extends.

    `extends` is the name of a file, or a list of names, relative to the folder of the file that says so. What is extended comes
    first, in the order of the list, then the file's own keys: mappings are merged key by key, of everything else the later value
    counts, `null` included.

    Args:
        path (`Path`):
            The recipe.

    Raises:
        `FileNotFoundError`: there is no such file, or none of those that are extended; the message names both.
        `ValueError`: a file is no YAML mapping, `extends` names no files, or a file extends itself.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}")
    merged = MergedRecipe()
    _read_into(merged, path, ())
    return merged


def _read_into(merged: MergedRecipe, path: Path, extending: tuple[Path, ...]) -> None:
    """`extending`: the files on the way here."""
    content = _mapping(path)
    for name in _extended(content.pop(EXTENDS, None), path):
        target = path.parent / name
        if not target.is_file():
            raise FileNotFoundError(f"{path} extends {name}, but there is no file {target}")
        way = (*extending, path, target)
        if target.resolve() in {each.resolve() for each in way[:-1]}:
            raise ValueError(f"a recipe cannot extend itself: {' extends '.join(map(str, way))}")
        _read_into(merged, target, way[:-1])
    merged.merge(content, path)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a recipe is a mapping with the sections data, model, training and evaluation")
    return content


def _extended(names: Any, path: Path) -> list[str]:
    names = [] if names is None else [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: `{EXTENDS}` is the name of a file or a list of names, got {names!r}")
    return names


def _merge(into: dict, values: dict, place: tuple[str, ...], file: Path, origins: dict) -> None:
    for key, value in values.items():
        here = (*place, key)
        origins[here] = file
        if isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(into[key], value, here, file, origins)
        else:
            into[key] = value
