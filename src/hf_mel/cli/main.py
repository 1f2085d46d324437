"""`hf-mel COMMAND ...`"""

import importlib
import sys

from huggingface_hub.errors import StrictDataclassError

from ..data import UnknownEntityError
from ..data.problems import nearest


COMMANDS = {
    "init": "make a checkpoint that links without training, from pretrained towers",
    "train": "train a model as a recipe says",
    "evaluate": "rank the mentions of a split against the whole knowledge base",
    "link": "link one mention, a table of mentions or a folder of pictures",
    "index build": "encode a knowledge base",
    "index add": "add entities to an index, or replace them",
    "index remove": "take entities out of an index",
    "index info": "tell what an index holds and by which model it was made",
    "index search": "print the entities nearest to a mention",
    "calibrate": "fit probabilities and the NIL decision on labelled mentions",
    "explain": "say why an entity won",
    "serve": "answer requests over HTTP, also those of OpenRefine",
    "card": "write the model card of a checkpoint folder from its run",
    "push": "publish a model, a data set, an index or a Space on the Hub",
    "report": "show what a run left as a page with plots",
    "data build": "convert the released files of a benchmark into Parquet that load_dataset reads",
    "data check": "look for what is wrong with a benchmark or with data of your own",
    "data import": "turn tables of your own into Parquet that load_dataset reads",
    "env": "print versions and machine, for a bug report",
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}

# What bad input raises. A `TypeError` or another `KeyError` is a fault of the package and keeps its traceback.
MENDABLE = (ValueError, OSError, FloatingPointError, StrictDataclassError, UnknownEntityError)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; bad input ends with one line and exit status 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    group = words.pop(0) if words and words[0] in GROUPS else None
    if not words or words[0] in ("-h", "--help"):
        print(usage(group))
        return 0
    name = words.pop(0) if group is None else f"{group} {words.pop(0)}"
    if name not in COMMANDS:
        print(
            f"hf-mel: unknown command {name!r}{nearest(name, [*COMMANDS, *GROUPS])}\n\n{usage(group)}", file=sys.stderr
        )
        return 2
    command = importlib.import_module(f".{name.replace(' ', '_')}", __package__)
    try:
        return command.run(words) or 0
    except ImportError as error:
        if error.name is not None:  # raised by an `import`, not by us for an extra that is not installed
            raise
        print(f"hf-mel {name}: {error}", file=sys.stderr)
        return 2
    except MENDABLE as error:
        # What a user can mend is told in a line; everything else keeps its traceback.
        print(f"hf-mel {name}: {error}", file=sys.stderr)
        return 2


def usage(group: str | None = None) -> str:
    """All commands with a line each, or those of a group."""
    shown = {name: text for name, text in COMMANDS.items() if group is None or name.split()[0] == group}
    first = f"usage: hf-mel {f'{group} ' if group else ''}COMMAND [options]   (--help after a command says more)"
    return "\n".join([first, "", *(f"  {name:<12} {text}" for name, text in shown.items())])


if __name__ == "__main__":
    sys.exit(main())
