"""`hf-mel report RUN_DIR`"""

from dataclasses import dataclass, field
from pathlib import Path

from .options import parse


@dataclass
class ReportOptions:
    """Options of `hf-mel report`."""

    data: str | None = field(
        default=None,
        metadata={
            "help": "What the run was evaluated on: emojimel, miniature, a built folder, or one with released files. Adds the "
            "weight of the pictures, and the worst mistakes."
        },
    )
    split: str | None = field(
        default=None, metadata={"help": "Split to look at; by default test, if there is one, or the last."}
    )
    index: str | None = field(
        default=None,
        metadata={
            "help": "Folder or Hub id of an index made by the model of the run; by default the data's entities are encoded."
        },
    )
    mistakes: int = field(default=12, metadata={"help": "Mistakes to show."})
    out: str | None = field(default=None, metadata={"help": "Folder to write to; by default RUN_DIR/report."})


def run(argv: list[str]) -> None:
    """Collects, draws and writes."""
    about = "Show what a run left as a page and PNGs: curves, hits by group, weight of the pictures, worst mistakes."
    options, folder = parse("report", about, ReportOptions, argv, ("run_dir", "Output folder of a training."))
    if options.data is None and options.index is not None:
        raise ValueError("--index says something about data: name them with --data")
    from ..data import load_data
    from ..reporting import make_report, read_run

    read_run(folder)  # a folder that is none is told before anything is loaded
    out = Path(folder, "report") if options.out is None else Path(options.out)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file: name a folder")
    report = make_report(
        folder,
        None if options.data is None else load_data(options.data),
        split=options.split,
        index=options.index,
        num_mistakes=options.mistakes,
        progress=True,
    )
    page = report.save(out)
    for absent in report.absent:
        print(f"left out: {absent.title} ({absent.reason})")
    print(f"written to {page}, with {sum(section.plot is not None for section in report.sections)} plots")
