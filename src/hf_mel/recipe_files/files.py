"""The files of recipes: YAML, with `extends`, which merges several files into one, and changes on top."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .keys import place_of
from .shipped import find_recipe


EXTENDS = "extends"
BROUGHT_BY_A_CHECKPOINT = ("text", "vision", "config", "tokenizer", "image_size", "processor")
"""Keys of `model` that say how a new model is made."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 where 1.1, which is PyYAML's, surprises: `1e-3` is a number, and `no`, as in `save_strategy: no`, is text."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    letter: [resolver for resolver in resolvers if resolver[0] != _BOOL]
    for letter, resolvers in _Loader.yaml_implicit_resolvers.items()
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
        """
        Takes over the values of a file: mappings key by key, of everything else the later one. A `model.checkpoint` brings its
        own towers, configuration and processor: what the files before it say of those is gone.
        """
        model = values.get("model")
        if isinstance(model, dict) and model.get("checkpoint") is not None:
            self._forget_new_model()
        _merge(self.content, values, (), file, self.origins)

    def change_all(self, changes: Mapping[str, Any]) -> None:
        """Sets the keys of flags, in any order; a checkpoint among them counts as in [`~MergedRecipe.merge`]."""
        if any(place_of(flag) == ("model", "checkpoint") and value is not None for flag, value in changes.items()):
            self._forget_new_model()
        for flag, value in changes.items():
            self.change(flag, value)

    def _forget_new_model(self) -> None:
        model = self.content.get("model")
        # Beside another checkpoint, they change that one: they stay for its successor.
        if isinstance(model, dict) and model.get("checkpoint") is None:
            self.content["model"] = {key: model[key] for key in model if key not in BROUGHT_BY_A_CHECKPOINT}

    def change(self, flag: str, value: Any) -> None:
        """
        Sets the key of a flag, such as `learning_rate` or `model.config.fusion`; keys of the training have no section in
        front of them.

        Raises:
            `ValueError`: a part of the flag holds a value that is no mapping.
        """
        names = place_of(flag)
        place = self.content
        for depth, name in enumerate(names[:-1], start=1):
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
            if not isinstance(place, dict):
                raise ValueError(f"--{flag}: {'.'.join(names[:depth])} is {place!r}, which has no keys")
        place[names[-1]] = value
        self.origins.pop(names, None)


def yaml_value(text: str) -> Any:
    """
    A value as it would be read in a recipe.

    Raises:
        `ValueError`: the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not YAML: {' '.join(str(error).split())}") from error


def read_recipe_files(source: str | Path) -> MergedRecipe:
    """
    Reads a recipe and all files that it extends.

    `extends` is a name or a list of names: files, relative to the folder of the file that extends them, or recipes of the
    package, by their bare names. Extended files come first, in the order of the list, then the file's own keys: mappings are
    merged key by key, of everything else the later value counts, `null` included.

    Args:
        source (`str` or `Path`):
            A file, or the name of a recipe of the package.

    Raises:
        `FileNotFoundError`: there is no such file, or none of those that are extended; the message names both.
        `ValueError`: a file is no YAML mapping, `extends` names no files, or a file extends itself.
    """
    merged = MergedRecipe()
    _read_into(merged, find_recipe(source), ())
    return merged


def _read_into(merged: MergedRecipe, path: Path, extending: tuple[Path, ...]) -> None:
    """`extending`: the files on the way here."""
    content = _mapping(path)
    for name in _extended(content.pop(EXTENDS, None), path):
        target = path.parent / name
        if not target.is_file():
            target = _shipped(name, path)
        way = (*extending, path, target)
        if target.resolve() in {each.resolve() for each in way[:-1]}:
            raise ValueError(f"a recipe cannot extend itself: {' extends '.join(map(str, way))}")
        _read_into(merged, target, way[:-1])
    merged.merge(content, path)


def _shipped(name: str, path: Path) -> Path:
    """The recipe of the package that a file extends."""
    if Path(name).suffix not in (".yaml", ".yml") and len(Path(name).parts) == 1:
        try:
            return find_recipe(name)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path} extends {name}, but {error}") from None
    raise FileNotFoundError(f"{path} extends {name}, but there is no file {path.parent / name}")


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
