"""Options from dataclasses, with the nearest valid name for one that is not known."""

import dataclasses
import difflib
import shlex
import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError
from typing import NoReturn, get_args, get_origin, get_type_hints


OF_THE_COMMAND: set[str] = set()
"""Names of the options of the command that runs, for its messages."""


class OptionParser(ArgumentParser):
    """
    Parser with an option for each field of a dataclass; names the nearest option where one is unknown.

    `~transformers.HfArgumentParser` does the same for more types, but takes a second to import.

    Args:
        options (`type`):
            A dataclass. Its fields are of type `str`, `int` or `float`, of these or `None`, lists of these, or `bool`: a
            switch where the default is `False`, else an option that takes `true` or `false`. The `metadata` of a field has
            its `help`.
        kwargs:
            Those of `argparse.ArgumentParser`.
    """

    def __init__(self, options: type, **kwargs):
        super().__init__(formatter_class=ArgumentDefaultsHelpFormatter, allow_abbrev=False, **kwargs)
        types = get_type_hints(options)
        for field in dataclasses.fields(options):
            self._add_field(field, types[field.name])

    def _add_field(self, field: dataclasses.Field, kind: type) -> None:
        names = dict.fromkeys([f"--{field.name}", f"--{field.name.replace('_', '-')}"])
        if kind is bool and field.default is False:
            self.add_argument(*names, action="store_true", **field.metadata)
            return
        settings = dict(field.metadata)
        if get_origin(kind) is list:
            settings["nargs"] = "+"
        settings["type"] = next((each for each in get_args(kind) if each is not type(None)), kind)
        if kind is bool:
            settings |= {"type": _true_or_false, "metavar": "true|false"}
        if field.default is not dataclasses.MISSING:
            settings["default"] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            settings["default"] = field.default_factory()
        else:
            settings["required"] = True
        self.add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        unknown = [word for word in message.split() if word.startswith("--")]
        if "unrecognized" in message and unknown:
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
            message += f" (did you mean {near[0]}?)" if near else ""
        super().error(message)


def _true_or_false(word: str) -> bool:
    """The value of an option that can be turned off."""
    if word.lower() not in ("true", "false"):
        raise ArgumentTypeError(f"must be true or false, got {word!r}")
    return word.lower() == "true"


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
    parser = OptionParser(options, prog=f"hf-mel {command}", description=description)
    several = positional if isinstance(positional, list) else [positional] if positional is not None else []
    for name, about, *number in several:
        parser.add_argument(name, help=about, **({"nargs": number[0]} if number else {}))
    OF_THE_COMMAND.clear()
    OF_THE_COMMAND.update(each.name for each in dataclasses.fields(options))
    values = vars(parser.parse_args(argv))
    places = [values.pop(name) for name, *_ in several]
    return options(**values), places if isinstance(positional, list) else next(iter(places), None)


def command_line(command: str, argv: list[str]) -> str:
    """The command as it was typed, for results. Absolute paths of this machine are shortened to their last part."""
    shown = [word if not word.startswith("/") else word.rstrip("/").rsplit("/", 1)[-1] for word in argv]
    return shlex.join(["hf-mel", command, *shown])


def print_error(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr)
