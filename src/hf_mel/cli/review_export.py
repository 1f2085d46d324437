"""`hf-mel review export LINKS`"""

from dataclasses import dataclass, field
from pathlib import Path

from ..data.problems import counted
from .options import parse
from .reading import DELIMITER_HELP, MENTION_FIELDS, check_places, parse_columns, parse_delimiter


FORMATS = ("csv", "label-studio")
LINKS_HELP = "What `hf-mel link --output` wrote: .jsonl, .csv, .tsv or .parquet."


@dataclass(kw_only=True)
class ReviewExportOptions:
    """Options of `hf-mel review export`."""

    out: str = field(metadata={"help": "The file to write: a table (.csv) or tasks of Label Studio (.json)."})
    format: str = field(default="csv", metadata={"help": f"{' or '.join(FORMATS)}."})
    input: str | None = field(
        default=None, metadata={"help": "The --input of `hf-mel link`, for its columns and its pictures."}
    )
    split: str | None = field(default=None, metadata={"help": "The split of INPUT, if it is a data set."})
    columns: list[str] = field(default_factory=list, metadata={"help": "Columns of INPUT, as for `hf-mel link`."})
    delimiter: str | None = field(default=None, metadata={"help": f"Of INPUT. {DELIMITER_HELP}"})
    images: str | None = field(
        default=None, metadata={"help": "Folder in which the paths of pictures start; by default that of INPUT."}
    )
    out_delimiter: str = field(
        default=",", metadata={"help": "What separates the cells of the new table: ; for a spreadsheet that wants it."}
    )
    image_root: str | None = field(
        default=None,
        metadata={
            "help": "For label-studio: the folder that it serves (LOCAL_FILES_DOCUMENT_ROOT), with the pictures."
        },
    )
    sample: int | None = field(
        default=None,
        metadata={
            "help": "Only so many links, drawn at random: what they say of agreement and calibration holds for all."
        },
    )
    seed: int = field(default=0, metadata={"help": "Seed of --sample."})
    overwrite: bool = field(default=False, metadata={"help": "Replace OUT."})


def run(argv: list[str]) -> None:
    """Writes the links, the least certain first."""
    about = "Write links for people to look at, the least certain first: as a table for a spreadsheet, or for Label Studio."
    options, links_file = parse("review export", about, ReviewExportOptions, argv, ("links", LINKS_HELP))
    columns = _check_usage(options, links_file)
    from ..linking.batch import TableInput
    from ..linking.review import read_input, read_links, review_order, write_table, write_tasks

    links = read_links(links_file)
    if options.sample is not None and options.sample > len(links):
        raise ValueError(
            f"--sample {options.sample}: {links_file} has {counted(len(links), 'link')}. Without --sample, all are exported"
        )
    rows = None
    if options.input is not None:
        source = TableInput(
            options.input,
            split=options.split,
            columns=columns,
            delimiter=parse_delimiter(options.delimiter),
            images=options.images,
        )
        rows = read_input(source, links)
        if len(rows) < len(links):
            print(
                f"{counted(len(links) - len(rows), 'link')} whose id is in no row of {options.input}: without its columns"
            )
    chosen = review_order(list(links.values()), options.sample, options.seed)
    if options.format == "csv":
        number = write_table(chosen, options.out, rows, parse_delimiter(options.out_delimiter) or ",")
        print(f"{options.out}: {number:,} of {counted(len(links), 'link')}, the least certain first")
        print("fill in corrected_entity_id where a link is wrong: an id, or NIL; an empty cell confirms the link")
    else:
        number, interface = write_tasks(chosen, options.out, rows, options.image_root)
        print(f"{options.out}: {counted(number, 'task')} of {counted(len(links), 'link')}, the least certain first")
        print(f"{interface}: the labeling interface of the project")
    corrected = options.out if options.format == "csv" else "EXPORTED.json"
    print(f"then: hf-mel review import {corrected} --links {links_file} --kb KB --out FOLDER")


def _check_usage(options: ReviewExportOptions, links_file: str) -> dict[str, str | None]:
    """Checks the options, and returns the columns of the input."""
    if options.format not in FORMATS:
        raise ValueError(f"--format {options.format}: use one of {', '.join(FORMATS)}")
    if options.input is None:
        given = {"columns": options.columns, "delimiter": options.delimiter, "images": options.images}
        given |= {"split": options.split, "image_root": options.image_root}
        wrong = [f"--{name}" for name, value in given.items() if value]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: only with --input")
    if options.image_root is not None and options.format != "label-studio":
        raise ValueError("--image_root: only with --format label-studio")
    if options.sample is not None and options.sample < 1:
        raise ValueError(f"--sample {options.sample}: it must be at least 1")
    if options.image_root is not None and not Path(options.image_root).is_dir():
        raise FileNotFoundError(f"--image_root {options.image_root}: there is no such folder")
    suffix = ".csv" if options.format == "csv" else ".json"
    if Path(options.out).suffix.lower() != suffix:
        raise ValueError(f"--out {options.out}: the file of --format {options.format} ends in {suffix}")
    parse_delimiter(options.delimiter)
    parse_delimiter(options.out_delimiter, "--out_delimiter")
    check_places(options.images)
    if not Path(links_file).is_file():
        raise FileNotFoundError(f"there is no file {links_file} with links")
    if Path(options.out).exists() and not options.overwrite:
        raise FileExistsError(f"{options.out} is there already, and may hold corrections: --overwrite replaces it")
    return parse_columns("--columns", options.columns, MENTION_FIELDS)
