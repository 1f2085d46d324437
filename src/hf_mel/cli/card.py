"""`hf-mel card CHECKPOINT`"""

from dataclasses import dataclass, field

from .options import parse


@dataclass
class CardOptions:
    """Options of `hf-mel card`."""

    repo_id: str | None = field(
        default=None, metadata={"help": "org/name on the Hub, from where the card's example loads the model."}
    )
    license: str = field(default="apache-2.0", metadata={"help": "Of the weights, as the Hub writes it."})
    beside: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Folders of other runs on the same data, or their eval_results.json: ablations and baselines, which the "
            "card then shows. They are kept in comparisons.json and replace earlier ones."
        },
    )
    out: str | None = field(default=None, metadata={"help": "Another file than README.md in the folder."})


def run(argv: list[str]) -> None:
    """Writes the card again, from the files of the run alone."""
    about = "Write the model card of a checkpoint folder, from what the run left there."
    options, folder = parse("card", about, CardOptions, argv, ("checkpoint", "Folder of a model."))
    from ..hub import compare, write_model_card

    if options.beside:
        compare(folder, options.beside)
    path = write_model_card(folder, path=options.out, repo_id=options.repo_id, license=options.license)
    print(f"written to {path}")
