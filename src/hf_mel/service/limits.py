"""Limits of a request: bytes, time, and its place in the queue."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any


# Pictures are fetched by several threads. The model has one: fast tokenizers must not be used by two at a time.
_FETCHERS = 4
_COME_BACK = "2"  # seconds
ANY_ORIGIN = {"access-control-allow-origin": "*"}


class Refused(Exception):
    """
    A request that is not answered, and why.

    Args:
        status (`int`): the status of HTTP.
        message (`str`): one sentence for the reader of the answer.
        problems (`Sequence[tuple[str, str]]`, *optional*): what is wrong where.
        headers (`dict[str, str]`, *optional*): headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        problems: Sequence[tuple[str, str]] = (),
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.problems = list(problems)
        self.headers = headers or {}

    @property
    def content(self) -> dict[str, Any]:
        """The answer's JSON, which is the same for all errors."""
        return error_content(self.message, self.problems)


def error_content(message: str, problems: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """The JSON of an error."""
    return {"message": message, "problems": [{"where": where, "what": what} for where, what in problems]}


def wrong_values(problems: Sequence[tuple[str, str]]) -> Refused:
    """Returns the refusal of a request with wrong values, which lists each of them."""
    number = len(problems)
    return Refused(422, f"{number} value{'s' if number > 1 else ''} of the request cannot be used", problems)


class BodyLimit:
    """
    ASGI middleware that reads the body of a request before anything else does, and refuses one that is too large or
    too slow. It counts what arrives: a request need not say its length, and may say a wrong one.

    Args:
        app: the application behind it.
        max_body (`int`): bytes.
        timeout (`float`): seconds in which the body has to arrive.
    """

    def __init__(self, app: Callable, max_body: int, timeout: float):
        self.app = app
        self.max_body = max_body
        self.timeout = timeout

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.timeout):
                messages = await self._read(scope, receive)
        except TimeoutError:
            await _send_error(send, 408, f"the request did not arrive within {self.timeout:g} s")
            return
        if messages is None:
            await _send_error(send, 413, f"the request has more than {self.max_body:,} bytes")
            return

        async def replay() -> dict:
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)

    async def _read(self, scope: dict, receive: Callable) -> list[dict] | None:
        """The messages that make up the body as one, or `None` if it is too large."""
        claimed = dict(scope["headers"]).get(b"content-length", b"")
        if claimed.isdigit() and int(claimed) > self.max_body:
            return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return [message]
            body += message.get("body", b"")
            if len(body) > self.max_body:
                return None
            if not message.get("more_body", False):
                return [{"type": "http.request", "body": bytes(body), "more_body": False}]


async def _send_error(send: Callable, status: int, message: str) -> None:
    body = json.dumps(error_content(message)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the request is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Workshop:
    """
    Processes requests in threads, so that the server stays responsive. A request waits in a queue, or is refused if the queue is
    full, and fails after `timeout`. A thread cannot be stopped: work that has started runs to its end, and its result is dropped.

    Args:
        max_waiting (`int`): requests that wait, beside the one that is worked on.
        timeout (`float`): seconds that a request may stay.
    """

    def __init__(self, max_waiting: int, timeout: float):
        self.max_waiting = max_waiting
        self.timeout = timeout
        self.inside = 0
        self._pools: dict[int, ThreadPoolExecutor] = {}

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """
        A place for the time of a `with`.

        Raises:
            `Refused`: too many are waiting (503), or the time is over (504).
        """
        if self.inside > self.max_waiting:
            message = f"{self.max_waiting} requests are waiting, and no more may"
            raise Refused(503, message, headers={"Retry-After": _COME_BACK})
        self.inside += 1
        timer = asyncio.timeout(self.timeout)
        try:
            async with timer:
                yield
        except TimeoutError as error:
            if not timer.expired():
                raise
            message = f"the request took longer than {self.timeout:g} s: ask for less at once, or come back later"
            raise Refused(504, message) from error
        finally:
            self.inside -= 1

    async def fetch(self, work: Callable, *args: Any) -> Any:
        """The result of work that waits for other machines."""
        return await self._run(_FETCHERS, work, args)

    async def compute(self, work: Callable, *args: Any) -> Any:
        """The result of work with the model, which is done for one request at a time."""
        return await self._run(1, work, args)

    async def _run(self, threads: int, work: Callable, args: tuple) -> Any:
        if threads not in self._pools:
            self._pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="hf_mel")
        # Cancelled when the time is over, work that has not begun is dropped from the pool's queue.
        return await asyncio.wrap_future(self._pools[threads].submit(work, *args))

    def close(self) -> None:
        """Ends the threads, after what they are at."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools = {}
