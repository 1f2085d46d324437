"""Recipe files: the recipes of the package, YAML files that extend each other, and the keys they may have. No torch."""

from .checks import Problem, content_problems, nearest_name, raise_problems
from .files import EXTENDS, MergedRecipe, read_recipe_files, yaml_value
from .keys import SECTIONS, Key, KeyTable, place_of, shown_key
from .shipped import RecipeSummary, find_recipe, recipe_names, summarize, title_of


__all__ = [
    "EXTENDS",
    "SECTIONS",
    "Key",
    "KeyTable",
    "MergedRecipe",
    "Problem",
    "RecipeSummary",
    "content_problems",
    "find_recipe",
    "nearest_name",
    "place_of",
    "raise_problems",
    "read_recipe_files",
    "recipe_names",
    "shown_key",
    "summarize",
    "title_of",
    "yaml_value",
]
