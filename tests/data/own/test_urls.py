"""Pictures from a server on this machine, and everything that must not be fetched."""

import gzip
import io
import logging
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from hf_mel.data import KnowledgeBase
from hf_mel.data.own.urls import FetchLimits, PictureFetcher, is_public
from hf_mel.data.url_names import is_url, shown_url


def picture(size=(6, 4)) -> bytes:
    image, buffer = Image.new("RGB", size, "red"), io.BytesIO()
    image.putpixel((0, 0), (0, 0, 255))
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        path = self.path.split("?")[0]
        server.asked[path] += 1
        server.headers[path] = dict(self.headers)
        with server.lock:
            server.running += 1
            server.most = max(server.most, server.running)
        try:
            self.answer(path)
        finally:
            with server.lock:
                server.running -= 1

    def answer(self, path):
        number = self.server.asked[path]
        if path.startswith("/hop"):
            left = int(path[4:])
            return self.send(302, b"", Location="/good.png" if left == 0 else f"/hop{left - 1}")
        if path == "/away":
            return self.send(302, b"", Location=self.server.away)
        if path == "/busy":
            wait = {"Retry-After": "0"} if number == 1 else {}
            return self.send({1: 429, 2: 503}.get(number, 200), picture(), **wait)
        if path == "/cookie":
            return self.send(200, picture(), **{"Set-Cookie": "a=b"})
        if path == "/html":
            return self.send(200, b"<html>not found</html>")
        if path == "/gzip":
            return self.send(200, gzip.compress(picture()), **{"Content-Encoding": "gzip"})
        if path == "/large":
            return self.send(200, b"x" * 300_000)
        if path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 100)
                    time.sleep(0.05)
            except OSError:
                return None
        if path == "/silent":
            self.server.released.wait(10)
            return None
        if path.startswith("/slow"):
            time.sleep(0.1)
        return self.send(404, b"no") if path in ("/gone", "/broken") else self.send(200, picture())

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client had enough

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.headers, server.lock = Counter(), {}, threading.Lock()
        server.running = server.most = 0
        server.away, server.released = "", threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def limits(tmp_path):
    return {"allow_private": True, "backoff": 0.0, "timeout": 5.0, "cache_dir": tmp_path / "cache"}


def fetch_one(limits, url, **more):
    return PictureFetcher(FetchLimits(**{**limits, **more})).fetch([url])[url]


# ---- In a table ----


def test_urls_are_not_fetched_unless_asked(tmp_path, caplog, write_picture):
    """No server and no mark: the suite refuses connections."""
    write_picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(
        "id,name,image_url\n1,a,https://x.org/a.png\n2,b,a.png\n3,c,\n4,d,HTTP://x.org/b\n"
    )
    kb = KnowledgeBase.from_csv(tmp_path / "t.csv")
    assert kb.dataset["image_status"][:] == ["missing_file", "ok", "none", "missing_file"]
    assert [row["image"] is None for row in map(kb.__getitem__, range(4))] == [True, False, True, True]
    assert (
        f"{tmp_path / 't.csv'}: 2 pictures named by a URL and not fetched: 1, 4; `fetch_urls=True` fetches such pictures"
        in caplog.messages
    )
    with pytest.raises(FileNotFoundError) as raised:
        KnowledgeBase.from_csv(tmp_path / "t.csv", strict_images=True)
    assert "line 2, picture of record '1': https://x.org/a.png was not fetched" in str(raised.value)
    assert "line 5, picture of record '4'" in str(raised.value)


@pytest.mark.loopback
def test_a_table_with_urls(tmp_path, server, limits, caplog):
    names = ["good.png", "gone", "html", "good.png", "busy"]
    rows = "".join(f"{i},n{i},{server.url}/{name}\n" for i, name in enumerate(names))
    (tmp_path / "t.csv").write_text("id,name,image\n" + rows)
    with caplog.at_level(logging.DEBUG):
        kb = KnowledgeBase.from_csv(tmp_path / "t.csv", fetch_urls=FetchLimits(**limits))
    assert kb.dataset["image_status"][:] == ["ok", "missing_file", "missing_file", "ok", "ok"]
    assert [image and image.size for image in kb.images()] == [(6, 4), None, None, (6, 4), (6, 4)]
    assert f"{tmp_path / 't.csv'}: 2 pictures could not be fetched: 1, 2" in caplog.messages
    assert f"line 3, record '1': {server.url}/gone was not fetched: HTTP 404" in caplog.messages
    html = f"line 4, record '2': {server.url}/html was not fetched: its content is a web page, not a picture"
    assert html in caplog.messages
    assert server.asked == {"/good.png": 1, "/gone": 1, "/html": 1, "/busy": 3}
    # A second run asks again only for what it has not got.
    KnowledgeBase.from_csv(tmp_path / "t.csv", fetch_urls=FetchLimits(**limits))
    assert server.asked == {"/good.png": 1, "/gone": 2, "/html": 2, "/busy": 3}
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.loopback
def test_nothing_is_fetched_for_a_table_that_is_refused(tmp_path, server, limits):
    (tmp_path / "t.csv").write_text(f"id,name,image\n1,a,{server.url}/good.png\n2,,\n")
    with pytest.raises(ValueError, match="line 3: `name` is missing"):
        KnowledgeBase.from_csv(tmp_path / "t.csv", fetch_urls=FetchLimits(**limits))
    assert not server.asked


# ---- Limits ----


@pytest.mark.loopback
def test_redirects_are_followed_and_counted(server, limits):
    path, reason = fetch_one(limits, f"{server.url}/hop4")
    assert reason is None and path.read_bytes() == picture()
    assert fetch_one(limits, f"{server.url}/hop5")[1].endswith("/hop5 was not fetched: more than 5 redirects")
    assert fetch_one(limits, f"{server.url}/hop0", max_redirects=0)[0] is None


@pytest.mark.loopback
def test_size_and_compression(server, limits):
    path, reason = fetch_one(limits, f"{server.url}/large", max_bytes=200_000)
    assert path is None and reason.endswith("it is larger than 200,000 bytes")
    exact = len(picture())
    assert fetch_one(limits, f"{server.url}/a", max_bytes=exact)[0].read_bytes() == picture()
    assert fetch_one(limits, f"{server.url}/b", max_bytes=exact - 1)[0] is None
    assert "it is compressed" in fetch_one(limits, f"{server.url}/gzip")[1]


@pytest.mark.loopback
@pytest.mark.parametrize("path", ["endless", "silent"])
def test_time(server, limits, path):
    begin = time.monotonic()
    file, reason = fetch_one(limits, f"{server.url}/{path}", timeout=0.3, retries=1)
    assert file is None and reason.endswith("it took longer than 0.3 s")
    assert time.monotonic() - begin < 5
    assert server.asked[f"/{path}"] == 2


@pytest.mark.loopback
def test_retries_end_and_wait_longer_each_time(server, limits, monkeypatch):
    waited = []
    monkeypatch.setattr("hf_mel.data.own.urls.time.sleep", waited.append)
    assert fetch_one(limits, f"{server.url}/busy", retries=1, backoff=1.0)[1].endswith("HTTP 503")
    server.asked.clear()
    assert fetch_one(limits, f"{server.url}/busy", retries=2, backoff=1.0)[1] is None
    assert waited == [1.0, 1.0, 2.0]
    assert fetch_one(limits, f"{server.url}/gone")[1].endswith("HTTP 404")
    assert server.asked["/gone"] == 1


@pytest.mark.loopback
def test_no_more_at_once_than_allowed(server, limits):
    urls = [f"{server.url}/slow{i}" for i in range(9)]
    found = PictureFetcher(FetchLimits(**limits, parallel=3)).fetch(urls)
    assert list(found) == urls and {reason for _, reason in found.values()} == {None}
    assert server.most == 3


@pytest.mark.loopback
def test_what_a_request_tells(server, limits):
    urls = [f"http://user:secret@127.0.0.1:{server.server_port}/cookie?key=1", f"{server.url}/a"]
    PictureFetcher(FetchLimits(**limits, parallel=1)).fetch(urls)
    assert server.headers["/a"]["User-Agent"].startswith("hf-mel/")
    assert server.headers["/cookie"]["Host"] == f"127.0.0.1:{server.server_port}"
    for headers in server.headers.values():
        assert not {"Cookie", "Authorization"} & set(headers)


@pytest.mark.loopback
def test_a_host_is_asked_for_by_its_name(server, limits):
    assert fetch_one(limits, f"http://localhost:{server.server_port}/a")[0] is not None
    assert server.headers["/a"]["Host"] == f"localhost:{server.server_port}"


# ---- What must not be reached ----


@pytest.mark.loopback
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_this_machine_is_not_reached(server, limits, host):
    path, reason = fetch_one(limits, f"http://{host}:{server.server_port}/good.png", allow_private=False)
    assert path is None and "which is not public" in reason
    assert not server.asked


@pytest.mark.loopback
def test_a_redirect_is_checked_like_a_url(server, limits, monkeypatch):
    """The first host counts as public here; the one that it redirects to is not."""
    server.away = f"http://localhost:{server.server_port}/good.png"
    monkeypatch.setattr("hf_mel.data.own.urls.is_public", lambda address: not server.asked)
    path, reason = fetch_one(limits, f"{server.url}/away", allow_private=False)
    assert path is None and "which is not public" in reason
    assert server.asked == {"/away": 1}
    server.away = "http://[x"
    assert fetch_one(limits, f"{server.url}/away")[0] is None
    server.away = "file:///etc/passwd"
    assert fetch_one(limits, f"{server.url}/away")[1].endswith("only http and https are fetched")


@pytest.mark.loopback
def test_a_name_with_a_public_and_a_private_address_is_refused(server, limits, monkeypatch):
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr("hf_mel.data.own.urls.socket.getaddrinfo", lambda *args, **kwargs: entries)
    assert "127.0.0.1, which is not public" in fetch_one(limits, "http://x.org/a", allow_private=False)[1]


def test_the_address_that_was_checked_is_the_one_that_is_reached(limits, monkeypatch):
    """A second look-up, which could give another address, does not happen."""
    asked = []

    def look_up(host, port, **kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr("hf_mel.data.own.urls.socket.getaddrinfo", look_up)
    target, host, netloc = PictureFetcher(FetchLimits(**limits))._target("https://u:p@x.org:444/a?b#c")
    assert (str(target), host, netloc) == ("https://8.8.8.8:444/a?b", "x.org", "x.org:444")
    assert asked == ["x.org"]


@pytest.mark.parametrize(
    "url", ["ftp://x.org/a", "file:///etc/passwd", "s3://bucket/a", "http:///a", "http://x:port/a"]
)
def test_only_the_web(limits, url):
    assert fetch_one(limits, url)[0] is None


def test_an_unknown_host(limits, monkeypatch):
    tries = []

    def fails(host, *args, **kwargs):
        tries.append(host)
        raise socket.gaierror(socket.EAI_NONAME if host == "x.invalid" else socket.EAI_AGAIN, "unknown")

    monkeypatch.setattr("hf_mel.data.own.urls.socket.getaddrinfo", fails)
    assert "its host is not known" in fetch_one(limits, "http://x.invalid/a")[1]
    assert "its host is not known" in fetch_one(limits, "http://y.invalid/a", retries=2)[1]
    assert tries == ["x.invalid"] + ["y.invalid"] * 3


@pytest.mark.loopback
def test_a_closed_port(limits):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        assert "the connection failed" in fetch_one(limits, url, retries=1)[1]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("10.1.2.3", False), ("172.16.0.1", False),
        ("192.168.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False), ("0.0.0.0", False),
        ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False), ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True), ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_public_addresses(address, public):
    assert is_public(address) is public


# ---- Small things ----


def test_what_is_a_url():
    assert all(map(is_url, ["http://x", "HTTPS://x/y", "s3://b/k", "file:///x"]))
    assert not any(map(is_url, ["a.png", "C:\\a.png", "c:/a.png", "/x//y", "", None, 3, b"http://x"]))
    assert shown_url("http://[x/a") == "http://[x/a"
    assert shown_url("http://x.org?token=a@b") == "http://x.org"
    assert shown_url("https://user:secret@x.org:8/a/b.png?token=1#z") == "https://x.org:8/a/b.png"


def test_limits_are_checked():
    for name in ("timeout", "max_bytes", "parallel"):
        with pytest.raises(ValueError, match=f"{name}=0 must be at least"):
            FetchLimits(**{name: 0})
    with pytest.raises(ValueError, match="retries=-1 must not be negative"):
        FetchLimits(retries=-1)


def test_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_mel.data.own.urls.config.HF_CACHE_HOME", tmp_path)
    assert PictureFetcher().folder == tmp_path / "hf_mel" / "pictures"
