"""`/link`, `/entities/{id}` and `/health`, with a linker that knows nothing of models."""

import base64
import json

import pytest

from hf_mel.data import open_image
from hf_mel.linking.linked_mention import LinkedMention, MentionQuery
from hf_mel.service import pictures
from tests.service.common import ENTITIES, FakeLinker, client, data_uri, picture


def problems(response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    answer = response.json()
    assert set(answer) == {"message", "problems"}
    return {each["where"]: each["what"] for each in answer["problems"]}


# ---- Answers ----


def test_one_and_many_are_what_the_linker_says():
    linker = FakeLinker(calibrated=True)
    ask = client(linker)
    image, _ = open_image(picture())
    queries = [
        MentionQuery("Ada", "Ada met Ada.", start=8, id="a"),
        MentionQuery("Paris", "Paris shines", image=image),
        MentionQuery("nowhere", "here"),
    ]
    sent = [
        {"text": "Ada met Ada.", "mention": "Ada", "start": 8, "id": "a"},
        {"text": "Paris shines", "mention": "Paris", "image": data_uri(picture())},
        {"text": "here", "mention": "nowhere"},
    ]
    options = {"top_k": 3, "threshold": 0.9, "types": ["city", "person"], "entity_ids": ["Q1", "Q2", "Q3", "Q4"]}
    expected = linker.link_queries(queries, **options)
    answer = ask.post("/link", json={"mentions": sent, **options})
    assert answer.status_code == 200
    assert [LinkedMention.from_dict(each) for each in answer.json()] == expected
    assert {len(each["candidates"]) for each in answer.json()} == {3}
    for one, linked in zip(sent, expected, strict=True):
        assert ask.post("/link", json={**one, **options}).json() == linked.to_dict()
    # Answers of the fake depend on text, mention, place and picture; so all of these arrived.
    assert len({each.candidates for each in expected}) == 3


def test_sentence_is_another_name_of_text():
    ask = client()
    expected = ask.post("/link", json={"mention": "b", "text": "a b"}).json()
    assert ask.post("/link", json={"mention": "b", "sentence": "a b"}).json() == expected
    both = ask.post("/link", json={"mention": "b", "text": "a b", "sentence": "a b"})
    assert both.status_code == 422 and set(problems(both)) == {"sentence"}


def test_defaults_are_those_of_the_service():
    ask = client(FakeLinker(calibrated=True), top_k=2, threshold=0.999999, score_threshold=0.0)
    answer = ask.post("/link", json={"text": "a b", "mention": "b"}).json()
    assert len(answer["candidates"]) == 2 and answer["is_nil"] is True and answer["entity_id"] is None
    answer = ask.post("/link", json={"text": "a b", "mention": "b", "top_k": 1, "threshold": 0}).json()
    assert len(answer["candidates"]) == 1 and answer["is_nil"] is False


def test_nothing_is_decided_without_calibration_and_threshold():
    answer = client().post("/link", json={"text": "a b", "mention": "b"}).json()
    assert answer["is_nil"] is None and answer["probability"] is None and answer["entity_id"] is not None
    answer = client().post("/link", json={"text": "a b", "mention": "b", "score_threshold": 1.0}).json()
    assert answer["is_nil"] is True


def test_a_picture_shared_by_mentions_is_opened_once(monkeypatch):
    opened = []
    read = pictures.read_picture
    monkeypatch.setattr(pictures, "read_picture", lambda *given, **named: opened.append(1) or read(*given, **named))
    seen = []
    linker = FakeLinker()
    link = linker.link_queries
    linker.link_queries = lambda queries, **options: seen.extend(queries) or link(queries, **options)
    image = base64.b64encode(picture()).decode()
    mentions = [{"text": f"word {number}", "mention": "word", "image": image} for number in range(5)]
    assert client(linker).post("/link", json={"mentions": mentions}).status_code == 200
    assert len(opened) == 1 and len({id(query.image) for query in seen}) == 1
    assert seen[0].image.size == (6, 4)


def test_entities():
    ask = client()
    answer = ask.get("/entities/Q1").json()
    assert answer["name"] == "Paris" and answer["types"] == ["city", "capital"] and answer["aliases"] == ENTITIES[0][2]
    assert base64.b64decode(answer["thumbnail"].removeprefix("data:image/jpeg;base64,")) == picture(kind="JPEG")
    assert ask.get("/entities/Q2").json()["thumbnail"] is None
    assert ask.get("/entities/ids%2Fwith%20slash").json()["name"] == "Slash"
    for unknown in ("Q7", "Q9", "%00", ""):  # Q9 was removed
        answer = ask.get(f"/entities/{unknown}")
        assert answer.status_code == 404 and "there is no entity" in answer.json()["message"]


def test_health():
    answer = client(FakeLinker(calibrated=True)).get("/health").json()
    assert answer["status"] == "ok" and answer["entities"] == len(ENTITIES) and answer["generation"] == 1
    assert answer["calibration"] == {"threshold": 0.5} and answer["model"]["name"] == "fake"
    assert client().get("/health").json()["calibration"] is None


# ---- Refusals ----


def test_a_bad_mention_of_many_refuses_no_other():
    linker = FakeLinker()
    ask = client(linker)
    body = {
        "mentions": [
            {"text": "ab", "mention": "a", "start": 3, "id": "first"},
            {"text": "ab", "mention": "a", "image": "not base64!"},
            {"text": "ab", "mention": "a", "start": 0, "image": data_uri(picture()), "id": "good"},
            {"text": "ab", "mention": "a", "image": base64.b64encode(b"no picture").decode()},
            {"text": " ", "mention": "b"},
            {"text": 1, "mntion": "b", "id": "many"},
            "b",
            {"text": "b", "mention": "b", "id": "\ud800"},
            {"text": "ab", "mention": "b"},
        ],
    }
    content = json.dumps(body)
    response = ask.post("/link", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200
    answers = response.json()
    good = [2, 8]
    expected = [ask.post("/link", json=body["mentions"][number]).json() for number in good]
    assert [answers[number] for number in good] == expected
    wrong = {number: answer["error"]["problems"] for number, answer in enumerate(answers) if number not in good}
    assert {number: [each["where"] for each in problems] for number, problems in wrong.items()} == {
        0: ["mentions[0].start"],
        1: ["mentions[1].image"],
        3: ["mentions[3].image"],
        4: ["mentions[4].text"],
        5: ["mentions[5].mention", "mentions[5].text", "mentions[5].mntion"],
        6: ["mentions[6]"],
        7: ["mentions[7].id"],
    }
    assert [answers[number]["id"] for number in (0, 1, 5, 6, 7)] == ["first", None, "many", None, None]
    assert answers[5]["error"]["message"] == "3 values of the request cannot be used"
    only_bad = ask.post("/link", json={"mentions": [{"text": "a"}]})
    assert only_bad.status_code == 200 and set(only_bad.json()[0]) == {"error", "id"}


def test_every_problem_of_the_options_is_named():
    """They are for all mentions, so that the request is refused."""
    mentions = [{"text": "ab", "mention": "a"}, {"text": "ab", "mention": "a", "start": 3}]
    body = {"mentions": mentions, "types": ["citi"], "entity_ids": ["Q1", "Q77"], "threshold": 0.5}
    found = problems(client().post("/link", json=body))
    assert set(found) == {"types", "entity_ids", "threshold"}
    assert "did you mean 'city'" in found["types"] and "Q77" in found["entity_ids"]
    assert "no calibration" in found["threshold"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"text": "a", "mention": ""}, "mention"),
        ({"text": "a\0", "mention": "a"}, "text"),
        ({"text": "a", "mention": " \n"}, "mention"),
        ({"text": "a"}, "mention"),
        ({"mentions": []}, "mentions"),
        ({"mentions": [{"text": "a", "mention": "a"}, {"text": 1, "mention": "a"}], "top_k": 0}, "top_k"),
        ({"text": "a", "mention": "a", "top_k": 0}, "top_k"),
        ({"text": "a", "mention": "a", "top_k": 101}, "top_k"),
        ({"text": "a", "mention": "a", "start": -1}, "start"),
        ({"text": "a", "mention": "a", "start": True}, "start"),
        ({"text": "a", "mention": "a", "threshold": 1.5}, "threshold"),
        ({"text": "a", "mention": "a", "types": []}, "types"),
        ({"text": "a", "mention": "a", "topk": 3}, "topk"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
def test_values_that_cannot_be_used(body, where):
    linker = FakeLinker()
    assert where in problems(client(linker).post("/link", json=body))
    assert not linker.calls


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"text": "a", "mention": "a"'])
def test_no_json(content):
    answer = client().post("/link", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["message"]


@pytest.mark.parametrize(
    "content", [b'{"text": "\\ud800", "mention": "a"}', b'{"text": "a", "mention": "a", "threshold": NaN}']
)
def test_json_that_is_none(content):
    """Half a surrogate pair and NaN, which Python reads; the answer cannot repeat them."""
    problems(
        client(FakeLinker(calibrated=True)).post(
            "/link", content=content, headers={"content-type": "application/json"}
        )
    )


def test_addresses_and_methods_that_are_not_there():
    ask = client()
    for answer, status in ((ask.get("/nowhere"), 404), (ask.put("/link", json={}), 405), (ask.get("/docs"), 404)):
        assert answer.status_code == status and set(answer.json()) == {"message", "problems"}


def test_a_fault_shows_no_stack():
    linker = FakeLinker()
    linker.fault = RuntimeError("secret of the inside")
    answer = client(linker).post("/link", json={"text": "a", "mention": "a"})
    assert answer.status_code == 500 and answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {"message": "A fault of the service, which its log tells of.", "problems": []}


@pytest.mark.parametrize(
    ("linker", "body", "what"),
    [
        (FakeLinker(), {}, "there is no calibration"),
        (FakeLinker(calibrated=True), {}, "this one is 'fitted'"),
        (FakeLinker(calibrated=True), {"types": ["city"]}, "not guaranteed where `types`"),
    ],
)
def test_a_prediction_set_that_cannot_be_given(linker, body, what):
    answer = client(linker).post("/link", json={"text": "a b", "mention": "a", "prediction_set": 0.1} | body)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["where"] == "prediction_set" and what in problem["what"]
    assert client(linker).post("/link", json={"text": "a", "mention": "a", "prediction_set": 1}).status_code == 422


def test_no_more_candidates_than_were_calibrated():
    ask = client(FakeLinker(calibrated=True))
    assert ask.post("/link", json={"text": "a", "mention": "a", "top_k": 9}).status_code == 200
    assert "top_k" in problems(ask.post("/link", json={"text": "a", "mention": "a", "top_k": 10}))
    assert client().post("/link", json={"text": "a", "mention": "a", "top_k": 10}).status_code == 200
    with pytest.raises(ValueError, match="top_k"):
        client(FakeLinker(calibrated=True), top_k=10)


def test_a_threshold_without_calibration_is_refused_at_once():
    with pytest.raises(ValueError, match="hf-mel calibrate"):
        client(threshold=0.5)
