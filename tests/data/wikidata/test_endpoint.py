"""QIDs against an API on loopback: batches, redirects, missing entities, labels of values, and retries."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from hf_mel import KnowledgeBase
from hf_mel.data import build_from_wikidata
from hf_mel.data.wikidata import endpoint as endpoint_of
from hf_mel.data.wikidata import source as source_of
from tests.data.wikidata.fixture import entities


RECORDS = {record["id"]: record for record in reversed(entities()) if record.get("type") in ("item", "property")}
REDIRECTS = {"Q20003": "Q762"}


@contextmanager
def api(failures=()):
    """The URL of an API that answers like Wikidata's, and the requests that it gets; first it fails as `failures` say."""
    requests, failing = [], list(failures)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = {name: values[0] for name, values in parse_qs(urlparse(self.path).query).items()}
            requests.append(asked | {"agent": self.headers["User-Agent"]})
            status, headers, body = failing.pop(0) if failing else (200, {}, answer(asked))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/w/api.php", requests
    finally:
        server.shutdown()
        server.server_close()


def answer(asked: dict) -> dict:
    found = {}
    for asked_id in asked["ids"].split("|"):
        entity_id = REDIRECTS.get(asked_id, asked_id)
        record = RECORDS.get(entity_id)
        if record is None:
            found[asked_id] = {"id": asked_id, "missing": ""}
        else:
            parts = {"id", "type", *asked["props"].split("|")}
            found[asked_id] = {name: value for name, value in record.items() if name in parts}
    return {"entities": found, "success": 1}


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """The seconds that were waited."""
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(endpoint_of.time, "sleep", found.append)
    return found


@pytest.mark.loopback
def test_a_list_of_qids(waits):
    people = [f"Q{10000 + number}" for number in range(1, 61)]
    lines = ["# people", *people, "", "http://www.wikidata.org/entity/Q762", "Q20003", "Q404404", "Q10001", "Douglas"]
    Path("ids.txt").write_text("\n".join(lines))
    with api() as (url, requests):
        report = build_from_wikidata(
            "ids.txt", "kb", languages=["de", "en"], properties=["P106", "P19"], endpoint=url, num_workers=2
        )
    first, second, labels = requests
    assert [len(each["ids"].split("|")) for each in requests] == [50, 13, 8] and not waits
    assert {each["agent"].split("/")[0] for each in requests} == {"hf-mel"}
    assert first["action"] == "wbgetentities" and first["maxlag"] == "5" and first["languages"] == "de|en|mul"
    assert second["props"] == "labels|aliases|descriptions|claims|sitelinks"
    # Type, two occupations, two places and one that is missing, and two properties: none of them was in the list.
    assert labels["props"] == "labels"
    asked = {"Q5", "Q1028181", "Q1281618", "Q1741", "Q64", "Q404404", "P106", "P19"}
    assert set(labels["ids"].split("|")) == asked
    kb = KnowledgeBase.load("kb")
    assert kb.ids == [*people, "Q762"] and report["entities_read"] == 63
    assert kb.texts([0]) == ["Tätigkeit: sculptor. Place of birth: Berlin."]
    assert report["redirects_followed"] == {"count": 1, "first": ["Q20003 -> Q762"]}
    assert {kind: entry["first"] for kind, entry in report["left_out"].items()} == {
        "missing": ["Q404404"],
        "duplicate": ["Q762"],
    }
    assert report["bad_lines"]["first"] == ["line 67: 'Douglas' is no QID"]
    assert report["repeated_qids"]["first"] == ["Q10001"] and report["endpoint"] == url


LAGGING = {"error": {"code": "maxlag", "info": "Waiting for a server: 7 seconds lagged"}}


@pytest.mark.loopback
def test_tries_again(waits):
    Path("ids.txt").write_text("Q762\n")
    failures = [
        (429, {"Retry-After": "7"}, b""),
        (503, {}, b"busy"),
        (200, {"Retry-After": "5"}, LAGGING),
        (500, {}, b""),
    ]
    with api(failures) as (url, requests):
        build_from_wikidata("ids.txt", "kb", endpoint=url)
    # 1, 2, 4, 8 seconds, or what the server asks for if that is longer; the labels come in the sixth request.
    assert waits == [7, 2, 5, 8] and len(requests) == 6


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("failure", "requests_made", "message"),
    [
        ((503, {}, b""), 9, "failed 9 times: HTTP 503; ids from Q762 on"),
        ((404, {}, b""), 1, "answers with HTTP 404"),
        ((200, {}, b"<html>"), 1, r"does not answer with JSON .*is it the URL of api\.php\?"),
        (
            (200, {}, {"error": {"code": "no-such-entity", "info": "No."}}),
            1,
            "refuses the request: no-such-entity: No",
        ),
        ((200, {}, {"batchcomplete": ""}), 1, "the answer has no entities"),
        ((200, {}, []), 1, "no JSON object"),
    ],
)
def test_gives_up(waits, failure, requests_made, message):
    Path("ids.txt").write_text("Q762\n")
    with api([failure] * 9) as (url, requests), pytest.raises(ValueError, match=message):
        build_from_wikidata("ids.txt", "kb", endpoint=url)
    assert len(requests) == requests_made and not Path("kb").exists()
    assert max(waits, default=0) <= endpoint_of.LONGEST_WAIT


def test_nothing_is_fetched_without_an_endpoint(waits, monkeypatch):
    """`no_network` fails any connection; the list is refused before."""
    Path("ids.txt").write_text("Q762\n")
    monkeypatch.setattr(source_of, "read_qids", None)
    with pytest.raises(ValueError, match="needs `endpoint`"):
        build_from_wikidata("ids.txt", "kb")
