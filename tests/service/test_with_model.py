"""The service with a real linker: its answers are those of the linker, also when asked in parallel."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hf_mel import Calibration, EntityIndex, KnowledgeBase, Linker, MentionQuery
from hf_mel.data import open_image
from hf_mel.service import ServiceConfig, create_app
from tests.service import rules
from tests.service.common import client, data_uri, served
from tests.training.common import tiny_data, tiny_linker, tiny_processor


jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    EntityIndex.build(tiny_linker(True), tiny_processor(True), tiny_data().entities, folder / "index")
    return folder


def make(folder, calibrated=True) -> Linker:
    model, processor = tiny_linker(True), tiny_processor(True)
    linker = Linker(model, processor, EntityIndex.load(folder / "index", model, processor), candidates="merged")
    if not calibrated:
        return linker
    calibration = Calibration(0.5, 0.1, 0.05, num_candidates=linker.finder.num_candidates, setup=linker.setup)
    return Linker(model, processor, linker.index, candidates="merged", calibration=calibration)


@pytest.fixture(scope="module")
def linker(folder):
    return make(folder)


def questions(count=6):
    """Queries and the bodies that ask the same, every second one with a picture."""
    mentions = tiny_data().mentions["test"].select(range(count))
    queries, bodies = [], []
    for number, row in enumerate(mentions):
        image, body = None, {"text": row["text"], "mention": row["mention"], "id": str(number)}
        if number % 2 and row["image"] is not None:
            buffer = io.BytesIO()
            row["image"].save(buffer, "PNG")
            image, _ = open_image(buffer.getvalue())
            body["image"] = base64.b64encode(buffer.getvalue()).decode()
        queries.append(MentionQuery(row["mention"], row["text"], image=image, id=str(number)))
        bodies.append(body)
    assert any(query.image for query in queries)
    return queries, bodies


def test_answers_are_those_of_the_linker(linker):
    queries, bodies = questions()
    ask = client(linker)
    expected = [each.to_dict() for each in linker.link_queries(queries, top_k=4)]
    assert any(candidate["image_score"] is not None for each in expected for candidate in each["candidates"])
    assert ask.post("/link", json={"mentions": bodies, "top_k": 4}).json() == expected
    for query, body in zip(queries, bodies, strict=True):
        alone = linker.link(query.mention, query.text, image=query.image, top_k=2, threshold=0.9)
        answer = ask.post("/link", json={**body, "top_k": 2, "threshold": 0.9}).json()
        assert {**answer, "id": None} == alone.to_dict()


def test_types_and_ids(linker):
    index, ask = linker.index, client(linker)
    kind = index.types([0])[0][0] if index.types([0])[0] else None
    ids = index.ids[2:5]
    for options in [{"entity_ids": ids}] + ([{"types": [kind]}] if kind else []):
        expected = linker.link("Vale", "Vale came.", **options).to_dict()
        assert ask.post("/link", json={"text": "Vale came.", "mention": "Vale", **options}).json() == expected
    assert ask.post("/link", json={"text": "a", "mention": "a", "types": ["nothing"]}).status_code == 422


def test_entities_and_health(linker):
    ask = client(linker)
    for entity_id in linker.index.ids[:5]:
        (entity,) = linker.index.entities([linker.index.row(entity_id)])
        answer = ask.get(f"/entities/{entity_id}").json()
        assert answer["text"] == entity.text and answer["aliases"] == entity.aliases
        assert (answer["thumbnail"] is None) == (entity.thumbnail is None)
        assert ask.get("/reconcile/preview", params={"id": entity_id}).status_code == 200
    health = ask.get("/health").json()
    assert health["entities"] == len(linker.index) and health["model"]["fingerprint"]
    assert health["calibration"] == json.loads(json.dumps(linker.calibration.to_dict()))


def test_reconciliation(linker):
    ask = client(linker)
    names = linker.index.names()
    image = Image.effect_noise((16, 16), 80).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    queries = {str(row): {"query": name, "limit": 3} for row, name in enumerate(names[:8])}
    queries["0"]["properties"] = [{"pid": "image", "v": data_uri(buffer.getvalue())}]
    answer = ask.post("/reconcile", data={"queries": json.dumps(queries)}).json()
    jsonschema.validate(answer, rules.RESULTS, cls=jsonschema.Draft202012Validator)
    for row, name in enumerate(names[:8]):
        linked = linker.link(name, name, image=image if row == 0 else None, top_k=3)
        found = answer[str(row)]["result"]
        assert [each["id"] for each in found] == [each.entity_id for each in linked.candidates]
        assert [each["score"] for each in found] == pytest.approx(
            [100 * each.probability for each in linked.candidates], abs=1e-3
        )
    suggested = ask.get("/reconcile/suggest/entity", params={"prefix": names[3][:4].upper()}).json()["result"]
    assert linker.index.ids[3] in [each["id"] for each in suggested]


def test_an_exact_name_is_among_the_candidates(linker):
    """With candidates of both kinds; a random model alone finds it only by luck."""
    ask, index = client(linker, max_top_k=200), linker.index
    queries = {
        entity_id: {"query": name, "limit": 200} for entity_id, name in zip(index.ids, index.names(), strict=True)
    }
    answer = ask.post("/reconcile", data={"queries": json.dumps(queries)})
    assert answer.status_code == 200, answer.text
    answer = answer.json()
    assert all(key in [each["id"] for each in found["result"]] for key, found in answer.items())


@pytest.mark.loopback
def test_requests_in_parallel(linker):
    from huggingface_hub.utils import httpx  # that of the hub's client, whatever its name

    _, bodies = questions(8)
    with (
        served(create_app(linker, ServiceConfig())) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as ask,
    ):
        alone = [ask.post("/link", json=body).json() for body in bodies]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda body: ask.post("/link", json=body).json(), bodies * 3))
    assert together == alone * 3 and "candidates" in alone[0]


def test_changes_of_the_index_are_seen(folder, monkeypatch):
    monkeypatch.setattr("hf_mel.service.core._LOOK_AGAIN", 0.0)
    linker = make(folder, calibrated=False)
    ask = client(linker)
    assert ask.get("/reconcile/suggest/entity", params={"prefix": "zyxw"}).json() == {"result": []}
    before = ask.get("/health").json()
    writer = EntityIndex.load(folder / "index")
    new = KnowledgeBase.from_records([{"id": "new", "name": "Zyxw", "attributes": "A: b."}])
    writer.add(linker.model, linker.processor, new)
    answer = ask.post("/link", json={"text": "Zyxw came.", "mention": "Zyxw", "entity_ids": ["new"]}).json()
    assert [each["entity_id"] for each in answer["candidates"]] == ["new"]
    assert [
        each["id"] for each in ask.get("/reconcile/suggest/entity", params={"prefix": "zyxw"}).json()["result"]
    ] == ["new"]
    after = ask.get("/health").json()
    assert after["entities"] == before["entities"] + 1 and after["generation"] > before["generation"]
    writer.remove(["new"])
    assert ask.get("/entities/new").status_code == 404
    assert ask.get("/reconcile/suggest/entity", params={"prefix": "zyxw"}).json() == {"result": []}


def test_an_index_of_another_model_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_mel.service.core._LOOK_AGAIN", 0.0)
    EntityIndex.build(tiny_linker(True), tiny_processor(True), tiny_data().entities, tmp_path / "index")
    linker = make(tmp_path, calibrated=False)
    ask = client(linker)
    body = {"text": "Vale came.", "mention": "Vale"}
    assert ask.post("/link", json=body).status_code == 200
    EntityIndex.build(
        tiny_linker(True, seed=1), tiny_processor(True), tiny_data().entities, tmp_path / "index", overwrite=True
    )
    for _ in range(2):
        answer = ask.post("/link", json=body)
        assert answer.status_code == 503 and "restarted" in answer.json()["message"]
        assert str(tmp_path) not in answer.text


def test_a_folder_that_is_gone_is_no_reason_to_stop(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr("hf_mel.service.core._LOOK_AGAIN", 0.0)
    EntityIndex.build(tiny_linker(True), tiny_processor(True), tiny_data().entities, tmp_path / "index")
    linker = make(tmp_path, calibrated=False)
    ask = client(linker)
    body = {"text": "Vale came.", "mention": "Vale"}
    before = ask.post("/link", json=body).json()
    shutil.rmtree(tmp_path / "index")
    assert ask.post("/link", json=body).json() == before
    assert np.all(linker.index.alive)


@pytest.mark.parametrize("name_features", [False, True])
def test_reconciling_ranks_the_exact_name_before_a_longer_one(name_features):
    """In either order, however many candidates are asked for, and against what the model alone would say."""
    processor, model = tiny_processor(False), tiny_linker(False, seed=3, name_features=name_features).eval()
    records = [
        {"id": "Vale Museum", "name": "Vale Museum", "description": "A house."},
        {"id": "Vale", "name": "Vale", "description": "Occupation: painter. Born in Oslo, in 1901, by the river."},
        {"id": "Museum of Vale", "name": "Museum of Vale (building)", "description": "A house."},
    ]
    text = "The VALE is a house."
    for order in (records, records[::-1]):
        linker = Linker(model, processor, KnowledgeBase.from_records(order))
        by_model = linker.link("VALE", text).candidates[0].entity_id
        assert by_model == ("Vale" if name_features else "Vale Museum")
        ask = client(linker)
        for limit in (1, 2, 3):
            cell = {"query": "VALE", "limit": limit, "properties": [{"pid": "text", "v": text}]}
            batch = {"q0": cell, "q1": {"query": "Museum of Vale", "limit": limit}}
            found = ask.post("/reconcile", data={"queries": json.dumps(batch)}).json()
            first, *others = found["q0"]["result"]
            assert first["id"] == "Vale" and len(others) == limit - 1
            assert all(first["score"] >= each["score"] for each in others)
            if name_features:
                features = {each["id"]: each["value"] for each in first["features"]}
                assert features["name_score"] == pytest.approx(0.25)
                assert found["q1"]["result"][0]["id"] == "Museum of Vale"
