"""The OpenAPI document: complete, true, and nothing that it allows or forbids makes the service fail."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hf_mel.linking.linked_mention import LinkedEntity, LinkedMention
from tests.service.common import FakeLinker, client


schemathesis = pytest.importorskip("schemathesis")

LIMITS = {"max_mentions": 4, "max_text": 100, "max_body": 20_000}
QUICK = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate],
}
APP = client(FakeLinker(calibrated=True), **LIMITS).app
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}
# Without anything to get wrong.
FLAWLESS = {"GET /health", "GET /entities/{entity_id}"}


def test_the_operations():
    assert set(OPERATIONS) == {
        "POST /link", "GET /entities/{entity_id}", "GET /health", "GET /reconcile", "POST /reconcile",
        "GET /reconcile/preview", "GET /reconcile/flyout/entity", "GET /reconcile/suggest/entity",
        "GET /reconcile/suggest/type", "GET /reconcile/suggest/property",
    }  # fmt: skip


def explore(label, mode, examples, left_out):
    statuses = set()

    @settings(max_examples=examples, **QUICK)
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def run(case):
        response = case.call()
        statuses.add(response.status_code)
        case.validate_response(response, excluded_checks=left_out)

    run()
    return statuses


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_what_the_document_allows(label):
    """All checks of schemathesis but one: a picture and a batch are text in it, and most texts are neither."""
    statuses = explore(
        label,
        schemathesis.GenerationMode.POSITIVE,
        10,
        [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")],
    )
    assert statuses and max(statuses) < 500


@pytest.mark.parametrize("label", sorted(set(OPERATIONS) - FLAWLESS))
def test_what_the_document_forbids(label):
    """No fault, and the error is one of those that the document names."""
    left_out = ["positive_data_acceptance", "negative_data_rejection"]
    left_out = [schemathesis.checks.CHECKS.get_one(name) for name in left_out]
    statuses = explore(label, schemathesis.GenerationMode.NEGATIVE, 10, left_out)
    assert statuses and max(statuses) < 500


# ---- Batches, which the document describes within a text ----

TEXTS = st.text(max_size=8)
VALUES = st.one_of(TEXTS, st.floats(allow_nan=False), st.booleans(), st.fixed_dictionaries({"id": TEXTS}))
QUERIES = st.fixed_dictionaries(
    {"query": TEXTS},
    optional={
        "type": st.one_of(
            st.sampled_from(["city", "entity", "nothing"]), st.lists(st.sampled_from(["city", "person"]))
        ),
        "limit": st.integers(-1, 9),
        "type_strict": st.sampled_from(["any", "should", "all", "none"]),
        "properties": st.lists(
            st.fixed_dictionaries(
                {
                    "pid": st.sampled_from(["image", "text", "picture", "other"]),
                    "v": st.one_of(VALUES, st.lists(VALUES)),
                }
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=80, **QUICK)
@given(st.dictionaries(TEXTS, QUERIES, max_size=5))
def test_batches(batch):
    answer = client_of_batches.post("/reconcile", data={"queries": json.dumps(batch)})
    assert answer.status_code in (200, 413, 422), answer.text
    if answer.status_code == 200:
        assert list(answer.json()) == list(batch)


client_of_batches = client(FakeLinker(), **LIMITS)


# ---- The document itself ----


def test_the_document():
    document = APP.openapi()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            for status, response in operation["responses"].items():
                if status != "200":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, f"{method} {path} {status}"
            assert {"500"} <= set(operation["responses"])
            assert ("503" in operation["responses"]) == (path != "/health")
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    for kind in (LinkedEntity, LinkedMention):
        assert list(schemas[kind.__name__]["properties"]) == list(kind.__dataclass_fields__)
    assert schemas["LinkMany"]["properties"]["mentions"]["maxItems"] == 4
    assert schemas["Mention"]["properties"]["text"]["maxLength"] == 100


def test_the_document_says_whether_urls_are_fetched():
    said = {}
    for allowed in (True, False):
        document = client(allow_urls=allowed).get("/openapi.json").json()
        said[allowed] = document["components"]["schemas"]["Mention"]["properties"]["image"]["description"]
    assert "a URL, which is fetched" in said[True] and "fetches no URLs" in said[False]
