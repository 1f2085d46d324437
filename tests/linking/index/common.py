"""Small indexes, and children that are killed."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from hf_mel import KnowledgeBase
from hf_mel.linking.index import EntityIndex
from tests.training.common import tiny_data, tiny_linker, tiny_processor


# Six shards of the twenty entities of `tiny_data`, each of several batches.
SMALL = {"shard_rows": 4, "batch_size": 3, "encode_dtype": "float32", "thumbnail_size": 8}


@cache
def parts(vision: bool = False, seed: int = 0):
    """A model and its processor."""
    return tiny_linker(vision, seed), tiny_processor(vision)


def build(folder=None, vision: bool = False, kb: KnowledgeBase | None = None, **options) -> EntityIndex:
    kb = tiny_data().entities if kb is None else kb
    return EntityIndex.build(*parts(vision), kb, folder, **{**SMALL, **options})


@cache
def people(count: int, start: int = 0, prefix: str = "N", trade: str = "painter") -> KnowledgeBase:
    """New entities, which resemble those of `tiny_data`."""
    return KnowledgeBase.from_records(
        {
            "id": f"{prefix}{number}",
            "name": f"Vale {number}",
            "attributes": f"Occupation: {trade}. Birth: {1900 + number}, Kelmar.",
            "types": ["person"],
        }
        for number in range(start, start + count)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files but the lock."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# ---- Children ----


def in_a_child(run: Callable[[], object]) -> int:
    """Exit status of `run` in a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    return process.exitcode


def count_moments(run: Callable[[], object]) -> int:
    """How many calls of functions, also of those in C, `run` makes."""
    moments = 0

    def count(*args):
        nonlocal moments
        moments += 1

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return moments


def killed_at(moment: int, run: Callable[[], object]) -> bool:
    """Whether `run`, in a process of its own, was killed at the call of this number: it may have ended before."""

    def child():
        left = moment

        def count(*args):
            nonlocal left
            left -= 1
            if not left:
                die()

        sys.setprofile(count)
        run()

    code = in_a_child(child)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def nth(number: int, function: Callable, then: Callable = die) -> Callable:
    """`function`, and in place of its call of this number `then`."""
    calls = []

    def replaced(*args, **kwargs):
        calls.append(1)
        return (then if len(calls) == number else function)(*args, **kwargs)

    return replaced
