"""The server: sockets, the log of requests, and faults on demand."""

import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from .protocol import Question, Reply, User, error_reply
from .routes import Api
from .store import Commit, HubError, Repository, Store, StoredFile, goes_to_large_storage


WRITE_TOKEN, READ_TOKEN, STRANGER_TOKEN = "hf_test_write", "hf_test_read", "hf_test_stranger"


@dataclass
class Fault:
    """
    What goes wrong, and when.

    Args:
        method (`str`): of the requests it strikes; a regular expression.
        path (`str`): a regular expression that is searched in their path with its query. Large files are loaded from
            `/_large/<sha256>?filename=<path>` and put to `/_large/<sha256>`.
        status (`int`, *optional*): nothing is done and this is answered.
        headers (`dict[str, str]`, *optional*): go with it, such as `Retry-After`.
        cut_after (`int`, *optional*): the connection ends after so many bytes of what is sent to the client or, for a
            request with a body, of what it sends. Nothing of an upload that was cut is kept.
        lose_reply (`bool`, *optional*, defaults to `False`): what is asked for is done, but the connection ends unanswered.
        commit (`str`, *optional*): the commit that answers name, in place of the true one.
        skip (`int`, *optional*, defaults to 0): how many requests pass first.
        times (`int`, *optional*, defaults to 1): how many are struck; `None` for all.
    """

    method: str
    path: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    lose_reply: bool = False
    commit: str | None = None
    skip: int = 0
    times: int | None = 1

    def strikes(self, method: str, target: str) -> bool:
        """Counts."""
        if self.times == 0 or not (re.fullmatch(self.method, method) and re.search(self.path, target)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True)
class Logged:
    """A request as it was answered; `status` is `None` where the connection was cut, `sent` counts bytes of the body."""

    method: str
    path: str
    status: int | None
    sent: int
    headers: dict[str, str]


class Hub:
    """
    A Hub on 127.0.0.1 for the time of a `with` block.

    `org` is an organization that `alice`, with [`WRITE_TOKEN`] or the read-only [`READ_TOKEN`], belongs to; `mallory` with
    [`STRANGER_TOKEN`] does not. `api` has what can be set: `large_from`, `part_size`, `page_size`.
    """

    def __init__(self):
        users = {
            WRITE_TOKEN: User("alice", ("org",)),
            READ_TOKEN: User("alice", ("org",), role="read"),
            STRANGER_TOKEN: User("mallory"),
        }
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.store = Store()
        self.api = Api(self.store, users, self.url, self.url.replace("127.0.0.1", "localhost"))
        self.faults: list[Fault] = []
        self.requests: list[Logged] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Hub":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # ---- For tests: what is there, and what happened ----

    def repo(self, repo_id: str, kind: str = "model") -> Repository:
        """Raises `KeyError` for one that is not there."""
        return self.store.repositories[kind, repo_id]

    def files(self, repo_id: str, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """The contents of all files by their paths, without the `.gitattributes` that each repository begins with."""
        commit = self.repo(repo_id, kind).at(revision)
        return {path: file.content for path, file in sorted(commit.files.items()) if path != ".gitattributes"}

    def add(self, repo_id: str, files: dict[str, bytes], kind: str = "model", private: bool = False) -> Commit:
        """Files put into a repository, a new one if need be, without a client."""
        namespace = repo_id.split("/")[0]
        repo = self.store.get(kind, repo_id) or self.store.create(kind, repo_id, private, namespace)
        stored = dict(repo.at().files)
        for path, content in files.items():
            large = goes_to_large_storage(path, len(content), content[:512], self.api.large_from)
            stored[path] = StoredFile(content, large)
        return repo.record("main", stored, namespace, "Upload files")

    def fail(self, method: str, path: str, **what) -> Fault:
        """Something will go wrong: see [`Fault`]."""
        self.faults.append(Fault(method, path, **what))
        return self.faults[-1]

    def asked(self, method: str = ".*", path: str = "", status: int | None = None) -> list[Logged]:
        """The requests so far, in order, whose method is this and whose path has this in it (regular expressions)."""
        with self._lock:
            return [
                request
                for request in self.requests
                if re.fullmatch(method, request.method)
                and re.search(path, request.path)
                and status in (None, request.status)
            ]

    def forget_requests(self) -> None:
        with self._lock:
            self.requests.clear()

    # ---- For the server ----

    def fault_for(self, method: str, target: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.strikes(method, target)), None)

    def record(self, request: Logged) -> None:
        with self._lock:
            self.requests.append(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


class _CutConnection(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart; waiting for the acknowledgement costs 40 ms

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server.hub.fault_for(self.command, unquote(self.path))
        try:
            uploading = self.command in ("PUT", "POST")
            body = self._body(headers, fault.cut_after if fault and uploading else None)
            reply = self._reply(headers, body, fault)
            if fault and fault.lose_reply:
                raise _CutConnection
        except (_CutConnection, ConnectionError):
            self._log(headers, None, 0)
            return self._cut()
        content = b"" if self.command == "HEAD" else reply.body
        cut = fault is not None and fault.cut_after is not None and fault.cut_after < len(content)
        content = content[: fault.cut_after] if cut else content
        self._log(
            headers, None if cut else reply.status, len(content)
        )  # first: who has the answer may ask for the log
        self._send(reply, content)
        if cut:
            self._cut()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _reply(self, headers: dict[str, str], body: bytes, fault: Fault | None) -> Reply:
        if fault and fault.status:
            reply = error_reply(HubError(fault.status, f"{fault.status} on demand"))
            reply.headers.update(fault.headers)
            return reply
        address = urlsplit(self.path)
        query = parse_qs(address.query, keep_blank_values=True)
        reply = self.server.hub.api.answer(Question(self.command, address.path, query, headers, body))
        if fault and fault.commit:
            reply.headers.update({"X-Repo-Commit": fault.commit} if "X-Repo-Commit" in reply.headers else {})
            reply.body = re.sub(
                rb'("(?:sha|commitOid)": )"[0-9a-f]{40}"', rb'\1"%s"' % fault.commit.encode(), reply.body
            )
        return reply

    def _body(self, headers: dict[str, str], cut_after: int | None) -> bytes:
        if cut_after is not None:
            self.rfile.read(min(cut_after, int(headers.get("content-length", cut_after))))
            raise _CutConnection
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise _CutConnection  # by the client
        return body

    def _chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailing headers
        return b"".join(chunks)

    def _send(self, reply: Reply, content: bytes) -> None:
        try:
            self.send_response(reply.status)
            for name, value in (reply.headers | {"Content-Length": str(len(reply.body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True  # the client did not wait for it

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client was faster

    def _log(self, headers: dict[str, str], status: int | None, sent: int) -> None:
        self.server.hub.record(Logged(self.command, unquote(self.path), status, sent, headers))

    def log_message(self, *arguments) -> None:
        """Nothing on the terminal: `Hub.requests` has it."""
