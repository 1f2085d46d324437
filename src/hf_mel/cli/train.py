"""`hf-mel train RECIPE [--KEY VALUE ...]`"""

from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe_files import KeyTable, content_problems, raise_problems, read_recipe_files
from .recipe_flags import help_text, parse_train


if TYPE_CHECKING:
    from ..runs import TrainingRun


def run(argv: list[str]) -> None:
    """Trains, evaluates, saves, writes the card and, with `push_to_hub`, publishes; prints what came out."""
    table = _keys()
    if "--help" in argv or "-h" in argv:
        print(help_text(table))
        raise SystemExit(0)
    source, changes, options = parse_train(argv, table)
    merged = read_recipe_files(source)
    merged.change_all(changes)
    raise_problems(content_problems(merged.content, table), source, merged.origins)

    from ..recipes import recipe_from_dict  # imports torch: only now, when the arguments are right
    from ..runs import run_recipe
    from .linkers import hide_weight_bars
    from .options import command_line

    hide_weight_bars()
    recipe = recipe_from_dict(merged.content, source, merged.origins)
    done = run_recipe(recipe, command_line("train", argv), resume=options.resume_from or options.resume)
    trainer = done.trainer
    trainer.create_model_card()
    if trainer.is_world_process_zero():
        _show(done, Path(trainer.args.output_dir))
    if trainer.args.push_to_hub:  # in every process
        commit = trainer.push_to_hub()
        if commit is not None:
            print(f"published: {commit.commit_url}")


def _keys() -> KeyTable:
    table = KeyTable.shipped()
    if table.is_current:
        return table
    from ..recipes import keys_from_code  # imports torch

    return keys_from_code()


def _show(done: "TrainingRun", folder: Path) -> None:
    from .show import metrics_line

    if done.summary:
        shown = "  ".join(f"{name.replace('_', ' ')} {100 * value:.1f}" for name, value in done.summary.items())
        print(f"\nvalidation   {shown}")
    for result in done.results:
        print(metrics_line(result))
    print(f"saved to {folder}")
