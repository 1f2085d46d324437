"""Recipes: data, model, training and evaluation of a run, from a YAML file, a name or a dictionary."""

from .keys_from_code import keys_from_code, recipe_keys
from .load import load_recipe, recipe_from_dict
from .sections import DataRecipe, EvaluationRecipe, ModelRecipe, Recipe


__all__ = [
    "DataRecipe",
    "EvaluationRecipe",
    "ModelRecipe",
    "Recipe",
    "keys_from_code",
    "load_recipe",
    "recipe_from_dict",
    "recipe_keys",
]
