"""The Reconciliation Service API 0.2."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from hf_mel.data import open_image
from hf_mel.linking.linked_mention import MentionQuery
from tests.service import rules
from tests.service.common import ENTITIES, FakeIndex, FakeLinker, client, data_uri, picture


jsonschema = pytest.importorskip("jsonschema")


def check(answer, schema):
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
    return answer.json()


def reconcile(ask, queries, status=200, get=False):
    text = queries if isinstance(queries, str) else json.dumps(queries)
    if get:
        answer = ask.get("/reconcile", params={"queries": text})
    else:
        answer = ask.post("/reconcile", data={"queries": text})
    assert answer.status_code == status, answer.text
    if status != 200:
        return {each["where"]: each["what"] for each in answer.json()["problems"]} or answer.json()["message"]
    batch = check(answer, rules.RESULTS)
    for each in batch.values():
        scores = [candidate["score"] for candidate in each["result"]]
        assert scores == sorted(scores, reverse=True)
        for candidate in each["result"]:
            names = [feature["id"] for feature in candidate["features"]]
            assert len(set(names)) == len(names)
    return {key: each["result"] for key, each in batch.items()}


def features(candidate):
    return {feature["id"]: feature["value"] for feature in candidate["features"]}


# ---- Manifest ----


def test_manifest():
    ask = client(name="Emoji", max_mentions=7)
    manifest = check(ask.get("/reconcile"), rules.MANIFEST)
    assert manifest["name"] == "Emoji" and manifest["batchSize"] == 7
    assert manifest["identifierSpace"] == "http://service.test/entities/"
    assert manifest["view"]["url"] == "http://service.test/reconcile/preview?id={{id}}"
    # Other parameters, such as those that stop a browser's cache, change nothing.
    assert ask.get("/reconcile", params={"_": "1"}).json() == manifest


def test_manifest_with_settings():
    ask = client(
        public_url="https://mel.example/a/",
        entity_url="https://www.wikidata.org/wiki/{id}",
        identifier_space="http://www.wikidata.org/entity/",
        schema_space="http://www.wikidata.org/prop/direct/",
    )
    manifest = check(ask.get("/reconcile"), rules.MANIFEST)
    assert manifest["view"]["url"] == "https://www.wikidata.org/wiki/{{id}}"
    assert manifest["identifierSpace"] == "http://www.wikidata.org/entity/"
    assert manifest["preview"]["url"].startswith("https://mel.example/a/reconcile/preview")
    assert manifest["suggest"]["type"]["service_url"] == "https://mel.example/a/reconcile"


def test_everything_that_the_manifest_names_is_there():
    ask = client()
    manifest = ask.get("/reconcile").json()
    for id, name, *_ in ENTITIES:
        page = ask.get(manifest["preview"]["url"].replace("{{id}}", quote(id, safe="")))
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        entity = manifest["suggest"]["entity"]
        flyout = check(
            ask.get(entity["service_url"] + entity["flyout_service_path"].replace("${id}", quote(id, safe=""))),
            rules.FLYOUT,
        )
        assert flyout["id"] == id
        assert ask.get(manifest["identifierSpace"] + quote(id, safe="")).json()["name"] == name
    for kind, metadata in manifest["suggest"].items():
        check(
            ask.get(metadata["service_url"] + metadata["service_path"], params={"prefix": "p"}),
            rules.SUGGESTIONS[kind],
        )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/reconcile"),
        ("get", "/reconcile?queries={}"),
        ("post", "/reconcile"),
        ("get", "/reconcile/preview?id=Q1"),
        ("get", "/reconcile/preview?id=none"),
        ("get", "/reconcile/suggest/entity?prefix=p"),
        ("get", "/reconcile/suggest/entity"),
        ("get", "/reconcile/flyout/entity?id=Q1"),
    ],
)
def test_every_origin_may_ask(method, path):
    ask = client()
    answer = ask.request(method, path, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": method.upper()}
    assert ask.options(path, headers=asked).status_code == 200


# ---- Queries ----


@pytest.mark.parametrize("get", [False, True])
def test_candidates_are_those_of_the_linker(get):
    linker = FakeLinker(calibrated=True)
    found = reconcile(client(linker), {"a": {"query": "Paris"}, "b": {"query": "Hilton", "limit": 2}}, get=get)
    assert list(found) == ["a", "b"] and [len(each) for each in found.values()] == [5, 2]
    for key, words in (("a", "Paris"), ("b", "Hilton")):
        (linked,) = linker.link_queries([MentionQuery(words, words)], top_k=len(found[key]))
        for candidate, expected in zip(found[key], linked.candidates, strict=True):
            assert candidate["id"] == expected.entity_id and candidate["score"] == 100 * expected.probability
            assert features(candidate)["model_score"] == expected.score
            assert features(candidate)["text_score"] == expected.text_score
            assert "image_score" not in features(candidate), "there is none"
        assert features(found[key][0])["margin"] == linked.margin and "margin" not in features(found[key][1])


def test_queries_do_not_depend_on_their_batch():
    ask = client()
    queries = {
        "a": {"query": "Paris"},
        "b": {"query": "Paris", "type": "city", "limit": 1},
        "c": {"query": "Paris", "type": ["person", "region"]},
        "d": {"query": "Lyon", "properties": [{"pid": "text", "v": "In Lyon."}]},
        "e": {"query": "Lyon", "type": "city"},
    }
    together = reconcile(ask, queries)
    assert list(together) == list(queries)
    assert together == {key: reconcile(ask, {key: query})[key] for key, query in queries.items()}
    assert together == dict(reconcile(ask, dict(reversed(queries.items()))))


def test_picture_and_text():
    linker = FakeLinker()
    ask = client(linker)
    image, _ = open_image(picture())
    uri = data_uri(picture())
    found = reconcile(
        ask,
        {
            "bare": {"query": "Paris"},
            "text": {"query": "Paris", "properties": [{"pid": "text", "v": "See Paris"}]},
            "picture": {"query": "Paris", "properties": [{"pid": "image", "v": uri}]},
            "both": {
                "query": "Paris",
                "properties": [{"pid": "context", "v": ["See", "Paris"]}, {"pid": "picture", "v": [uri, "x"]}],
            },
            "entity": {"query": "Paris", "properties": [{"pid": "sentence", "v": {"id": "X", "name": "See Paris"}}]},
            "empty": {"query": "Paris", "properties": [{"pid": "image", "v": ""}, {"pid": "text", "v": [" "]}]},
        },
    )
    for key, query in {
        "bare": MentionQuery("Paris", "Paris"),
        "text": MentionQuery("Paris", "See Paris"),
        "picture": MentionQuery("Paris", "Paris", image=image),
        "both": MentionQuery("Paris", "See Paris", image=image),
        "entity": MentionQuery("Paris", "See Paris"),
        "empty": MentionQuery("Paris", "Paris"),
    }.items():
        (linked,) = linker.link_queries([query])
        assert [each["id"] for each in found[key]] == [each.entity_id for each in linked.candidates], key
        assert features(found[key][0])["has_image"] is (query.image is not None)


def test_types():
    ask = client()

    def names(**query):
        return {each["id"] for each in reconcile(ask, {"q": {"query": "x", **query}})["q"]}

    assert names(type="city") == {"Q1", "Q3"} == names(type=["city"], type_strict="should")
    assert names(type=["city", "person"], type_strict="any") == {"Q1", "Q2", "Q3", "ids/with slash"}
    assert names(type=["city", "capital"], type_strict="all") == {"Q1"}
    assert names(type=["city", "person"], type_strict="all") == set()
    everything = names(limit=50)
    assert len(everything) == len(ENTITIES) == len(names(type="entity", limit=50)), "the default type is that of all"
    assert names(type=["entity", "city"], limit=50) == everything
    assert names(type=["entity", "city"], type_strict="all") == {"Q1", "Q3"}
    assert names(type=[], limit=50) == names(type=None, limit=50) == everything


def test_types_of_candidates():
    by_id = {each["id"]: each for each in reconcile(client(), {"q": {"query": "x", "limit": 50}})["q"]}
    assert by_id["Q1"]["type"] == [{"id": "city", "name": "city"}, {"id": "capital", "name": "capital"}]
    assert by_id["Q5"]["type"] == [{"id": "entity", "name": "Entity"}]
    # Where a knowledge base has a type of that name, it means what it means there.
    linker = FakeLinker(index=FakeIndex([*ENTITIES, ("E", "E", [], "", ["entity"])]))
    assert [each["id"] for each in reconcile(client(linker), {"q": {"query": "x", "type": "entity"}})["q"]] == ["E"]


def test_scores_and_matches():
    """A match only where the calibrated decision is not NIL and the probability reaches the bound; only the best."""

    def answer(best, threshold=None, **settings):
        linker = FakeLinker(calibrated=True)
        linker.score = lambda query, row: best - row / 1000
        return reconcile(client(linker, threshold=threshold, **settings), {"q": {"query": "x"}})["q"]

    assert [each["match"] for each in answer(0.95)] == [True, False, False, False, False]
    assert answer(0.95)[0]["score"] == 95.0
    assert not any(each["match"] for each in answer(0.89))
    assert answer(0.89, match_probability=0.8)[0]["match"] is True
    assert not any(each["match"] for each in answer(0.95, threshold=0.96, match_probability=0.1))
    assert not any(each["match"] for each in answer(0.3, match_probability=0.1)), "NIL by the calibration"
    for kind in ("prior", "transferred"):
        linker = FakeLinker(calibrated=True)
        linker.score, linker.calibration.kind = (lambda query, row: 0.95 - row / 1000), kind
        assert not any(each["match"] for each in reconcile(client(linker), {"q": {"query": "x"}})["q"]), kind
    uncalibrated = reconcile(client(), {"q": {"query": "x"}})["q"]
    assert not any(each["match"] for each in uncalibrated)
    assert uncalibrated[0]["score"] == 100 * features(uncalibrated[0])["model_score"]


def test_an_id_finds_its_entity():
    ask = client()
    found = reconcile(
        ask, {"q": {"query": " Q3 ", "limit": 2}, "r": {"query": "Q3", "type": "person"}, "s": {"query": "Q9"}}
    )
    assert found["q"][0]["id"] == "Q3" and found["q"][0]["score"] == 100 and found["q"][0]["match"] is False
    assert len(found["q"]) == 2 and found["q"][1]["id"] != "Q3"
    assert {each["id"] for each in found["r"]} == {"Q2", "ids/with slash"}
    assert "Q9" not in {each["id"] for each in found["s"]}, "it was removed"


def test_nothing_to_look_for():
    linker = FakeLinker()
    found = reconcile(
        client(linker), {"a": {"properties": [{"pid": "text", "v": "x"}]}, "b": {"query": " "}, "c": {"query": "x"}}
    )
    assert found["a"] == found["b"] == [] and found["c"]
    assert linker.calls == [1]
    assert reconcile(client(linker), {}) == {}


def test_the_limit_is_capped():
    assert len(reconcile(client(max_top_k=3, top_k=2), {"q": {"query": "x", "limit": 1_000_000}})["q"]) == 3
    assert len(reconcile(client(max_top_k=3, top_k=2), {"q": {"query": "x", "limit": 2.0}})["q"]) == 2


# ---- Refusals ----


def test_every_problem_of_a_batch_is_named():
    batch = {
        "a": {"query": "x", "properties": [{"pid": "imge", "v": "y"}, {"pid": "text", "v": 1}]},
        "b": {"query": "x", "properties": [{"pid": "colour", "v": "y"}]},
    }
    found = reconcile(client(), batch, 422)
    assert list(found) == ["queries.a.properties[0].pid", "queries.b.properties[0].pid"]
    assert "did you mean 'image'" in found["queries.a.properties[0].pid"]
    found = reconcile(
        client(),
        {
            "a": {"query": "x", "type": "citi"},
            "b": {"query": "x", "properties": [{"pid": "image", "v": "%%"}]},
            "c": {"query": "x", "properties": [{"pid": "image", "v": "http://x.org/a.png"}]},
        },
        422,
    )
    assert set(found) == {"queries.a.type", "queries.b.image", "queries.c.image"}
    assert "did you mean 'city'" in found["queries.a.type"]


def test_broken_pictures_are_skipped_where_that_is_set():
    batch = {
        "a": {"query": "x", "properties": [{"pid": "image", "v": "%%"}]},
        "b": {"query": "x", "properties": [{"pid": "image", "v": data_uri(picture())}]},
    }
    found = reconcile(client(skip_broken_pictures=True), batch)
    assert features(found["a"][0])["has_image"] is False and features(found["b"][0])["has_image"] is True
    assert found["a"] == reconcile(client(), {"a": {"query": "x"}})["a"]


@pytest.mark.parametrize(
    "queries",
    [
        "", "{", "[]", "null", "[" * 5_000, '{"a": 1}', '{"a": {}}', '{"a": {"properties": []}}',
        '{"a": {"query": 1}}', '{"a": {"query": "x", "limit": 0}}', '{"a": {"query": "x", "limit": 1.5}}',
        '{"a": {"query": "x", "limits": 1}}', '{"a": {"query": "x", "type_strict": "none"}}',
        '{"a": {"query": "x", "type": {}}}', '{"a": {"query": "x", "properties": [{"v": 1}]}}',
        '{"a": {"query": "x", "properties": [{"pid": "text", "v": null}]}}', '{"a": {"query": "\\ud800"}}',
    ],
)  # fmt: skip
def test_what_is_no_batch(queries):
    linker = FakeLinker()
    assert reconcile(client(linker), queries, 422)
    assert reconcile(client(linker), queries, 422, get=True)
    assert not linker.calls


def test_a_batch_that_is_too_large():
    batch = {str(number): {"query": "x"} for number in range(3)}
    assert "3 queries" in reconcile(client(max_mentions=2), batch, 413)
    reconcile(client(max_mentions=3), batch)
    assert "queries.q.query" in reconcile(client(max_text=5), {"q": {"query": "abcdef"}}, 422)


def test_other_forms():
    ask = client()
    assert ask.post("/reconcile", json={"queries": "{}"}).status_code == 415
    assert ask.post("/reconcile", files={"queries": "{}"}).status_code == 415
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert ask.post("/reconcile", content=b"queries=%7B%7D", headers=form).json() == {}
    for content in (b"", b"query=x", b"queries=%ff", "queries=é".encode(), b"&".join([b"a=b"] * 200)):
        answer = ask.post("/reconcile", content=content, headers=form)
        assert answer.status_code == 422 and "form" in answer.json()["message"]
    assert ask.get("/reconcile", params={"extend": "{}"}).status_code == 422


# ---- Suggestions and previews ----


def suggest(ask, kind, prefix, **more):
    answer = check(ask.get(f"/reconcile/suggest/{kind}", params={"prefix": prefix, **more}), rules.SUGGESTIONS[kind])
    return [each["id"] for each in answer["result"]]


def test_suggestions():
    ask = client()
    assert suggest(ask, "entity", "paris") == ["Q1", "Q2", "Q3", "Q4"]
    assert suggest(ask, "entity", "paris", cursor=2) == ["Q3", "Q4"]
    assert suggest(client(suggestions=1), "entity", "paris", cursor=1) == ["Q2"]
    assert suggest(ask, "entity", "ids/with slash") == ["ids/with slash"]
    assert suggest(ask, "type", "") == ["city", "person", "capital", "region", "entity"], "frequent ones first"
    assert suggest(ask, "type", "C") == ["city", "capital"] and suggest(ask, "type", "ghost") == []
    assert suggest(ask, "property", "") == ["image", "text"] and suggest(ask, "property", "PIC") == ["image"]
    for cursor in ("-1", "x", "1.5"):
        assert ask.get("/reconcile/suggest/entity", params={"prefix": "p", "cursor": cursor}).status_code == 422
    assert ask.get("/reconcile/suggest/entity").status_code == 422


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.images = [], "", []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.images += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(("entity_id", "name"), [(row[0], row[1]) for row in ENTITIES])
def test_previews_are_escaped(entity_id, name):
    """Names and texts hold tags, which stay text."""
    answer = client().get("/reconcile/preview", params={"id": entity_id})
    found = Elements()
    found.feed(answer.text)
    assert set(found.tags) <= {"html", "head", "meta", "title", "style", "body", "img", "h1", "p"}
    assert name in found.text and entity_id in found.text
    assert dict((row[0], row[3]) for row in ENTITIES)[entity_id] in found.text
    assert [value[:23] for value in found.images] == (["data:image/jpeg;base64,"] if entity_id == "Q1" else [])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_preview_of_nothing():
    for path in ("/reconcile/preview", "/reconcile/flyout/entity"):
        answer = client().get(path, params={"id": "<script>"})
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/json"


def test_a_long_text_is_cut_between_words():
    text = "word " * 200
    index = FakeIndex([("Q", "Name", [], text, [])])
    linker = FakeLinker(index=index)
    (candidate,) = reconcile(client(linker), {"q": {"query": "x"}})["q"]
    assert len(candidate["description"]) <= 304 and candidate["description"].endswith("word ...")


def test_numbers_that_are_not_there_are_no_features():
    linker = FakeLinker()
    linker.calibration = SimpleNamespace(threshold=0.0, num_candidates=9, to_dict=dict)
    for candidate in reconcile(client(linker), {"q": {"query": "x"}})["q"]:
        assert all(feature["value"] is not None for feature in candidate["features"])
