"""`hf-mel evaluate CHECKPOINT`"""

from dataclasses import dataclass, field
from pathlib import Path

from .linkers import open_model
from .options import command_line, parse
from .show import metrics_line, show_links


@dataclass
class EvaluateOptions:
    """Options of `hf-mel evaluate`."""

    recipe: str | None = field(
        default=None, metadata={"help": "Take the data of this recipe, a name or a YAML file, with their options."}
    )
    data: str = field(
        default="emojimel", metadata={"help": "emojimel, miniature, a built folder, or one with released files."}
    )
    split: str = field(default="test", metadata={"help": "Split to rank."})
    output_dir: str | None = field(default=None, metadata={"help": "Folder for the result and the ranks."})
    name: str | None = field(default=None, metadata={"help": "What the result calls the model."})
    num_candidates: int | None = field(
        default=None, metadata={"help": "Rank among that many candidates instead of the whole knowledge base."}
    )
    candidates: str = field(
        default="lexical",
        metadata={
            "help": "These candidates: lexical, by their names, or dense, those which the model's vectors propose."
        },
    )
    batch_size: int = field(default=256, metadata={"help": "Rows encoded at once."})
    num_workers: int = field(default=0, metadata={"help": "Processes that read ahead of the model."})
    show: int = field(default=0, metadata={"help": "Also print what so many of the mentions are linked to."})


def run(argv: list[str]) -> None:
    """Evaluates a checkpoint."""
    about = "Rank the mentions of a split against the whole knowledge base."
    options, folder = parse("evaluate", about, EvaluateOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    from ..data import check_mentions, load_data
    from ..evaluation.models import check_candidates, check_place, evaluate_model, write_result
    from ..linking import Linker
    from ..recipes import load_recipe

    check_candidates(options.num_candidates, options.candidates)
    source = load_recipe(options.recipe).data if options.recipe is not None else None
    model, processor = open_model(folder)
    data = source.load() if source is not None else load_data(options.data)
    if options.split not in data.mentions:
        raise ValueError(f"there is no split {options.split!r}, only {', '.join(data.mentions)}")
    check_mentions(data.mentions, data.entities)
    data_name = source.shown_name if source is not None else Path(options.data).name
    if options.output_dir is not None:  # told before the evaluation, not after it
        among = options.num_candidates, options.candidates
        check_place(Path(options.output_dir), options.split, f"{data_name}, {options.split}", *among)
    result, ranks = evaluate_model(
        model,
        processor,
        data,
        options.split,
        model_name=options.name or Path(folder).name,
        data_name=data_name,
        command=command_line("evaluate", argv),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        num_candidates=options.num_candidates,
        candidates=options.candidates,
    )
    print(metrics_line(result))
    if options.output_dir is not None:
        write_result(result, ranks, Path(options.output_dir), options.split)
    if options.show:
        show_links(Linker(model, processor, data.entities), data.mentions[options.split], options.show)
