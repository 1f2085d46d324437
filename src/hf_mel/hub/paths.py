"""Removal of local paths from published files: they reveal who works there, and help nobody else."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from ..checkpoint import STATE_FILE


HIDDEN = "PATH"  # what stands where a folder of this machine stood

# A path of this machine in a word: at its start, or after what separates it from others. No `https://`, no lone slash.
_PATH = re.compile(r"""(^|(?<=[\s=,\[({'"]))(~|/(?=[^\s{/])|//|\\\\|\.\.[\\/]|[A-Za-z]:[\\/]|file:).*""", re.DOTALL)


def without_paths(text: str) -> str:
    """A command with `PATH` for each absolute path: it names folders, and often the user, of one machine."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # a backslash is one of a path
    try:
        words = list(lexer)
    except ValueError:  # an open quote: where a path ends cannot be told, so it ends nowhere
        return _PATH.sub(HIDDEN, text)
    hidden = [_PATH.sub(HIDDEN, word) for word in words]
    if words == hidden:
        return text
    return " ".join(word if HIDDEN in word and " " not in word else shlex.quote(word) for word in hidden)


def portable(value: Any) -> Any:
    """The same nested dictionaries and lists, with `PATH` for each path of this machine; where a text has one, to its end."""
    if isinstance(value, dict):
        return {key: portable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(each) for each in value]
    return _PATH.sub(HIDDEN, value) if isinstance(value, str) else value


def plain_name(name: str) -> str:
    """A name of data; of a path its last part."""
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1]


def content_to_publish(path: Path) -> Path | bytes:
    """
    A file as it is published: itself, except for the state of the Trainer, which names the folder of the best checkpoint.
    The step of the best checkpoint, which stays, says as much.

    Raises:
        `ValueError`: the state is damaged.
    """
    if path.name != STATE_FILE:
        return path
    try:
        state = json.loads(path.read_text(encoding="utf-8")) | {"best_model_checkpoint": None}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} must be a JSON object, as the Trainer writes it: {error}") from error
    return (json.dumps(state, indent=2, sort_keys=True) + "\n").encode()
