"""`hf-mel card CHECKPOINT`"""

from dataclasses import dataclass, field

from ..hub.cards import LICENSE, write_model_card
from ..recipes import load_recipe
from .options import parse


@dataclass
class CardOptions:
    """Options of `hf-mel card`."""

    recipe: str | None = field(
        default=None, metadata={"help": "Recipe of the run: it names the pretrained towers that the model began with."}
    )
    repo_id: str | None = field(
        default=None, metadata={"help": "org/name on the Hub, from where the card's example loads the model."}
    )
    license: str = field(default=LICENSE, metadata={"help": "Of the weights, as the Hub writes it."})
    out: str | None = field(default=None, metadata={"help": "Another file than README.md in the folder."})


def run(argv: list[str]) -> None:
    """Writes the card again, from the files of the run alone."""
    about = "Write the model card of a checkpoint folder, from what the run left there."
    options, folder = parse("card", about, CardOptions, argv, ("checkpoint", "Folder of a model."))
    recipe = None if options.recipe is None else load_recipe(options.recipe)
    path = write_model_card(folder, recipe, options.repo_id, options.license, options.out)
    print(f"written to {path}")
