"""Pictures of requests: broken ones, large ones, and URLs."""

import base64
import gzip
import io
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from tests.service.common import FakeLinker, client, data_uri, picture


def link(ask, image):
    return ask.post("/link", json={"text": "a b", "mention": "b", "image": image})


def refusal(ask, image) -> str:
    answer = link(ask, image)
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["where"] == "image"
    return problem["what"]


def plain(content: bytes) -> str:
    return base64.b64encode(content).decode()


def noise(size) -> bytes:
    """A PNG that is about as large as its pixels."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width, height) -> bytes:
    """A PNG of a few bytes that claims many pixels."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


# ---- Sent pictures ----


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_kinds(kind):
    answer = link(client(), plain(picture(kind=kind)))
    assert answer.status_code == 200 and answer.json()["has_image"] is True


def test_a_data_uri_and_bare_base64_are_the_same():
    ask, lines = client(), base64.encodebytes(picture()).decode()
    answers = [link(ask, value).json() for value in (data_uri(picture()), plain(picture()), lines)]
    assert answers[0] == answers[1] == answers[2]
    assert link(ask, f"DATA:image/png;name=x;BASE64,{plain(picture())}").json() == answers[0]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("%%%", "neither base64 data nor a URL"),
        ("abc def=", "`+` must be sent as `%2B`"),
        ("data:image/png,abc", "must be base64"),
        ("data:image/png", "is no data URI"),
        ("data:;base64,", "it is empty"),
        ("é", "neither base64 data nor a URL"),
        (plain(b"<html>not found</html>"), "a web page, not a picture of a kind that is read here"),
        (plain(b"\0\0\0\x18ftypheic"), "a HEIC picture, not a picture of a kind that is read here"),
        (plain(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "no picture of a kind that is read here"),
        (plain(noise((40, 40))[:500]), "cannot be read as a picture"),
        ("file:///etc/passwd", "fetches no URLs"),
        ("http://127.0.0.1/a.png", "fetches no URLs"),
    ],
)
def test_what_is_no_picture(image, said):
    linker = FakeLinker()
    assert said in refusal(client(linker), image)
    assert not linker.calls, "an unreadable picture is not linked without it"


def test_a_picture_of_one_colour_is_none():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "PNG")
    answer = link(client(), plain(buffer.getvalue()))
    assert answer.status_code == 200 and answer.json()["has_image"] is False


def test_bytes_and_pixels():
    large = noise((60, 50))
    assert link(client(max_image_bytes=len(large)), plain(large)).status_code == 200
    assert f"more than {len(large) - 1:,} bytes" in refusal(client(max_image_bytes=len(large) - 1), plain(large))
    assert "more than 100 bytes" in refusal(client(max_image_bytes=100), plain(large))
    assert link(client(max_pixels=3_000), plain(large)).status_code == 200
    assert "60 x 50 pixels, more than 2,999" in refusal(client(max_pixels=2_999), plain(large))


@pytest.mark.parametrize("size", [(9_000, 9_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_not_decoded(size):
    assert "pixels" in refusal(client(), plain(bomb(*size)))


def test_the_pictures_of_a_request_together():
    ask = client(max_pixels=1_000)  # 4,000 in all
    images = [plain(noise((30, 30))) for _ in range(5)]
    assert len(set(images)) == 5
    mentions = [{"text": "a", "mention": "a", "image": image} for image in images]
    assert ask.post("/link", json={"mentions": mentions[:4]}).status_code == 200
    assert ask.post("/link", json={"mentions": mentions[:1] * 9}).status_code == 200, "one picture, nine times"
    answers = ask.post("/link", json={"mentions": mentions}).json()
    assert ["error" in each for each in answers] == [False] * 4 + [True]
    assert [each["where"] for each in answers[4]["error"]["problems"]] == ["mentions[4].image"]
    assert "more than 4,000 pixels in all" in answers[4]["error"]["problems"][0]["what"]


# ---- URLs ----


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        found = {"/a.png": (200, picture()), "/page": (200, b"<html>"), "/large": (200, b"x" * 50_000)}
        found["/gzip"] = (200, gzip.compress(picture()))
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", self.server.away)
            self.end_headers()
            return
        if self.path == "/silent":
            self.server.released.wait(10)
            return
        status, body = found.get(self.path, (404, b""))
        self.send_response(status)
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client had enough

    def log_message(self, *args):
        pass


@pytest.fixture
def web():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.away, server.released = [], "", threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def fetching(**settings):
    return client(**{"allow_urls": True, "allow_private_urls": True, "fetch_timeout": 5.0, **settings})


@pytest.mark.loopback
def test_a_url_is_the_picture_behind_it(web, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    ask = fetching()
    answer = link(ask, f"{web.url}/a.png")
    assert answer.status_code == 200 and answer.json() == link(ask, data_uri(picture())).json()
    assert web.asked == ["/a.png"]
    link(ask, f"{web.url}/a.png")
    assert web.asked == ["/a.png"] * 2 and not list(tmp_path.iterdir()), "nothing is kept"


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "HTTP 404"), ("/page", "a web page"), ("/large", "larger than 20,000 bytes"), ("/gzip", "compressed")],
)
def test_a_url_without_a_picture(web, path, said):
    reason = refusal(fetching(max_image_bytes=20_000), web.url + path)
    assert said in reason and path in reason


@pytest.mark.loopback
def test_a_silent_server(web):
    assert "longer than 0.2 s" in refusal(fetching(fetch_timeout=0.2), f"{web.url}/silent")
    assert web.asked == ["/silent"], "no second try"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a.png",
        "http://localhost:1/a.png",
        "http://[::1]:1/a.png",
        "http://[::ffff:127.0.0.1]:1/a.png",
        "http://2130706433:1/a.png",
        "http://0x7f000001:1/",
        "http://127.1:1/",
        "http://0.0.0.0:1/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://100.64.0.1/",
        "http://user:pw@127.0.0.1:1/",
    ],
)
def test_addresses_inside_are_not_asked(url):
    """No socket may be opened here: a connection would fail the test with another message."""
    reason = refusal(client(allow_urls=True), url)
    assert "not on the public internet" in reason and "pw" not in reason


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a.png", "file:///etc/passwd", "http://", "http:///x", "https://[::1"]
)
def test_other_urls_are_no_fault(url):
    assert "not fetched" in refusal(client(allow_urls=True), url)


def test_half_a_surrogate_pair_in_a_url():
    body = b'{"text": "a", "mention": "a", "image": "https://\\ud800.x/"}'
    answer = client(allow_urls=True).post("/link", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_a_name_that_leads_inside(monkeypatch):
    """The address of a name is looked up once, checked, and then used; what it is inside is not told."""
    found = [(2, 1, 6, "", ("10.9.8.7", 80))]
    monkeypatch.setattr("hf_mel.data.own.urls.socket.getaddrinfo", lambda *args, **kwargs: found)
    reason = refusal(client(allow_urls=True), "http://harmless.example/a.png")
    assert "not on the public internet" in reason and "10.9.8.7" not in reason


@pytest.mark.loopback
def test_a_redirect_that_leads_inside(web, monkeypatch):
    """The first address passes for a public one; the redirect is held against the rule like any other."""
    from hf_mel.data.own import urls

    real = urls.is_public
    monkeypatch.setattr(urls, "is_public", lambda address: address == "127.0.0.1" or real(address))
    for target in ("http://127.0.0.2:1/secret", "http://169.254.169.254/", "file:///etc/passwd"):
        web.away = target
        reason = refusal(client(allow_urls=True), f"{web.url}/away")
        assert "not on the public internet" in reason or "only http and https" in reason
    assert web.asked == ["/away"] * 3
