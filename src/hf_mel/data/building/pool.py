"""Work in several processes whose results come in order, with little of it in memory."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import Any


class Workers(AbstractContextManager):
    """Processes that apply functions; with `num_proc=1` there are none, and the work is done here.

    Args:
        num_proc (`int`): how many.
        context (`multiprocessing.context.BaseContext`, *optional*): how they are started, by default as the platform
            does it. Functions and arguments are pickled, so every start method works.
    """

    def __init__(self, num_proc: int, context: multiprocessing.context.BaseContext | None = None):
        self.num_proc = num_proc
        self._pool = None
        if num_proc > 1:
            self._pool = ProcessPoolExecutor(num_proc, mp_context=context, initializer=_end_with_parent)

    def map(self, function: Callable[..., Any], tasks: Iterable[tuple]) -> Iterator[Any]:
        """The results of `function(*task)` in the order of the tasks.

        Two tasks a process are under way at a time, and no further one is drawn from `tasks` until the first of them is
        taken: neither tasks nor results pile up, whoever is the slower.

        Raises:
            `RuntimeError`: a process was killed.
        """
        if self._pool is None:
            yield from (function(*task) for task in tasks)
            return
        under_way: deque = deque()
        try:
            for task in tasks:
                under_way.append(self._pool.submit(function, *task))
                if len(under_way) >= 2 * self.num_proc:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"one of {self.num_proc} processes was killed, most likely for want of memory: use a smaller `num_proc`"
            ) from error
        finally:
            for future in under_way:
                future.cancel()

    def __exit__(self, *exception) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Without this, the processes of a build that was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
