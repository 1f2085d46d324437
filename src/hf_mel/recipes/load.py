"""Reading of recipes: from files, names and dictionaries, with all that is wrong with their keys in one error."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.adapter_targets import import_peft
from ..recipe_files import (
    EXTENDS,
    Problem,
    content_problems,
    nearest_name,
    raise_problems,
    read_recipe_files,
)
from .keys_from_code import recipe_keys
from .sections import DataRecipe, EvaluationRecipe, ModelRecipe, Recipe


def load_recipe(source: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """
    Reads a recipe.

    Args:
        source (`str` or `Path`):
            A YAML file, or the name of a recipe of the package (`hf-mel recipes` lists them). Its `extends`, a name or a
            list of names, are recipes that it extends: mappings are merged key by key, of everything else the later value
            counts, and its own come last.
        changes (`dict[str, Any]`, *optional*):
            Values that replace those of the recipe, by the flag of `hf-mel train` without dashes: `seed`,
            `model.config.fusion`.

    Raises:
        `FileNotFoundError`: no such recipe, or none of those that it extends.
        `ValueError`: no YAML mapping, a file that extends itself, or keys that are unknown or have a wrong value. All of them
            are listed, each with the nearest valid name and the file it is in.

    Example:

    ```py
    >>> recipe = load_recipe("miniature", {"num_train_epochs": 2, "model.config.fusion": "concat"})
    ```
    """
    merged = read_recipe_files(source)
    merged.change_all(changes or {})
    return recipe_from_dict(merged.content, str(source), merged.origins)


def recipe_from_dict(
    content: dict[str, Any], source: str = "recipe", origins: dict[tuple[str, ...], Path] | None = None
) -> Recipe:
    """
    A recipe from a nested dictionary.

    Args:
        content (`dict`):
            The sections. `extends` is for files: see [`load_recipe`].
        source (`str`, *optional*, defaults to `"recipe"`):
            Its name in messages.
        origins (`dict[tuple[str, ...], Path]`, *optional*):
            The file of each key, by its place, such as `("training", "seed")`: named in messages where it is not `source`.
    """
    if EXTENDS in content:
        raise ValueError(f"{source}: `{EXTENDS}` is for files: read them with `load_recipe`")
    problems = content_problems(content, recipe_keys()) + _lora_problems(content)
    raise_problems(problems, source, origins)
    sections = {name: dict(content.get(name) or {}) for name in ("data", "model", "evaluation", "training")}
    return Recipe(
        data=DataRecipe(**sections["data"]),
        model=ModelRecipe(**sections["model"]),
        evaluation=EvaluationRecipe(**sections["evaluation"]),
        training=sections["training"],
        given=copy.deepcopy({name: values for name, values in content.items() if values}),
    )


def _lora_problems(content: dict[str, Any]) -> list[Problem]:
    """Keys that the installed PEFT does not have: they are in no table."""
    model = content.get("model")
    lora = model.get("lora") if isinstance(model, dict) else None
    if not lora or not isinstance(lora, dict):
        return []
    known = [field.name for field in dataclasses.fields(import_peft().LoraConfig) if field.init]
    return [
        (("model", "lora", key), f"unknown key model.lora.{key}{nearest_name(key, known)}")
        for key in lora
        if key not in known
    ]
