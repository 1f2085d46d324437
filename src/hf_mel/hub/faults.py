"""Errors of the Hub and of the network: which are tried again, and the messages for the others."""

import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx
from transformers.utils import logging


logger = logging.get_logger(__name__)

Answer = TypeVar("Answer")
WAITS = (2, 10)  # seconds before the second try and before the third
LONGEST_WAIT = 300  # of those that the Hub asks for: it counts requests over five minutes
_PASSING = (408, 429, 500, 502, 503, 504)  # answers that another try may better
_AGAIN = "run the same again: what was sent of large files is not sent twice."


def patiently(step: Callable[[], Answer], what: str) -> Answer:
    """
    Calls `step` until it succeeds, three times at most: after an answer that says to come back, or a broken connection.

    Args:
        step (`Callable`):
            Something that may be begun again wherever it broke off.
        what (`str`):
            What it does, for the log.

    Raises:
        `httpx.HTTPError`, `RuntimeError` or `OSError`: that of the last try, or one that would only come again.
    """
    for wait in (*WAITS, None):
        try:
            return step()
        except (httpx.HTTPError, RuntimeError) as error:
            seconds = _seconds_to_wait(_cause(error), wait)
            if seconds is None:
                raise
            logger.warning(f"{what}: {_short(_cause(error))}; trying again in {seconds:g} s")
        time.sleep(seconds)
    raise AssertionError("the last try returns or raises")


def is_fault(error: Exception) -> bool:
    """Returns `True` if the Hub, or the connection to it, caused the error."""
    return isinstance(_cause(error), (httpx.HTTPError, OfflineModeIsEnabled))


def explained(error: Exception, repo_id: str, api: HfApi) -> str:
    """Returns an explanation of the error and of what to do, for messages."""
    cause = _cause(error)
    if isinstance(cause, HfHubHTTPError):
        return _explained_answer(cause, repo_id, api)
    if isinstance(cause, OfflineModeIsEnabled):
        return "the offline mode is on. Unset HF_HUB_OFFLINE, then run the same again."
    if isinstance(cause, httpx.ConnectError):
        return f"the Hub at {api.endpoint} cannot be reached ({cause}). Look at the network, then {_AGAIN}"
    return f"the connection to {api.endpoint} broke ({_short(cause)}). Look at the network, then {_AGAIN}"


def _explained_answer(error: HfHubHTTPError, repo_id: str, api: HfApi) -> str:
    status, said, owner = error.response.status_code, _said(error), repo_id.split("/")[0]
    if status == 401 and not (api.token or get_token()):
        return "nobody is logged in. Run `hf auth login`, or set HF_TOKEN, with a token that has write access."
    if status == 401:
        return f"the Hub does not accept the token{said}: is it expired, revoked, or cut off? Run `hf auth login` with another."
    if status == 403:
        return f"the token may not write there{said}. Run `hf auth login` with one that has write access to {owner!r}."
    if status == 404:
        return f"the Hub finds no such place{said}. If it is private, use a token that may read and write it."
    if status == 429:
        return f"the Hub asks for fewer requests{said}. Wait some minutes, then {_AGAIN}"
    if status >= 500:
        return f"the Hub has a fault of its own ({status}{said}). Wait a while, then {_AGAIN}"
    return f"the Hub answered {status}{said}."


def _said(error: HfHubHTTPError) -> str:
    words = " ".join((error.server_message or "").split())
    return f": {words.rstrip('.')}" if words else ""


def _short(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return f"the Hub answered {error.response.status_code}{_said(error)}"
    return f"{type(error).__name__}: {str(error).rstrip('.')}"


def _cause(error: Exception) -> Exception:
    """Returns the cause of an error: the client wraps the error of a large file's upload in one of its own."""
    inner = error.__cause__
    return inner if isinstance(error, RuntimeError) and isinstance(inner, httpx.HTTPError) else error


def _seconds_to_wait(error: Exception, wait: int | None) -> float | None:
    """`None`: another try is no use, or was the last."""
    if wait is None or not isinstance(error, httpx.HTTPError):
        return None
    if not isinstance(error, HfHubHTTPError):  # a Hub that was never reached is not there in a moment either
        return None if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)) else wait
    if error.response.status_code not in _PASSING:
        return None
    asked = error.response.headers.get("Retry-After", "")
    seconds = float(asked) if asked.isdecimal() else wait
    return seconds if seconds <= LONGEST_WAIT else None
