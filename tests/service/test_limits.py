"""What a request may not exceed."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hf_mel.service import ServiceConfig, create_app, open_socket
from hf_mel.service.limits import BodyLimit, Refused, Workshop
from tests.service.common import FakeLinker, client, served


ONE = {"text": "a b", "mention": "b"}


def test_counts_and_lengths():
    linker = FakeLinker()
    ask = client(linker, max_mentions=2, max_text=5, max_top_k=5)
    assert ask.post("/link", json={"mentions": [ONE, ONE]}).status_code == 200
    for body, where in (
        ({"mentions": [ONE, ONE, ONE]}, "mentions"),
        ({"text": "abcdef", "mention": "a"}, "text"),
        ({"text": "a", "mention": "abcdef"}, "mention"),
        ({**ONE, "top_k": 6}, "top_k"),
    ):
        answer = ask.post("/link", json=body)
        assert answer.status_code == 422 and answer.json()["problems"][0]["where"] == where
    assert linker.calls == [2]


def test_settings_are_checked_together():
    with pytest.raises(ValueError) as raised:
        ServiceConfig(max_body=0, timeout=0, max_waiting=-1, top_k=7, max_top_k=3, entity_url="https://x", name=" ",
                      threshold=2, schema_space="x")  # fmt: skip
    for name in ("max_body", "timeout", "max_waiting", "top_k", "entity_url", "name", "threshold", "schema_space"):
        assert f"  {name}: " in str(raised.value)


# ---- Body ----


def parts(size, count=10):
    """A body without a length, as a client sends it that does not know it."""
    for _ in range(count):
        yield b"x" * (size // count)


@pytest.mark.parametrize("path", ["/link", "/reconcile", "/nowhere"])
def test_a_large_body_is_refused_before_it_is_parsed(path):
    ask = client(max_body=1_000)
    for content in (b"x" * 1_001, parts(2_000)):
        answer = ask.post(path, content=content, headers={"Origin": "http://elsewhere"})
        assert answer.status_code == 413 and "1,000 bytes" in answer.json()["message"]
        assert answer.headers["access-control-allow-origin"] == "*"
    assert ask.post("/link", content=parts(1_000), headers={"content-type": "application/json"}).status_code == 400
    assert ask.post("/link", json=ONE).status_code == 200


def asgi(app, messages, headers=()):
    """What an application sends for what it receives, and how much of that it took."""
    sent, taken = [], []

    async def receive():
        if len(taken) == len(messages):
            await asyncio.sleep(30)
        taken.append(messages[len(taken)])
        return taken[-1]

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
    asyncio.run(app(scope, receive, send))
    return sent, len(taken)


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"gone")})


def chunk(size, more=True):
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


def test_counting_stops_at_the_limit():
    app = BodyLimit(echo, max_body=10, timeout=5)
    sent, taken = asgi(app, [chunk(6)] * 50)
    assert sent[0]["status"] == 413 and taken == 2
    sent, taken = asgi(app, [chunk(1)], headers=[(b"content-length", b"11")])
    assert sent[0]["status"] == 413 and taken == 0
    # A length that is too small helps nobody.
    sent, _ = asgi(app, [chunk(6), chunk(6, False)], headers=[(b"content-length", b"3")])
    assert sent[0]["status"] == 413
    sent, _ = asgi(app, [chunk(6), chunk(4, False)])
    assert sent[0]["status"] == 200 and sent[1]["body"] == b"x" * 10
    sent, _ = asgi(app, [chunk(6), {"type": "http.disconnect"}])
    assert sent[1]["body"] == b"gone"


def test_a_body_that_does_not_come():
    begin = time.monotonic()
    sent, _ = asgi(BodyLimit(echo, max_body=10, timeout=0.05), [chunk(1)])
    assert sent[0]["status"] == 408 and "0.05 s" in json.loads(sent[1]["body"])["message"]
    assert time.monotonic() - begin < 5


# ---- Time and queue ----


def test_time_is_up():
    linker = FakeLinker()
    ask = client(linker, timeout=0.1)
    linker.gate.clear()
    begin = time.monotonic()
    answer = ask.post("/link", json=ONE)
    assert answer.status_code == 504 and "longer than 0.1 s" in answer.json()["message"]
    assert time.monotonic() - begin < 5
    linker.gate.set()
    assert ask.post("/link", json=ONE).status_code == 200


def test_a_full_queue():
    """One is worked on, two wait, the others are told to come back; those that wait are answered."""
    linker = FakeLinker()
    with client(linker, max_waiting=2, timeout=20) as ask, ThreadPoolExecutor(8) as pool:
        linker.gate.clear()
        asked = [pool.submit(ask.post, "/link", json=ONE) for _ in range(8)]
        end = time.monotonic() + 10
        while sum(future.done() for future in asked) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        refused = [future.result() for future in asked if future.done()]
        assert len(refused) == 5
        for answer in refused:
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
            assert "2 requests are waiting" in answer.json()["message"]
        assert ask.get("/health").status_code == 200, "needs no place"
        linker.gate.set()
        assert sorted(future.result().status_code for future in asked) == [200] * 3 + [503] * 5
        assert linker.most == 1


def test_work_that_waited_too_long_is_not_begun():
    async def scenario():
        shop, gate, done = Workshop(max_waiting=5, timeout=0.1), threading.Event(), []

        async def work(name):
            async with shop.place():
                await shop.compute(lambda: (gate.wait(5), done.append(name)))

        results = await asyncio.gather(*(work(name) for name in "abc"), return_exceptions=True)
        gate.set()
        assert shop.inside == 0
        async with shop.place():
            await shop.compute(done.append, "d")
        shop.close()
        return results, done

    results, done = asyncio.run(scenario())
    assert [type(result) for result in results] == [Refused] * 3 and {result.status for result in results} == {504}
    assert done == ["a", "d"], "what had begun ends, what waited does not begin"


def test_an_error_of_the_work_is_no_matter_of_time():
    async def scenario():
        shop = Workshop(max_waiting=0, timeout=5)

        def fail():
            raise TimeoutError("a socket's")

        async with shop.place():
            await shop.compute(fail)

    with pytest.raises(TimeoutError, match="a socket's"):
        asyncio.run(scenario())


def test_the_socket():
    """An answer leaves at once where the protocol is named (asyncio asks for it), and an address is free again at once."""
    with open_socket("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP and listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(OSError, match="cannot listen at 127.0.0.1"):
            open_socket("127.0.0.1", listening.getsockname()[1])
    with pytest.raises(OSError, match="cannot listen at 192.0.2.1"):
        open_socket("192.0.2.1", 0)


@pytest.mark.loopback
def test_a_real_server():
    from huggingface_hub.utils import httpx  # that of the hub's client, whatever its name

    linker = FakeLinker()
    app = create_app(linker, ServiceConfig(max_body=2_000))
    with served(app) as url, httpx.Client(base_url=url, timeout=10, trust_env=False) as ask:
        expected = ask.post("/link", json=ONE)
        assert expected.status_code == 200 and "server" not in expected.headers
        assert ask.post("/link", content=b"x" * 3_000).status_code == 413
        assert ask.post("/link", content=parts(3_000)).status_code == 413
        linker.pause = 0.005
        bodies = [{"text": f"a {number}", "mention": "a"} for number in range(20)]
        alone = [ask.post("/link", json=body).json() for body in bodies]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda body: ask.post("/link", json=body).json(), bodies))
        assert together == alone and linker.most == 1
        manifest = ask.get("/reconcile").json()
        assert manifest["view"]["url"].startswith(url)
        assert ask.get(manifest["preview"]["url"].replace("{{id}}", "Q1")).text.startswith("<!DOCTYPE html>")
