"""What goes over the wire: who asks, what is asked, what is answered."""

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus

from .store import HubError


@dataclass(frozen=True)
class User:
    """Who a token belongs to; may write under the own name and those of `organizations`, unless `role` is `"read"`."""

    name: str
    organizations: tuple[str, ...] = ()
    role: str = "write"

    def belongs_to(self, namespace: str) -> bool:
        return namespace in (self.name, *self.organizations)


@dataclass(frozen=True)
class Question:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> dict:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, f"Invalid JSON: {error}") from error


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content, status: int = 200, headers: dict[str, str] | None = None) -> "Reply":
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def error_reply(error: HubError) -> Reply:
    headers = {"X-Error-Message": error.message.replace("\n", " ")}
    if error.code:
        headers["X-Error-Code"] = error.code
    return Reply.of({"error": error.message}, error.status, headers)


def ranged(question: Question, content: bytes, headers: dict[str, str]) -> Reply:
    """The whole content or, if so asked, a stretch of it."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", question.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-":
        return Reply(200, content, headers)
    first, last = asked.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(int(last) + 1, len(content)) if first and last else len(content)
    if start >= stop:
        return Reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Reply(206, content[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})
