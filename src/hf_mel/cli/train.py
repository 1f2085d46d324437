"""`hf-mel train RECIPE.yaml`"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .options import command_line, parse
from .show import metrics_line


if TYPE_CHECKING:
    from ..runs import TrainingRun


@dataclass
class TrainOptions:
    """Options of `hf-mel train`."""

    set: list[str] = field(
        default_factory=list, metadata={"help": "Change a key of the recipe: section.key=value. Several may follow."}
    )
    resume: bool = field(default=False, metadata={"help": "Go on from the last checkpoint in the output folder."})
    resume_from: str | None = field(
        default=None,
        metadata={
            "help": "Go on from another checkpoint: a folder, or a repository on the Hub (org/name or org/name@revision)."
        },
    )


def run(argv: list[str]) -> None:
    """Trains, evaluates, saves, writes the card and, with `push_to_hub`, publishes; prints what came out."""
    options, path = parse("train", "Train a model as a recipe says.", TrainOptions, argv, ("recipe", "A YAML file."))
    if options.resume and options.resume_from is not None:
        raise ValueError(
            "--resume is the last checkpoint in the output folder, --resume_from another: give one of them"
        )
    from ..recipes import load_recipe
    from ..runs import run_recipe

    recipe = load_recipe(path, options.set)
    done = run_recipe(recipe, command_line("train", argv), resume=options.resume_from or options.resume)
    trainer = done.trainer
    trainer.create_model_card()
    if trainer.is_world_process_zero():
        _show(done, Path(trainer.args.output_dir))
    if trainer.args.push_to_hub:  # in every process
        commit = trainer.push_to_hub()
        if commit is not None:
            print(f"published: {commit.commit_url}")


def _show(done: "TrainingRun", folder: Path) -> None:
    if done.summary:
        shown = "  ".join(f"{name.replace('_', ' ')} {100 * value:.1f}" for name, value in done.summary.items())
        print(f"\nvalidation   {shown}")
    for result in done.results:
        print(metrics_line(result))
    print(f"saved to {folder}")
