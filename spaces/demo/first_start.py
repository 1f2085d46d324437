"""What the Space links with where nobody named a model: a small one, trained once and kept."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hf_mel import EntityIndex, Linker, __version__, calibrate
from hf_mel.checkpoint import load_checkpoint
from hf_mel.recipe_files import find_recipe


RECIPE = find_recipe("emojimel")
MODEL, INDEX = "model", "index"


@dataclass(frozen=True)
class Trained:
    """
    Where the small model lies.

    Args:
        model (`Path`): Folder of the checkpoint.
        index (`Path`): Folder of the index of its entities, with the calibration for them.
    """

    model: Path
    index: Path


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where it is kept: `HF_MEL_SPACE_CACHE`, or a folder in the user's cache."""
    if environ.get("HF_MEL_SPACE_CACHE"):
        return Path(environ["HF_MEL_SPACE_CACHE"])
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_mel" / "space"


def trained(cache: Path, recipe: Path = RECIPE) -> Trained:
    """
    The small model, trained now if it is not in the cache. A start that is interrupted leaves nothing that a later one would
    take for a model; of two that start at once, the second waits.

    Args:
        cache (`Path`): Folder in which it is kept, for each recipe and version of the package apart.
        recipe (`Path`, *optional*): The recipe.
    """
    key = hashlib.sha256(recipe.read_bytes() + __version__.encode()).hexdigest()[:12]
    folder = cache / key
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{key}.lock"):
        if folder.is_dir():
            _say(f"Using the small model in {folder}.")
        else:
            _say(
                f"HF_MEL_MODEL names no model: training a small one with the recipe {recipe.stem}. This takes a minute or two on two "
                f"cores, once; it is kept in {folder}."
            )
            unfinished = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=cache))
            try:
                _train(unfinished, recipe)
                os.replace(unfinished, folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            _say("Trained.")
    return Trained(folder / MODEL, folder / INDEX)


def _train(folder: Path, recipe: Path) -> None:
    """Model, index and calibration: what `hf-mel train`, `index build` and `calibrate` write."""
    # Here, for it takes seconds to import, which are not needed to link.
    from hf_mel.recipes import load_recipe
    from hf_mel.runs import run_recipe

    model = folder / MODEL
    run = run_recipe(load_recipe(recipe, {"output_dir": str(model)}), "spaces/demo/app.py")
    shutil.rmtree(model / "generator", ignore_errors=True)
    for checkpoint in model.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    _say(f"Indexing {len(run.data.entities):,} entities.")
    parts = load_checkpoint(str(model))
    index = EntityIndex.build(*parts, run.data.entities, folder / INDEX, encode_dtype="float32")
    _say("Calibrating.")
    linker = Linker(*parts, index, calibration=None)
    calibrate(linker, run.data.mentions["validation"], data=run.data.report.get("name", "")).save(folder / INDEX)


def _say(line: str) -> None:
    """To the log of the Space, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
