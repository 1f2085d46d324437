"""Options for reading tables, checked the same way by every command, before anything heavy is imported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.problems import listed, nearest


ENTITY_FIELDS = ("id", "name", "aliases", "description", "attributes", "types", "image", "image_status", "source_row")
MENTION_FIELDS = (
    *("id", "mention", "text", "start", "end", "mention_type", "topic", "image", "image_status"),
    *("entity_id", "entity_name"),
)
"""Names of the fields of both tables. A test holds them against the schema, which takes long to import."""

KB_HELP = (
    "emojimel, miniature, a .csv, .tsv, .jsonl, .json, .parquet or .xlsx file, a folder of Parquet, or one of pictures with "
    "metadata.csv, .jsonl or .parquet."
)
COLUMNS_HELP = "Columns of a table of entities, such as id=sku name=label; types= for none."
DELIMITER_HELP = "What separates the cells of CSV: one character, or tab."
LIST_SEPARATOR_HELP = "What separates aliases or types within a cell."


def parse_columns(
    option: str, pairs: Iterable[str], fields: Sequence[str], other: str | None = None
) -> dict[str, str | None]:
    """
    `field=column` words as a dictionary; `field=` leaves the field out.

    Args:
        option (`str`): The option, for messages.
        pairs (`Iterable[str]`): The words.
        fields (`Sequence[str]`): The fields that there are: [`ENTITY_FIELDS`] or [`MENTION_FIELDS`].
        other (`str`, *optional*): The option of the command for the columns of the other table.

    Raises:
        `ValueError`: A word without `=`, an unknown field, or a field that stands twice.
    """
    columns: dict[str, str | None] = {}
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not sign:
            raise ValueError(f"{option} {pair}: write field=column{nearest(name, fields)}")
        if name not in fields:
            raise ValueError(f"{option} {pair}: {_unknown(name, pair, fields, other)}")
        if name in columns:
            raise ValueError(f"{option}: `{name}` stands twice")
        columns[name] = column or None
    return columns


def _unknown(name: str, pair: str, fields: Sequence[str], other: str | None) -> str:
    """Reason why a field cannot be named by an option, and what to write instead."""
    kinds = {"entities": ENTITY_FIELDS, "mentions": MENTION_FIELDS}
    of_others = [kind for kind, names in kinds.items() if names is not fields and name in names]
    if not of_others:
        return f"field {name!r} is unknown{nearest(name, fields) or f'; there are {listed(fields)}'}"
    instead = f"write {other} {pair}" if other is not None else f"this option takes {listed(fields)}"
    return f"field {name!r} is one of {of_others[0]}: {instead}"


def parse_delimiter(delimiter: str | None, option: str = "--delimiter") -> str | None:
    """
    The character of `--delimiter`, for which `tab` and `\\t` may be written.

    Raises:
        `ValueError`: More or less than one character.
    """
    if delimiter in ("\\t", "tab"):
        return "\t"
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"{option} {delimiter!r}: give one character, such as ';', or tab")
    return delimiter


def check_places(images: str | None = None, list_separator: str | None = None) -> None:
    """
    Checks the folder of the pictures and the separator of lists.

    Raises:
        `FileNotFoundError`: `--images` is no folder. `ValueError`: `--list_separator` is empty.
    """
    if images is not None and not Path(images).is_dir():
        raise FileNotFoundError(f"--images {images}: there is no such folder")
    if list_separator == "":
        raise ValueError("--list_separator is empty: give a character that no alias and no type holds")


@dataclass(kw_only=True)
class MentionTableOptions:
    """Options for reading mentions from a table of one's own."""

    columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns of a table of mentions, such as text=caption entity_id=sku."}
    )
    delimiter: str | None = field(default=None, metadata={"help": DELIMITER_HELP})
    images: str | None = field(
        default=None, metadata={"help": "Folder in which the paths of pictures start; by default that of the table."}
    )

    def reading(self) -> dict[str, Any]:
        """Checks the options, and returns them as arguments of [`load_mentions`]."""
        columns = parse_columns("--columns", self.columns, MENTION_FIELDS)
        check_places(self.images)
        given = {} if self.images is None else {"images": self.images}
        return {"columns": columns, "delimiter": parse_delimiter(self.delimiter), **given}


@dataclass(kw_only=True)
class EntityTableOptions:
    """Options for reading the entities from a table of one's own."""

    columns: list[str] = field(default_factory=list, metadata={"help": COLUMNS_HELP})
    delimiter: str | None = field(default=None, metadata={"help": DELIMITER_HELP})
    list_separator: str | None = field(default=None, metadata={"help": f"{LIST_SEPARATOR_HELP} By default |."})
    images: str | None = field(
        default=None, metadata={"help": "Folder in which the paths of pictures start; by default that of the table."}
    )

    def reading(self) -> dict[str, Any]:
        """Checks the options, and returns them as arguments of [`open_knowledge_base`]."""
        columns = parse_columns("--columns", self.columns, ENTITY_FIELDS)
        check_places(self.images, self.list_separator)
        given = {"list_separator": self.list_separator, "images": self.images}
        given = {name: value for name, value in given.items() if value is not None}
        return {"columns": columns, "delimiter": parse_delimiter(self.delimiter), **given}
