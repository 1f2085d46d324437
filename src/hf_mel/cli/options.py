"""Options from dataclasses, with the nearest valid name for one that is not known."""

import difflib
import shlex
import sys
from collections.abc import Iterable
from typing import NoReturn

from transformers import HfArgumentParser

from ..data.problems import nearest


class OptionParser(HfArgumentParser):
    """
    [`~transformers.HfArgumentParser`] which names the nearest option where one is unknown.
    """

    def add_argument(self, *names, **options):
        # A switch. As transformers has it, it would take the word after it, a recipe say, for its value.
        if options.get("const") is True and options.get("default") is False:
            options = {"action": "store_true", "default": False, "help": options.get("help")}
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        unknown = [word for word in message.split() if word.startswith("--")]
        if "unrecognized" in message and unknown:
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
            message += f" (did you mean {near[0]}?)" if near else ""
        super().error(message)


def parse(
    command: str,
    description: str,
    options: type,
    argv: list[str],
    positional: tuple[str, str] | list[tuple[str, ...]] | None = None,
):
    """
    The options of a command as an instance of its dataclass, and its positional argument: a list for a list of them, each
    with its help and, if it may be left out, `"?"`; `None` if it has none.
    """
    parser = OptionParser(options, prog=f"hf-mel {command}", description=description, allow_abbrev=False)
    several = positional if isinstance(positional, list) else [positional] if positional is not None else []
    for name, about, *number in several:
        parser.add_argument(name, help=about, **({"nargs": number[0]} if number else {}))
    values = vars(parser.parse_args(argv))
    places = [values.pop(name) for name, *_ in several]
    return options(**values), places if isinstance(positional, list) else next(iter(places), None)


def parse_columns(option: str, pairs: Iterable[str], fields: Iterable[str]) -> dict[str, str | None]:
    """`field=column` words as a dictionary; `field=` leaves the field out."""
    columns: dict[str, str | None] = {}
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not sign:
            raise ValueError(f"{option} {pair}: write field=column{nearest(name, fields)}")
        if name in columns:
            raise ValueError(f"{option}: `{name}` stands twice")
        columns[name] = column or None
    return columns


def command_line(command: str, argv: list[str]) -> str:
    """The command as it was typed, for results. Absolute paths of this machine are shortened to their last part."""
    shown = [word if not word.startswith("/") else word.rstrip("/").rsplit("/", 1)[-1] for word in argv]
    return shlex.join(["hf-mel", command, *shown])


def print_error(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr)
