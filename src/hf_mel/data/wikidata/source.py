"""Lines of a dump in batches, decompressed while they are read; lists of QIDs."""

import bz2
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from .findings import Findings
from .options import is_qid


STDIN = "-"
BATCH_BYTES = 4_000_000
"""About so many bytes of lines are handled at once by one process."""
WHOLE_BYTES = 1_000_000_000
"""The largest file of JSON over several lines, which has to be read as a whole."""

_DATA = (".json", ".jsonl", ".ndjson")
_PACKED = {".gz": gzip.open, ".bz2": bz2.open}


def is_data(source: str | os.PathLike) -> bool:
    """Returns `True` for the names of files with entities, and for `-`."""
    name = Path(source).name.lower()
    return name == STDIN or name.endswith(tuple(f"{kind}{end}" for kind in _DATA for end in ("", *_PACKED)))


def check_source(source: str | os.PathLike, endpoint: str | None) -> None:
    """Raises if a source is not there, or is of another kind than the endpoint needs.

    Raises:
        `FileNotFoundError`: there is no such file. `ValueError`: it is of no known kind.
    """
    if endpoint is not None and is_data(source):
        raise ValueError(f"{source} holds entities already: with `endpoint`, pass a text file with one QID a line")
    if str(source) == STDIN:
        return
    if not Path(source).is_file():
        raise FileNotFoundError(f"no file {source}: pass a dump of Wikidata, JSON of entities, or a list of QIDs")
    if endpoint is None and not is_data(source):
        raise ValueError(
            f"{source}: pass a .json or .jsonl file, also with .gz or .bz2, or - for standard input. A list of QIDs "
            "needs `endpoint`, from which the entities are fetched"
        )


def read_batches(source: str | os.PathLike) -> Iterator[tuple[int, list[bytes]]]:
    """Lines in batches, each with the number of its first line, from 1. Their limits do not depend on the processes.

    Raises:
        `ValueError`: the file is cut off or damaged, or its JSON takes several lines and is too large for that.
    """
    number = 1
    try:
        with _opened(source) as file:
            while lines := file.readlines(BATCH_BYTES):
                if number == 1 and _is_spread(lines):
                    lines = [_whole(source, lines, file)]
                yield number, lines
                number += len(lines)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{source} cannot be read to its end ({error}): is it complete?") from error


def read_qids(source: str | os.PathLike, findings: Findings) -> list[str]:
    """QIDs of a text file, one a line, each once and in their order. URLs of entities are shortened to their QID.

    Args:
        source (`str` or `os.PathLike`): the file; empty lines and those that begin with `#` do not count.
        findings ([`Findings`]): gets lines without a QID (`bad_lines`) and QIDs that came before (`repeated_qids`).
    """
    found: dict[str, None] = {}
    with _opened(source) as file:
        for number, line in enumerate(file, start=1):
            text = line.decode("utf-8", "replace").strip().removeprefix("\ufeff")
            if not text or text.startswith("#"):
                continue
            qid = text.split()[0].rstrip(",").rsplit("/", 1)[-1]
            if not is_qid(qid):
                findings.add("bad_lines", f"line {number}: {text[:40]!r} is no QID")
            elif qid in found:
                findings.add("repeated_qids", qid)
            else:
                found[qid] = None
    return list(found)


def _opened(source: str | os.PathLike) -> AbstractContextManager:
    if str(source) == STDIN:
        return nullcontext(sys.stdin.buffer)
    unpack = _PACKED.get(Path(source).suffix.lower())
    return open(source, "rb") if unpack is None else io.BufferedReader(unpack(source, "rb"), 1 << 20)


def _is_spread(lines: list[bytes]) -> bool:
    """Returns `True` if the first lines are the beginning of one object over several lines."""
    first = next((line.strip() for line in lines if line.strip()), b"")
    if not first.startswith(b"{") or len(lines) < 2:
        return False
    try:
        json.loads(first.rstrip(b","))
    except ValueError:
        return first == b"{" or first.startswith(b'{"entities"')
    return False


def _whole(source: str | os.PathLike, lines: list[bytes], file) -> bytes:
    content = b"".join(lines) + file.read(WHOLE_BYTES)
    if len(content) > WHOLE_BYTES:
        raise ValueError(f"{source} is one object of more than {WHOLE_BYTES:,} bytes: write one entity a line")
    return content
