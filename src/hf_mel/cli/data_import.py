"""`hf-mel data import`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data.own.shares import parse_shares
from .data_build import summary_lines
from .options import parse
from .reading import (
    DELIMITER_HELP,
    ENTITY_FIELDS,
    LIST_SEPARATOR_HELP,
    MENTION_FIELDS,
    check_places,
    parse_columns,
    parse_delimiter,
)


_TABLE = "a .csv, .tsv, .jsonl, .json, .parquet or .xlsx file, or a folder of pictures with metadata.csv, .jsonl or .parquet."


@dataclass
class DataImportOptions:
    """Options of `hf-mel data import`."""

    entities: str = field(metadata={"help": f"The entities: {_TABLE}"})
    out: str = field(metadata={"help": "The new folder, for `load_dataset` and `KnowledgeBase.load`."})
    mentions: str | None = field(
        default=None,
        metadata={"help": f"Mentions without splits: {_TABLE} They become train, unless there is --split."},
    )
    split: str | None = field(
        default=None,
        metadata={
            "help": "Divide --mentions into train, validation and test by these shares of the captions, such as 0.8/0.1/0.1; "
            "with 0 there is no such split. Mentions with the same text or picture stay together."
        },
    )
    seed: int | None = field(default=None, metadata={"help": "Seed of --split: another one divides differently."})
    train: str | None = field(default=None, metadata={"help": "Mentions to train on."})
    validation: str | None = field(default=None, metadata={"help": "Mentions to choose by."})
    test: str | None = field(default=None, metadata={"help": "Mentions to evaluate on."})
    columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns of the entities, such as id=sku name=label; types= for none."}
    )
    mention_columns: list[str] = field(
        default_factory=list,
        metadata={"help": "Columns of the mentions, such as entity_id=sku; entity_id= where no gold entity is known."},
    )
    nil: list[str] = field(
        default_factory=lambda: ["NIL"], metadata={"help": "What else than nothing stands for an unknown entity."}
    )
    delimiter: str | None = field(default=None, metadata={"help": DELIMITER_HELP})
    mention_delimiter: str | None = field(
        default=None, metadata={"help": "The same in the tables of mentions; by default as --delimiter."}
    )
    list_separator: str = field(default="|", metadata={"help": LIST_SEPARATOR_HELP})
    images: str | None = field(
        default=None, metadata={"help": "Folder in which the paths of pictures start; by default that of the table."}
    )
    fetch_urls: bool = field(default=False, metadata={"help": "Fetch pictures that are named by a URL."})
    name: str | None = field(
        default=None, metadata={"help": "What the card calls the data; the folder's name by default."}
    )
    num_proc: int = field(default=1, metadata={"help": "Processes that open pictures."})
    strict: bool = field(
        default=False, metadata={"help": "Columns that are not used, and pictures that cannot be, are errors."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace what an earlier import left."})


def run(argv: list[str]) -> None:
    """Reads own tables, checks them and writes a folder."""
    about = "Turn tables of your own into a folder that `load_dataset` and `KnowledgeBase.load` read."
    options, _ = parse("data import", about, DataImportOptions, argv)
    names = ("train", "validation", "test")
    splits = {split: getattr(options, split) for split in names if getattr(options, split) is not None}
    if options.mentions is not None:
        if splits:
            raise ValueError(f"--mentions has no splits, --{next(iter(splits))} is one: use one way or the other")
        splits = {"train": options.mentions}
    shares = _shares(options)
    if shares is not None:
        splits = {"mentions": options.mentions}
    columns = parse_columns("--columns", options.columns, ENTITY_FIELDS, "--mention_columns")
    mention_columns = parse_columns("--mention_columns", options.mention_columns, MENTION_FIELDS, "--columns")
    check_places(options.images, options.list_separator)
    shared = {
        "delimiter": parse_delimiter(options.delimiter),
        "mention_delimiter": parse_delimiter(options.mention_delimiter, "--mention_delimiter"),
        "images": options.images,
        "fetch_urls": options.fetch_urls,
        "strict_columns": options.strict,
        "list_separator": options.list_separator,
    }
    from ..data import build_dataset
    from ..data.own.importing import read_own_data

    raw = read_own_data(
        options.entities, splits, columns=columns, mention_columns=mention_columns, nil_values=options.nil, **shared
    )
    origin: dict = {name: Path(path).name for name, path in {"entities": options.entities, **splits}.items()}
    if shares is not None:
        from ..data.own.splitting import split_mentions

        raw = split_mentions(raw, shares, options.seed or 0)
        origin["split"] = options.split
    out = Path(options.out)
    report = build_dataset(
        raw,
        out,
        name=options.name or out.absolute().name,
        raw_dir=options.images or Path(options.entities).absolute().parent,
        origin={"layout": "own", "options": origin},
        num_proc=options.num_proc,
        strict_images=options.strict,
        overwrite=options.overwrite,
    )
    for line in summary_lines(report, out):
        print(line)


def _shares(options: DataImportOptions) -> dict[str, float] | None:
    """The shares of `--split`; `None` without it."""
    if options.split is None:
        if options.seed is not None:
            raise ValueError("--seed is the seed of --split, which is missing")
        return None
    if options.mentions is None:
        raise ValueError("--split divides the table of --mentions, which is missing")
    try:
        return parse_shares(options.split)
    except ValueError as error:
        raise ValueError(f"--split {options.split}: {error}") from None
