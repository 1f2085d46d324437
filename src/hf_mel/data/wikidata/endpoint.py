"""Entities from the API of Wikidata or of another Wikibase, a batch at a time, only where a URL is given."""

import json
import logging
import time
from collections.abc import Iterator, Sequence

from huggingface_hub.utils import httpx  # that of the hub's client; its name changes with the hub's version

from ...version import __version__
from ..url_names import shown_url


logger = logging.getLogger(__name__)

BATCH = 50
"""Entities of one request, the most that the API allows without special rights."""
ALL_PARTS = "labels|aliases|descriptions|claims|sitelinks"
MAX_LAG = 5
TIMEOUT = 60.0
RETRIES = 8
BACKOFF = 1.0
LONGEST_WAIT = 120.0

_TRY_AGAIN = (429, 500, 502, 503, 504)
_USER_AGENT = f"hf-mel/{__version__} (reader of entities for entity linking; Python httpx)"


class _TryAgain(Exception):
    """A failure that may pass: the reason, and the seconds that the server asks to wait."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def fetch_entities(
    endpoint: str, ids: Sequence[str], languages: Sequence[str], parts: str = ALL_PARTS
) -> Iterator[bytes]:
    """Answers of `wbgetentities` for 50 ids at a time, as lines of JSON. One request is under way at a time.

    A request is tried again after HTTP 429, 500, 502, 503, 504, an error `maxlag`, or a failed connection: after 1, 2, 4, ...
    seconds, or as long as `Retry-After` says, at most 2 minutes.

    Args:
        endpoint (`str`): URL of the API, such as `https://www.wikidata.org/w/api.php`.
        ids (`Sequence[str]`): QIDs and PIDs.
        languages (`Sequence[str]`): languages of the labels, aliases and descriptions.
        parts (`str`, *optional*): the parts of an entity, joined by `|`.

    Raises:
        `ValueError`: the endpoint refuses a request, or still fails after the last try.
    """
    asked = {"action": "wbgetentities", "format": "json", "props": parts, "languages": "|".join(languages)}
    with httpx.Client(headers={"User-Agent": _USER_AGENT}, timeout=TIMEOUT, follow_redirects=True) as client:
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            yield _answer(client, endpoint, asked | {"ids": "|".join(batch), "maxlag": str(MAX_LAG)})


def _answer(client, endpoint: str, parameters: dict[str, str]) -> bytes:
    for attempt in range(RETRIES + 1):
        try:
            return _tried(client, endpoint, parameters)
        except _TryAgain as failed:
            if attempt == RETRIES:
                raise ValueError(
                    f"{shown_url(endpoint)} failed {RETRIES + 1} times: {failed}; ids from {parameters['ids'].split('|')[0]} on"
                ) from failed
            wait = min(max(failed.wait, BACKOFF * 2**attempt), LONGEST_WAIT)
            logger.info("%s: %s; next try in %.0f s", shown_url(endpoint), failed, wait)
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _tried(client, endpoint: str, parameters: dict[str, str]) -> bytes:
    try:
        response = client.get(endpoint, params=parameters)
    except httpx.InvalidURL as error:
        raise ValueError(f"`endpoint` {shown_url(endpoint)!r} is no URL ({error})") from error
    except httpx.TransportError as error:
        raise _TryAgain(f"the connection failed ({error})") from error
    wait = response.headers.get("retry-after", "")
    wait = float(wait) if wait.isdecimal() else 0.0
    if response.status_code in _TRY_AGAIN:
        raise _TryAgain(f"HTTP {response.status_code}", wait)
    if response.status_code != 200:
        raise ValueError(f"{shown_url(endpoint)} answers with HTTP {response.status_code}")
    try:
        content = json.loads(response.content)
    except ValueError as error:
        raise ValueError(
            f"{shown_url(endpoint)} does not answer with JSON ({error}): is it the URL of api.php?"
        ) from error
    problem = content.get("error") if isinstance(content, dict) else {"code": "no object", "info": "no JSON object"}
    if problem and problem.get("code") == "maxlag":
        raise _TryAgain("the server lags (maxlag)", wait)
    if problem or "entities" not in content:
        problem = problem or {"code": "no entities", "info": "the answer has no entities"}
        raise ValueError(f"{shown_url(endpoint)} refuses the request: {problem.get('code')}: {problem.get('info')}")
    return response.content
