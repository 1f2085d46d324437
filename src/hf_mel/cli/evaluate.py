"""`hf-mel evaluate CHECKPOINT`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data import check_mentions
from ..linking import Linker
from ..measure import evaluate_model, write_result
from ..recipes import DataRecipe, load_recipe
from ..runs import load_checkpoint, pick_device
from .options import command_line, parse
from .show import metrics_line, show_links


@dataclass
class EvaluateOptions:
    """Options of `hf-mel evaluate`."""

    recipe: str | None = field(default=None, metadata={"help": "Take the data of this recipe, with their options."})
    layout: str = field(default="miniature", metadata={"help": "Layout of the released files, or miniature."})
    raw_dir: str | None = field(default=None, metadata={"help": "Folder with the released files."})
    split: str = field(default="test", metadata={"help": "Split to rank."})
    output_dir: str | None = field(default=None, metadata={"help": "Folder for the result and the ranks."})
    name: str | None = field(default=None, metadata={"help": "What the result calls the model."})
    num_candidates: int | None = field(
        default=None, metadata={"help": "Rank among that many lexical candidates instead of the whole knowledge base."}
    )
    batch_size: int = field(default=256, metadata={"help": "Rows encoded at once."})
    show: int = field(default=0, metadata={"help": "Also print what so many of the mentions are linked to."})


def run(argv: list[str]) -> None:
    """Evaluates a checkpoint."""
    about = "Rank the mentions of a split against the whole knowledge base."
    options, folder = parse("evaluate", about, EvaluateOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    source = DataRecipe(layout=options.layout, raw_dir=options.raw_dir)
    if options.recipe is not None:
        source = load_recipe(options.recipe).data
    model, processor = load_checkpoint(folder)
    model.to(pick_device())
    data = source.load()
    if options.split not in data.mentions:
        raise ValueError(f"there is no split {options.split!r}, only {', '.join(data.mentions)}")
    check_mentions(data.mentions, data.entities)
    result, ranks = evaluate_model(
        model,
        processor,
        data,
        options.split,
        model_name=options.name or Path(folder).name,
        data_name=source.name or source.layout,
        command=command_line("evaluate", argv),
        batch_size=options.batch_size,
        num_candidates=options.num_candidates,
    )
    print(metrics_line(result))
    if options.output_dir is not None:
        write_result(result, ranks, Path(options.output_dir), options.split)
    if options.show:
        show_links(Linker(model, processor, data.entities), data.mentions[options.split], options.show)
