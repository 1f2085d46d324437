"""Tasks of Label Studio, and the annotations that it exports."""

import json
from xml.etree import ElementTree

import pytest

from hf_mel.linking.review import InputRow, read_annotations, write_tasks
from tests.linking.review.test_links import LINKS


@pytest.fixture
def tasks(tmp_path):
    rows = {
        "m1": InputRow({}, str(tmp_path / "pictures" / "a b.png")),
        "m2": InputRow({}, "https://example.org/c.png"),
    }
    number, interface = write_tasks(LINKS, tmp_path / "tasks.json", rows, image_root=tmp_path)
    assert number == 3
    return json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")), ElementTree.parse(interface).getroot()


def test_tasks_and_interface_fit_together(tasks):
    tasks, interface = tasks
    tags = {tag.get("name"): tag for tag in interface.iter() if tag.get("name")}
    read = {tag.get("value")[1:] for tag in interface.iter() if (tag.get("value") or "").startswith("$")}
    for task in tasks:
        assert read <= set(task["data"])
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert tags[result["from_name"]].tag == "Choices" and result["type"] == "choices"
        assert tags[result["from_name"]].get("toName") == result["to_name"] and result["to_name"] in tags
        (chosen,) = result["value"]["choices"]
        assert {"value": chosen} in task["data"][tags[result["from_name"]].get("value")[1:]]
    chosen = [task["predictions"][0]["result"][0]["value"]["choices"][0] for task in tasks]
    assert chosen == ["E1 (e1)", "NIL: none of these", "E2 (e2)"]
    assert [task["predictions"][0]["score"] for task in tasks] == [0.75, 0.5, 0.625]
    images = [task["data"]["image"] for task in tasks]
    assert images == ["/data/local-files/?d=pictures/a%20b.png", "https://example.org/c.png", ""]
    assert tags["picture"].get("value") == "$image"


def test_columns_of_the_input_go_there_and_come_back(tmp_path):
    own = {
        "id": "m1",
        "shelf": "A 3",
        "entity_id": "gold",
        "input_entity_id": "x",
        "year": 1903,
        "loan": None,
        "keys": ["a"],
    }
    rows = {"m1": InputRow(own), "m2": InputRow({"id": "m2", "picture": {"bytes": b"x", "path": None}})}
    write_tasks(LINKS, tmp_path / "tasks.json", rows)
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    data = tasks[0]["data"]
    assert data["entity_id"] == "e1" and "picture" not in tasks[1]["data"] and "shelf" not in tasks[2]["data"]
    expected = {
        "shelf": "A 3",
        "input_input_entity_id": "gold",
        "input_entity_id": "x",
        "year": "1903",
        "loan": "",
        "keys": '["a"]',
    }
    assert {name: data[name] for name in expected} == expected
    tasks[0]["annotations"] = [annotation("E1 (e1)")]
    (tmp_path / "exported.json").write_text(json.dumps(tasks[:1]), encoding="utf-8")
    (found,) = read_annotations(tmp_path / "exported.json")
    assert found.own == expected


def test_pictures_elsewhere(tmp_path):
    rows = {"m1": InputRow({}, "/elsewhere/a.png")}
    with pytest.raises(ValueError, match=r"/elsewhere/a.png is not in `image_root` "):
        write_tasks(LINKS, tmp_path / "tasks.json", rows, image_root=tmp_path)
    _, interface = write_tasks(LINKS, tmp_path / "tasks.json", rows)
    assert "<Image" not in interface.read_text()


def annotation(choice=None, text=None, **values) -> dict:
    result = []
    if choice is not None:
        result.append({"from_name": "entity", "to_name": "text", "type": "choices", "value": {"choices": [choice]}})
    if text is not None:
        result.append(
            {"from_name": "corrected_entity_id", "to_name": "text", "type": "textarea", "value": {"text": [text]}}
        )
    return {"was_cancelled": False, "result": result, **values}


def test_annotations(tasks, tmp_path):
    tasks, _ = tasks
    exported = [tasks[0] | {"id": 11, "annotations": each} for each in (
        [annotation("E1 (e1)")],
        [annotation("NIL: none of these")],
        [annotation("E1 (e1)", " e7 ")],
        [annotation("E1 (e1)"), annotation("NIL: none of these")],
        [annotation("E1 (e1)"), annotation("E1 (e1)")],
        [annotation("E1 (e1)", was_cancelled=True)],
        [annotation()],
        [annotation("E9")],
        [],
    )]  # fmt: skip
    path = tmp_path / "exported.json"
    path.write_text(json.dumps([*exported, {"data": {"text": "a"}}]), encoding="utf-8")
    found = list(read_annotations(path))
    assert [(each.id, each.answer) for each in found if each.fault is None] == [
        ("m1", "e1"),
        ("m1", "NIL"),
        ("m1", "e7"),
        ("m1", "e1"),
    ]
    assert found[0].place == "task 11" and found[0].image.endswith("a b.png")
    faults = [each.fault for each in found if each.fault is not None]
    assert faults[0] == "its annotations contradict each other: NIL, e1"
    assert faults[1] == "an annotation has 0 choices and 0 ids, not one answer"
    assert faults[2] == "the choice 'E9' is none of the task's" and "`data.id` is missing" in faults[3]


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '[{"id": 1, "entity": "E1 (e1)"}]'])
def test_what_is_no_export(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="is not JSON|as JSON, not as JSON-MIN"):
        list(read_annotations(tmp_path / "a.json"))
