"""`hf-mel evaluate CHECKPOINT`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data import check_mentions
from ..models import PGMELModel, PGMELProcessor
from ..recipes import DataRecipe
from ..runs import evaluate_model, pick_device, write_result
from .options import command_line, parse
from .show import metrics_line


@dataclass
class EvaluateOptions:
    """Options of `hf-mel evaluate`."""

    layout: str = field(default="miniature", metadata={"help": "Layout of the released files, or miniature."})
    raw_dir: str | None = field(default=None, metadata={"help": "Folder with the released files."})
    split: str = field(default="test", metadata={"help": "Split to rank."})
    output_dir: str | None = field(default=None, metadata={"help": "Folder for the result and the ranks."})
    name: str | None = field(default=None, metadata={"help": "What the result calls the model."})
    batch_size: int = field(default=256, metadata={"help": "Rows encoded at once."})


def run(argv: list[str]) -> None:
    """Evaluates a checkpoint."""
    about = "Rank the mentions of a split against the whole knowledge base."
    options, folder = parse("evaluate", about, EvaluateOptions, argv, ("checkpoint", "Folder or Hub id of a model."))
    model = PGMELModel.from_pretrained(folder).to(pick_device())
    processor = PGMELProcessor.from_pretrained(folder)
    data = DataRecipe(layout=options.layout, raw_dir=options.raw_dir).load()
    if options.split not in data.mentions:
        raise ValueError(f"there is no split {options.split!r}, only {', '.join(data.mentions)}")
    check_mentions(data.mentions, data.entities)
    result, ranks = evaluate_model(
        model,
        processor,
        data,
        options.split,
        model_name=options.name or Path(folder).name,
        data_name=options.layout,
        command=command_line("evaluate", argv),
        batch_size=options.batch_size,
    )
    print(metrics_line(result))
    if options.output_dir is not None:
        write_result(result, ranks, Path(options.output_dir), options.split)
