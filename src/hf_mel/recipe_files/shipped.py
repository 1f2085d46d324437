"""The recipes that are part of the package: their names, what each is, and how a recipe is found."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import nearest_name


FOLDER = Path(__file__).with_name("shipped")
EMBEDDED_DATA = ("emojimel", "miniature")
"""Benchmarks that are part of the package; a test holds the names against `hf_mel.data`."""


def recipe_names() -> list[str]:
    """Names of the recipes of the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_recipe(source: str | Path) -> Path:
    """
    The file of a recipe.

    Args:
        source (`str` or `Path`): A file, or the name of a recipe of the package.

    Raises:
        `FileNotFoundError`: there is neither; the message has the nearest name.
    """
    path = Path(source)
    if path.is_file():
        return path
    name = str(source)
    if name in recipe_names():
        return FOLDER / f"{name}.yaml"
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        hint = f"; the package has one named {path.stem!r}" if path.stem in recipe_names() else ""
        raise FileNotFoundError(f"there is no recipe {source}{hint}")
    near = nearest_name(name, recipe_names(), rest=".")
    raise FileNotFoundError(f"there is no recipe {name!r}{near} `hf-mel recipes` lists those of the package")


def title_of(path: Path) -> list[str]:
    """The lines of the comment at the top of a recipe, without `#`."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


@dataclass(frozen=True)
class RecipeSummary:
    """
    A recipe in one line.

    Args:
        name (`str`): Its name.
        model (`str`): The model.
        data (`str`): The benchmark.
        towers (`str`): The pretrained towers, or the kinds of random ones.
        needs (`str`): What has to be there: a GPU, environment variables with the data, packages.
    """

    name: str
    model: str
    data: str
    towers: str
    needs: str


def summarize(path: Path, content: dict[str, Any]) -> RecipeSummary:
    """The summary of a recipe, from the comment at its top and its merged keys."""
    data, model = content.get("data") or {}, content.get("model") or {}
    name = (content.get("evaluation") or {}).get("model_name") or str(model.get("type", "pgmel")).upper()
    benchmark = data.get("benchmark", EMBEDDED_DATA[0])
    needs = ["GPU"] if "for a GPU" in " ".join(title_of(path)[:2]) else []
    needs += sorted(set(re.findall(r"\$\{?(\w+)", str([data, model.get("text"), model.get("tokenizer")]))))
    needs += ["hf-mel[peft]"] if model.get("lora") is not None else []
    if benchmark is None:
        benchmark = "own data"
        needs.append("data.path")
    elif benchmark not in EMBEDDED_DATA and not data.get("raw_dir"):
        needs.append("data")
    return RecipeSummary(path.stem, name, str(benchmark), _towers(model), ", ".join(needs) or "-")


def _towers(model: dict[str, Any]) -> str:
    config = model.get("config") or {}
    if model.get("checkpoint") is not None:
        return f"of {model['checkpoint']}{' (trained)' if config.get('freeze_text') is False else ''}"
    if model.get("text") is not None:
        names = [str(model["text"]).rsplit("/", 1)[-1]]
        if isinstance(model.get("vision"), str):
            names.append(model["vision"].rsplit("/", 1)[-1])
        kept = "LoRA" if model.get("lora") is not None else "frozen" if config.get("freeze_text") else "trained"
        only = ", text only" if model.get("vision") is False else ""
        return f"{' + '.join(names)} ({kept}{only})"
    kinds = [(config.get(f"{part}_config") or {}).get("model_type") for part in ("text", "vision", "tower")]
    return f"{' + '.join(kind for kind in kinds if kind)} (random)"
