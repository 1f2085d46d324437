"""The answers of a real server against the JSON schemas that the specification publishes."""

import json
import os
from pathlib import Path

import pytest

from hf_mel.service import ServiceConfig, create_app
from tests.service.common import FakeLinker, data_uri, picture, served


PUBLISHED = "https://reconciliation-api.github.io/specs/0.2/schemas/"
FOLDER = os.environ.get("HF_MEL_RECONCILIATION_SCHEMAS")
NAMES = ["manifest", "reconciliation-query-batch", "reconciliation-result-batch", "type"]
NAMES += [f"suggest-{kind}-response" for kind in ("entities", "types", "properties")]

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(
        FOLDER is None,
        reason=f"HF_MEL_RECONCILIATION_SCHEMAS names no folder; the schemas are published at {PUBLISHED}",
    ),
]
BATCH = {
    "q0": {"query": "Paris"},
    "q1": {
        "query": "Paris",
        "type": "city",
        "limit": 2,
        "type_strict": "should",
        "properties": [
            {"pid": "image", "v": data_uri(picture())},
            {"pid": "text", "v": ["See Paris", 3, True, {"id": "x", "name": "y"}]},
        ],
    },
    "q2": {"properties": [{"pid": "text", "v": "no words"}]},
    "q3": {"query": "Q2", "type": ["person"]},
}


@pytest.fixture(scope="module")
def validate():
    import jsonschema
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    documents = {name: json.loads(Path(FOLDER, f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}
    resources = [(each["$id"], Resource(each, DRAFT7)) for each in documents.values()]
    registry = Registry().with_resources(resources)

    def check(name, value):
        jsonschema.Draft7Validator(documents[name], registry=registry).validate(value)
        return value

    return check


@pytest.fixture(scope="module", params=[False, True], ids=["uncalibrated", "calibrated"])
def ask(request):
    from huggingface_hub.utils import httpx  # that of the hub's client, whatever its name

    linker = FakeLinker(calibrated=request.param)
    config = ServiceConfig(entity_url="https://www.wikidata.org/wiki/{id}") if request.param else ServiceConfig()
    with served(create_app(linker, config)) as url, httpx.Client(base_url=url, timeout=10, trust_env=False) as asking:
        yield asking


def test_manifest(ask, validate):
    validate("manifest", ask.get("/reconcile").json())


def test_candidates(ask, validate):
    text = json.dumps(validate("reconciliation-query-batch", BATCH))
    for answer in (ask.post("/reconcile", data={"queries": text}), ask.get("/reconcile", params={"queries": text})):
        assert answer.status_code == 200 and list(answer.json()) == list(BATCH)
        validate("reconciliation-result-batch", answer.json())
    assert [len(each["result"]) for each in answer.json().values()] == [5, 2, 0, 2]


@pytest.mark.parametrize("prefix", ["p", "", "Q1", "zzz"])
def test_suggestions(ask, validate, prefix):
    for name, kind in (("entities", "entity"), ("types", "type"), ("properties", "property")):
        answer = ask.get(f"/reconcile/suggest/{kind}", params={"prefix": prefix})
        validate(f"suggest-{name}-response", answer.json())


def test_the_schemas_refuse_something(validate):
    import jsonschema

    for name, value in (
        ("manifest", {"versions": ["0.1"], "name": "a", "identifierSpace": "b", "schemaSpace": "c"}),
        ("reconciliation-query-batch", {"q": {"limit": 1}}),
        ("reconciliation-result-batch", {"q": {"result": [{"id": "a", "name": "b"}]}}),
        ("suggest-types-response", {"result": [{"id": "a"}]}),
    ):
        with pytest.raises(jsonschema.ValidationError):
            validate(name, value)
