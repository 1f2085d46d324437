"""
`hf-mel COMMAND ...`

Parsing imports neither torch nor transformers nor datasets, which take seconds: a command imports what it needs from the
package in its `run`, after its options are read.
"""

import importlib
import os
import sys

from ..data.problems import nearest
from ..version import __version__
from .options import OF_THE_COMMAND
from .wording import command_line_words, logs_in_command_line_words


COMMANDS = {
    "init": "make a checkpoint that links without training, from pretrained towers",
    "train": "train a model as a recipe says",
    "recipes": "list the recipes of the package, or show one",
    "evaluate": "rank the mentions of a split against the whole knowledge base",
    "link": "link one mention, a table of mentions or a folder of pictures",
    "index build": "encode a knowledge base",
    "index add": "add entities to an index, or replace them",
    "index remove": "take entities out of an index",
    "index info": "tell what an index holds and by which model it was made",
    "index search": "print the entities nearest to a mention",
    "review export": "write links as a table or tasks for people to correct",
    "review import": "turn corrected links into labelled mentions, and report the agreement",
    "calibrate": "fit probabilities and the NIL decision on labelled mentions",
    "explain": "say why an entity won",
    "serve": "answer requests over HTTP, also those of OpenRefine",
    "card": "write the model card of a checkpoint folder from its run",
    "push": "publish a model, a data set, an index or a Space on the Hub",
    "report": "show what a run left as a page with plots",
    "data build": "convert the released files of a benchmark into Parquet that load_dataset reads",
    "data check": "look for what is wrong with a benchmark or with data of your own",
    "data import": "turn tables of your own into Parquet that load_dataset reads",
    "data wikidata": "turn a dump of Wikidata or a list of its QIDs into a knowledge base",
    "env": "print versions and machine, for a bug report",
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}

# What bad input raises. Classes by name are those whose import takes long.
BAD_INPUT = (ValueError, OSError, FloatingPointError)
BAD_INPUT_BY_NAME = ("huggingface_hub.errors.StrictDataclassError", "hf_mel.data.knowledge_base.UnknownEntityError")


BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


def main(argv: list[str] | None = None) -> int:
    """Runs a command; bad input ends with one line and exit status 2. Output that nobody reads any more ends it silently."""
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:  # also after `--help`; the end of Python would print a traceback
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        return BROKEN_PIPE


def _run(words: list[str]) -> int:
    group = words.pop(0) if words and words[0] in GROUPS else None
    if not words or words[0] in ("-h", "--help"):
        print(usage(group))
        return 0
    if group is None and words[0] == "--version":
        print(f"hf-mel {__version__}")
        return 0
    name = words.pop(0) if group is None else f"{group} {words.pop(0)}"
    if name not in COMMANDS:
        print(
            f"hf-mel: unknown command {name!r}{nearest(name, [*COMMANDS, *GROUPS, '--help', '--version'])}\n\n"
            f"{usage(group)}",
            file=sys.stderr,
        )
        return 2
    command = importlib.import_module(f".{name.replace(' ', '_')}", __package__)
    OF_THE_COMMAND.clear()
    try:
        with logs_in_command_line_words(OF_THE_COMMAND):
            return command.run(words) or 0
    except BrokenPipeError:
        raise
    except Exception as error:
        if not _is_bad_input(error):
            raise
        print(f"hf-mel {name}: {command_line_words(str(error), OF_THE_COMMAND)}", file=sys.stderr)
        return 2


def _is_bad_input(error: Exception) -> bool:
    """True if the user can correct the error. A `TypeError` or another `KeyError` is a fault of the package and keeps its traceback."""
    if isinstance(error, ImportError):
        return error.name is None  # raised by us for an extra that is not installed, not by an `import`
    return isinstance(error, BAD_INPUT) or any(
        f"{each.__module__}.{each.__name__}" in BAD_INPUT_BY_NAME for each in type(error).__mro__
    )


def usage(group: str | None = None) -> str:
    """All commands with a line each, or those of a group."""
    shown = {name: text for name, text in COMMANDS.items() if group is None or name.split()[0] == group}
    version = "" if group else "; --version: the version"
    first = (
        f"usage: hf-mel {f'{group} ' if group else ''}COMMAND [options]   (--help after a command says more{version})"
    )
    return "\n".join([first, "", *(f"  {name:<13} {text}" for name, text in shown.items())])


if __name__ == "__main__":
    sys.exit(main())
