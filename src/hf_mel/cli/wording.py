"""Messages of the library in the words of the command line: `--overwrite` in place of `overwrite=True`."""

import logging
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from .reading import ENTITY_FIELDS, MENTION_FIELDS


_OPTIONS = {
    "add_missing": ["--update"],
    "freeze_text=False": ["--train_towers"],
    "freeze_vision=False": ["--train_towers"],
    "modalities=False": ["--no_modalities"],
    "nil_values": ["--nil"],
    "pictures=False": ["--no_pictures"],
    "strict=False": ["--allow_missing_images", "no --strict"],
    "strict_images=False": ["--allow_missing_images", "no --strict"],
    "vision=False": ["--no_vision"],
}
"""Options for an argument, or for one of its values, that are called otherwise. The first that the command has is taken."""

_OTHER_COMMANDS = {
    "columns": "`hf-mel index build --columns{}`",
    "fetch_urls": "`hf-mel data import --fetch_urls`",
    "layout": "`hf-mel data build --layout`",
    "list_separator": "`hf-mel index build --list_separator`",
}
"""Commands that have the option for an argument where the one that runs has not."""

_VALUE = r"\{[^{}]*\}|'[^']*'|\"[^\"]*\"|True|False|None|-?[0-9][0-9.e-]*(?<![.-])"
_ARGUMENT = re.compile(rf"`([a-z][a-z_]*)(?:(=)({_VALUE})?)?`|(?<![\w`.-])([a-z][a-z_]*)(=)({_VALUE})")
_PAIR = re.compile(r"'([^']*)': (?:'([^']*)'|None)")


def command_line_words(text: str, options: Collection[str]) -> str:
    """
    Replaces arguments of Python by the options of a command.

    An argument is `` `name` ``, `` `name=` `` or `name=value`, where a value is a number, a quoted text, a dictionary, `True`,
    `False` or `None`. What is no option of the command stays as it is, and so do names of columns.

    Args:
        text (`str`): The message.
        options (`Collection[str]`): Names of the options, without dashes.

    Example:

    ```python
    >>> from hf_mel.cli.wording import command_line_words

    >>> command_line_words("pass overwrite=True, or name `id` by `columns={'id': 'sku'}`", ["overwrite", "columns"])
    'pass --overwrite, or name `id` by --columns id=sku'
    ```
    """

    def option(found: re.Match) -> str:
        name, sign, value = found[1] or found[4], found[2] or found[5], found[3] or found[6]
        for special in (*_OPTIONS.get(f"{name}={value}", ()), *_OPTIONS.get(name, ())):
            if special.split("--")[1] in options:
                return special
        if name in options and (sign or name not in _FIELDS):
            return f"--{name}{_written(value)}"
        return _OTHER_COMMANDS[name].format(_written(value)) if sign and name in _OTHER_COMMANDS else found[0]

    return _ARGUMENT.sub(option, text)


_FIELDS = {*ENTITY_FIELDS, *MENTION_FIELDS}


def _written(value: str | None) -> str:
    """A value as it is typed after an option."""
    if value in (None, "True"):
        return ""
    if value.startswith("{"):
        return "".join(f" {name}={column}" for name, column in _PAIR.findall(value))
    return f" {value.lower()}" if value in ("False", "None") else f" {value.strip(chr(39) + chr(34))}"


class _Words(logging.Formatter):
    """The message alone, as Python shows warnings without any set-up of logs."""

    def __init__(self, options: Collection[str]):
        super().__init__("%(message)s")
        self.options = options

    def format(self, record: logging.LogRecord) -> str:
        return command_line_words(super().format(record), self.options)


@contextmanager
def logs_in_command_line_words(options: Collection[str]) -> Iterator[None]:
    """Writes warnings of the package to standard error in the words of the command line, while a command runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Words(options))
    logger = logging.getLogger("hf_mel")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
