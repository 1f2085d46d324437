"""`hf-mel COMMAND ...`"""

import difflib
import importlib
import sys

from huggingface_hub.errors import StrictDataclassError

from ..data import UnknownEntityError


COMMANDS = {
    "train": "train a model as a recipe says",
    "evaluate": "rank the mentions of a split against the whole knowledge base",
    "link": "link one mention",
    "env": "print versions and machine, for a bug report",
}

# What bad input raises. A `TypeError` or another `KeyError` is a fault of the package and keeps its traceback.
MENDABLE = (ValueError, OSError, FloatingPointError, StrictDataclassError, UnknownEntityError)

USAGE = "usage: hf-mel COMMAND [options]   (hf-mel COMMAND --help says more)\n\n" + "\n".join(
    f"  {name:<10} {text}" for name, text in COMMANDS.items()
)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; bad input ends with one line and exit status 2."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        print(f"hf-mel: unknown command {name!r}{hint}\n\n{USAGE}", file=sys.stderr)
        return 2
    command = importlib.import_module(f".{name}", __package__)
    try:
        command.run(rest)
    except MENDABLE as error:
        # What a user can mend is told in a line; everything else keeps its traceback.
        print(f"hf-mel {name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
