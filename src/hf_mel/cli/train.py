"""`hf-mel train RECIPE.yaml`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..hub import write_model_card
from ..recipes import load_recipe
from ..runs import run_recipe
from .options import command_line, parse
from .show import metrics_line


@dataclass
class TrainOptions:
    """Options of `hf-mel train`."""

    set: list[str] = field(
        default_factory=list, metadata={"help": "Change a key of the recipe: section.key=value. Several may follow."}
    )
    resume: bool = field(default=False, metadata={"help": "Go on from the last checkpoint in the output folder."})


def run(argv: list[str]) -> None:
    """Trains, evaluates, saves and writes the card; prints what came out."""
    options, path = parse("train", "Train a model as a recipe says.", TrainOptions, argv, ("recipe", "A YAML file."))
    recipe = load_recipe(path, options.set)
    done = run_recipe(recipe, command_line("train", argv), resume=options.resume)
    if not done.trainer.is_world_process_zero():
        return
    folder = Path(recipe.arguments().output_dir)
    write_model_card(folder, recipe)
    if done.summary:
        shown = "  ".join(f"{name.replace('_', ' ')} {100 * value:.1f}" for name, value in done.summary.items())
        print(f"\nvalidation   {shown}")
    for result in done.results:
        print(metrics_line(result))
    print(f"saved to {folder}")
